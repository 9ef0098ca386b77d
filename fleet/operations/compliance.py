"""Finding stations that do not follow their schedules, leaving them out of what is promised, and taking them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from fleet.core.compliance import (
    DEPARTS_AFTER_S,
    RETURNS_AFTER_S,
    SETTLE_S,
    Judged,
    Verdict,
    departs,
    judge,
)
from fleet.core.local_control import LocalControlInvalid, read_local_control
from fleet.models import Asset, ChargerProtocol, ChargingSession, Departure, DepartureSource
from fleet.operations.changes import announce_change

NOT_FOLLOWING_FAULT = "does not follow its schedule"
# readings older than this say nothing about now
WINDOW = timedelta(minutes=3)
_SIGNED = frozenset({ChargerProtocol.OCPP_21, ChargerProtocol.MQTT})

# the newest schedule that the device has confirmed, and what its meter said since
_CONFIRMED = """
SELECT DISTINCT ON (asset_id) asset_id, starts_at, valid_until, offset_s, power_kw, parameters, answered_at
FROM fleet_devicecommand
WHERE asset_id = ANY(%(asset_ids)s) AND kind = 'set_power' AND state = 'confirmed'
ORDER BY asset_id, sequence DESC
"""
_MEASURED = """
SELECT asset_id, measured_at, power_kw FROM fleet_reading
WHERE asset_id = ANY(%(asset_ids)s) AND measured_at > %(since)s AND measured_at <= %(now)s AND power_kw IS NOT NULL
  AND flags = 0
