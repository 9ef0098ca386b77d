"""Limits that stations report of others: kept while they hold, and planning is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction

from fleet.models import Charger, ChargingLimit
from fleet.operations.changes import announce_change
from fleet.operations.stations import UnknownDevice, UnknownEvse


@dataclass(frozen=True, slots=True)
class LimitStep:
    """What holds from an offset on; None is no limit. Never negative."""

    offset_s: float
    limit_kw: float | None
    discharge_limit_kw: float | None = None


@transaction.atomic
def record_charging_limit(
    *,
    identity: str,
    evse_number: int,
    source: str,
    grid_critical: bool,
    starts_at: datetime,
    ends_at: datetime | None,
    steps: Sequence[LimitStep],
    now: datetime,
) -> None:
    """A station has told of a limit of `source` for an EVSE, or with number 0 for all together. The newest counts.

    Raises:
        UnknownDevice, UnknownEvse.
    """
    charger = _charger(identity)
    evse = charger.evses.filter(number=evse_number).first() if evse_number else None
    if evse_number and evse is None:
        raise UnknownEvse(f"station {identity!r} has no EVSE {evse_number}", field="evseId", remedy="Register it.")
    ChargingLimit.objects.update_or_create(
        charger=charger,
        evse=evse,
        source=source,
        defaults={
            "grid_critical": grid_critical,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "steps": [asdict(step) for step in steps],
            "told_at": now,
        },
    )
    announce_change(kind="lost_device", asset_id=None, region_id=charger.site.grid_node.region_id)


@transaction.atomic
def clear_charging_limit(*, identity: str, evse_number: int, source: str) -> bool:
    """A station has told that a source limits it no longer. Returns whether a limit was known.

    Raises:
        UnknownDevice.
    """
    charger = _charger(identity)
    limits = ChargingLimit.objects.filter(charger=charger, source=source)
    limits = limits.filter(evse__number=evse_number) if evse_number else limits.filter(evse=None)
    gone, _ = limits.delete()
    if gone:
        announce_change(kind="found_device", asset_id=None, region_id=charger.site.grid_node.region_id)
    return bool(gone)


def _charger(identity: str) -> Charger:
    charger = Charger.objects.select_related("site__grid_node").filter(identity=identity).first()
    if charger is None:
        raise UnknownDevice(f"{identity!r} is not registered", field="identity", remedy="Register it first.")
    return charger
