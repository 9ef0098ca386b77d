"""Local lists: the tokens that a station lets in while it hears nothing of us."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from common.errors import InvalidInput
from fleet.models import Charger, ChargerProtocol, CommandKind, CommandState, DeviceCommand, IdToken
from fleet.operations.station_commands import UnknownStation, queue_station_command

MOST_ENTRIES = 1000
DELIVER_WITHIN = timedelta(hours=12)


@transaction.atomic
def send_local_list(
    *, identity: str, now: datetime, tokens: Sequence[str] | None = None, whole: bool = False, requested_by: str = ""
) -> int | None:
    """Bring a station's local list up to date: with what has changed where we know what it has, else whole.

    Args:
        tokens: who is to be on it; None: the cars whose home the station's site is.
        whole: send everything, whatever it has.

    Returns:
        the command's identifier; None if nothing has changed.

    Raises:
        UnknownStation: there is no such station.
        InvalidInput: a token is unknown, or there are more than a list may hold.
    """
    charger = (
        Charger.objects.select_for_update(of=("self",))
        .filter(identity=identity)
        .exclude(protocol=ChargerProtocol.MQTT)
        .first()
    )
    if charger is None:
        raise UnknownStation(f"{identity[:60]!r} is no charging station.", field="identity")
    wanted = _wanted(charger, tokens, now)
    if len(wanted) > MOST_ENTRIES:
        raise InvalidInput(f"{len(wanted)} tokens are more than {MOST_ENTRIES}.", field="tokens")
    version = _next_version(charger)
    removed: list[dict[str, Any]]
    if whole or charger.local_list_version == 0:
        mode, (changed, removed) = "full", (wanted, [])
    else:
        mode, (changed, removed) = "differential", _difference(charger, wanted)
        if not changed and not removed:
            return None
    return queue_station_command(
        identity=identity,
        kind=CommandKind.LOCAL_LIST,
        parameters={"mode": mode, "version": version, "entries": list(changed.values()), "removed": removed},
        now=now,
        valid_for=DELIVER_WITHIN,
        requested_by=requested_by,
    )


def _next_version(charger: Charger) -> int:
    """Above every version that the station may have, also of a list that is still on its way, which this one replaces."""
    sent = DeviceCommand.objects.filter(asset__evse__charger=charger, kind=CommandKind.LOCAL_LIST)
    sent.filter(state=CommandState.QUEUED).update(state=CommandState.SUPERSEDED)
    newest = sent.order_by("-sequence").values_list("parameters__version", flat=True).first()
    return max(charger.local_list_version, newest or 0) + 1


def _wanted(charger: Charger, tokens: Sequence[str] | None, now: datetime) -> dict[str, dict[str, Any]]:
    rows = IdToken.objects.select_related("vehicle")
    if tokens is None:
        rows = rows.filter(vehicle__home_site_id=charger.site_id)
    else:
        rows = rows.filter(token__in=list(tokens))
        unknown = set(tokens) - set(rows.values_list("token", flat=True))
        if unknown:
            raise InvalidInput(f"{len(unknown)} of the tokens are not registered.", field="tokens")
    longest = 20 if charger.protocol == ChargerProtocol.OCPP_16 else 36
    rows = rows.filter(Q(expires_at=None) | Q(expires_at__gt=now)).order_by("token")
    return {row.token: _entry(row) for row in rows if len(row.token) <= longest}


def _entry(row: IdToken) -> dict[str, Any]:
    blocked = row.blocked or (row.vehicle is not None and row.vehicle.withdrawn_at is not None)
    return {
        "id_token": row.token,
        "kind": row.kind,
        "status": "Blocked" if blocked else "Accepted",
        **({"expires_at": row.expires_at.isoformat()} if row.expires_at is not None else {}),
    }


def _difference(
    charger: Charger, wanted: dict[str, dict[str, Any]]
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    held = {
        entry.id_token: {
            "id_token": entry.id_token,
            "kind": entry.kind,
            "status": entry.status,
            **({"expires_at": entry.expires_at.isoformat()} if entry.expires_at is not None else {}),
        }
        for entry in charger.local_list.all()
    }
    changed = {token: entry for token, entry in wanted.items() if held.get(token) != entry}
    removed = [{"id_token": token, "kind": held[token]["kind"]} for token in sorted(held.keys() - wanted.keys())]
    return changed, removed