ORDER BY asset_id, measured_at
"""


@dataclass(frozen=True, slots=True)
class ComplianceOutcome:
    """How many assets were found departing from their schedules, and how many follow again."""

    departed: int
    returned: int


@dataclass(frozen=True, slots=True)
class _Schedule:
    starts_at: datetime
    valid_until: datetime
    offset_s: Sequence[float]
    power_kw: Sequence[float]
    confirmed_at: datetime
    judgeable: bool

    def told(self, at: datetime) -> tuple[float, datetime] | None:
        """What holds at an instant, and since when; None outside its time."""
        if not self.starts_at <= at < self.valid_until:
            return None
        begun = [
            (power, self.starts_at + timedelta(seconds=offset))
            for offset, power in zip(self.offset_s, self.power_kw, strict=True)
            if self.starts_at + timedelta(seconds=offset) <= at
        ]
        if not begun:
            return None
        power, since = begun[-1]
        return power, max(since, self.confirmed_at)


@transaction.atomic
def judge_compliance(
    *,
    now: datetime,
    settle_s: float = SETTLE_S,
    departs_after_s: float = DEPARTS_AFTER_S,
    returns_after_s: float = RETURNS_AFTER_S,
) -> ComplianceOutcome:
    """Compare the meters of all cars that are plugged in with what their stations have confirmed.

    One that departs for `departs_after_s` is marked and left out of planning; one that is marked and follows for
    `returns_after_s`, its schedule or afterwards its fail-safe power, is taken back, as is one whose car has left. What a
    station decides by itself (local control, priority) is not judged.
    """
    sessions = list(
        ChargingSession.objects.filter(ended_at=None, evse__asset__connected=True, priority_charging=False)
        .select_related("charger", "evse__asset__site__grid_node")
        .order_by("evse__asset_id")
    )
    asset_ids = [session.evse.asset_id for session in sessions]
    schedules, measured = _schedules(asset_ids), _measured(asset_ids, now)
    departed, returned = 0, _forgive_absent(now)
    for session in sessions:
        asset_id = session.evse.asset_id
        rows = _judged(session, schedules.get(asset_id), measured.get(asset_id, []), settle_s)
        verdict = judge(rows, departs_after_s=departs_after_s, returns_after_s=returns_after_s)
        asset = session.evse.asset
        if verdict == Verdict.DEPARTS and not asset.fault:
            last = rows[-1]
            departed += _mark(asset, DepartureSource.METER, told_kw=last.told_kw, found_kw=last.power_kw, now=now)
        elif verdict == Verdict.FOLLOWS and asset.fault == NOT_FOLLOWING_FAULT:
            returned += _take_back(asset, now=now)
    return ComplianceOutcome(departed, returned)


@transaction.atomic
def note_composite(*, asset_id: int, told_kw: float, found_kw: float, signed: bool, now: datetime) -> bool:
    """A station has said what it will do now. Marks it if that is not what it was told. Returns whether it is.

    A station that says that it will do less than a limit is kept within others' limits, which it tells apart from this.
    """
    asset = Asset.objects.select_related("site__grid_node").get(pk=asset_id)
    if not departs(found_kw, told_kw, signed=signed):
        return True
    if not asset.fault:
        _mark(asset, DepartureSource.COMPOSITE, told_kw=told_kw, found_kw=found_kw, now=now)
    return False


def _forgive_absent(now: datetime) -> int:
    """Without a car there is nothing to follow; the next one is another chance. Returns how many are taken back."""
    absent = (
        Asset.objects.filter(fault=NOT_FOLLOWING_FAULT, evse__isnull=False)
        .exclude(evse__sessions__ended_at__isnull=True, evse__sessions__isnull=False)
        .select_related("site__grid_node")
        .order_by("pk")
    )
    return sum(_take_back(asset, now=now) for asset in absent)


def _schedules(asset_ids: Sequence[int]) -> dict[int, _Schedule]:
    with connection.cursor() as cursor:
        cursor.execute(_CONFIRMED, {"asset_ids": list(asset_ids)})
        rows = cursor.fetchall()
    return {
        asset_id: _Schedule(starts_at, valid_until, offset_s, power_kw, answered_at, _by_setpoint(parameters))
        for asset_id, starts_at, valid_until, offset_s, power_kw, parameters, answered_at in rows
    }


def _by_setpoint(parameters: dict | str) -> bool:
    """Whether the device was to follow the schedule itself."""
    kept = json.loads(parameters) if isinstance(parameters, str) else parameters
    try:
        return read_local_control(kept.get("local_control")).by_setpoint
    except LocalControlInvalid:
        return False


def _measured(asset_ids: Sequence[int], now: datetime) -> dict[int, list[tuple[datetime, float]]]:
    found: dict[int, list[tuple[datetime, float]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_MEASURED, {"asset_ids": list(asset_ids), "since": now - WINDOW, "now": now})
        for asset_id, measured_at, power_kw in cursor.fetchall():
            found.setdefault(asset_id, []).append((measured_at, power_kw))
    return found


def _judged(
    session: ChargingSession, schedule: _Schedule | None, measured: list[tuple[datetime, float]], settle_s: float
) -> list[Judged]:
    """The readings of a stay beside what held at each; those for which nothing is known are left out."""
    rows = []
    signed = session.bidirectional and session.charger.protocol in _SIGNED
    for measured_at, power_kw in measured:
        if measured_at < session.started_at:
            continue
        told = schedule.told(measured_at) if schedule is not None else None
        if told is not None:
            assert schedule is not None
            if schedule.judgeable:
                settled = (measured_at - told[1]).total_seconds() >= settle_s
                told_kw = min(max(told[0], -session.evse.max_discharge_kw), session.evse.max_charge_kw)
                rows.append(Judged(measured_at, power_kw, told_kw, signed, settled))
        elif schedule is None or measured_at >= schedule.valid_until:
            fallback_kw = _fallback_kw(session)
            if fallback_kw is not None:
                since = max(session.started_at, schedule.valid_until if schedule is not None else session.started_at)
                settled = (measured_at - since).total_seconds() >= settle_s
                rows.append(Judged(measured_at, power_kw, fallback_kw, False, settled))
    return rows


def _fallback_kw(session: ChargingSession) -> float | None:
    """The limit that the station keeps to when nothing else holds; None if it has not taken one."""
    installed = session.charger.capabilities.get("fallback_kw", {})
    told = installed.get(str(session.evse.number))
    return float(told) if told is not None else None


def _mark(asset: Asset, source: str, *, told_kw: float, found_kw: float, now: datetime) -> int:
    marked = Asset.objects.filter(pk=asset.pk, fault="").update(fault=NOT_FOLLOWING_FAULT)
    if marked:
        Departure.objects.get_or_create(
            asset=asset,
            ended_at=None,
            defaults={"source": source, "began_at": now, "told_kw": told_kw, "found_kw": found_kw},
        )
        announce_change(kind="lost_device", asset_id=asset.pk, region_id=asset.site.grid_node.region_id)
    return marked


def _take_back(asset: Asset, *, now: datetime) -> int:
    taken = Asset.objects.filter(pk=asset.pk, fault=NOT_FOLLOWING_FAULT).update(fault="")
    Departure.objects.filter(asset=asset, ended_at=None).update(ended_at=now)
    if taken:
        announce_change(kind="found_device", asset_id=asset.pk, region_id=asset.site.grid_node.region_id)
    return taken
