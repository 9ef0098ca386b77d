"""When points did not do what they were told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from fleet.models import Departure

SHOWN = 5


@dataclass(frozen=True, slots=True)
class DepartureView:
    """One stretch, found by the meter or by the station's own schedule ("composite"). Powers in kW, + into the asset."""

    source: str
    began_at: datetime
    ended_at: datetime | None
    told_kw: float
    found_kw: float


def recent_departures(asset_ids: Collection[int]) -> dict[int, tuple[DepartureView, ...]]:
    """The latest few of each asset; those without are missing."""
    found: dict[int, tuple[DepartureView, ...]] = {}
    for row in Departure.objects.filter(asset_id__in=asset_ids)[: SHOWN * len(asset_ids)]:
        view = DepartureView(row.source, row.began_at, row.ended_at, row.told_kw, row.found_kw)
        found[row.asset_id] = (*found.get(row.asset_id, ()), view)[:SHOWN]
    return found
