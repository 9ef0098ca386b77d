"""Stays at chargers: those that are over, to learn from, and those that a forecast was made for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db.models import F, Q

from fleet.core.departure import EndedStays
from fleet.models import SUPERSEDED, ChargingSession

# Habits change with the season: other cars' stays count for a month, a car's own, of which there are fewer, for half a year.
POOLED_FOR = timedelta(days=30)
OWN_FOR = timedelta(days=180)
# Of a region's stays so many are read at most, the newest; more would say no more.
MOST_POOLED = 5_000
# Shorter is no stay but a plug that was moved or a station that was tested.
SHORTEST_STAY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class StayNow:
    """One session as it stands: `stated_at` is when the driver says to leave, `left_at` is None while it runs.

    `left_known` is false where the station never told the end and another session's start closed it.
    """

    session_id: int
    vehicle_id: int
    site_id: int
    arrived_at: datetime
    stated_at: datetime | None
    left_at: datetime | None
    left_known: bool


def ended_stays(*, region_id: int, vehicle_ids: Collection[int], now: datetime) -> EndedStays:
    """Stays of a region that ended lately, and the given cars' own of a longer time, with what their drivers had said."""
    ended = ChargingSession.objects.filter(
        evse__asset__site__grid_node__region_id=region_id,
        vehicle__isnull=False,
        ended_at__lte=now,
        ended_at__gte=F("started_at") + SHORTEST_STAY,
    ).exclude(stop_reason=SUPERSEDED)
    columns = ("pk", "vehicle_id", "evse__asset__site_id", "started_at", "departure_at", "ended_at")
    pooled = ended.filter(ended_at__gte=now - POOLED_FOR).order_by("-ended_at")[:MOST_POOLED]
    own = ended.filter(ended_at__gte=now - OWN_FOR, vehicle_id__in=list(vehicle_ids))
    rows = {row[0]: row[1:] for row in (*pooled.values_list(*columns), *own.values_list(*columns))}
    return _as_arrays(rows.values())


def _as_arrays(rows: Iterable[tuple]) -> EndedStays:
    columns = list(zip(*rows, strict=True)) or [()] * 5

    def seconds(instants: Iterable[datetime | None]) -> np.ndarray:
        return np.array([np.nan if at is None else at.timestamp() for at in instants], dtype=np.float64)

    return EndedStays(
        vehicle_id=np.array(columns[0], dtype=np.int64),
        site_id=np.array(columns[1], dtype=np.int64),
        arrived_s=seconds(columns[2]),
        stated_s=seconds(columns[3]),
        left_s=seconds(columns[4]),
    )


def stays_now(*, session_ids: Collection[int]) -> dict[int, StayNow]:
    """Sessions with a car, running or ended, by their identifier."""
    rows = ChargingSession.objects.filter(Q(pk__in=list(session_ids)), vehicle__isnull=False).values_list(
        "pk", "vehicle_id", "evse__asset__site_id", "started_at", "departure_at", "ended_at", "stop_reason"
    )
    return {row[0]: StayNow(*row[:-1], left_known=row[-1] != SUPERSEDED) for row in rows}
