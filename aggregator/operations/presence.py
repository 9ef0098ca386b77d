"""How well the number of cars that stay was foreseen: residuals of past sums, from which margins are drawn."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from aggregator.core.margin import borne_out_deviation
from aggregator.models import DepartureForecast, PresenceResiduals
from common.horizon import Horizon
from common.units import SECONDS_PER_HOUR
from fleet.core.departure import QUANTILE_PROBABILITIES, presence_probability
from fleet.queries.assets import region_ids

Numbers = NDArray[np.float64]

COUNTED_FOR = timedelta(days=30)
AHEAD_H = (0.5, 1.0, 2.0, 4.0, 8.0)
# Of fewer cars a sum says nothing of how cars leave together.
FEWEST_CARS = 10


def update_presence_residuals(*, now: datetime) -> int:
    """Compare what was foreseen at every full hour of the last 30 days with what came. Returns the residuals kept."""
    return sum(_update_region(region_id, now) for region_id in region_ids())


@transaction.atomic
def _update_region(region_id: int, now: datetime) -> int:
    arrived_s, left_s, quantiles_s = _foreseen(region_id, now)
    kept = 0
    for ahead_h in AHEAD_H:
        residuals = _residuals(arrived_s, left_s, quantiles_s, ahead_h, now)
        kept += len(residuals)
        PresenceResiduals.objects.update_or_create(
            region_id=region_id, ahead_h=ahead_h, defaults={"as_of": now, "residuals": residuals}
        )
    return kept


def _foreseen(region_id: int, now: datetime) -> tuple[Numbers, Numbers, Numbers]:  # [car], [car], [car, quantile]
    """Each stay's first forecast: from when it was known, until when the car was there (infinite if it still is)."""
    rows = (
        DepartureForecast.objects.filter(region_id=region_id, probability__isnull=False, left_known=True)
        .exclude(left_at__lt=now - COUNTED_FOR)
        .order_by("session_id", "made_at")
        .distinct("session_id")
        .values_list("made_at", "left_at", "quantiles_at")
    )
    known = [row for row in rows if len(row[2]) == QUANTILE_PROBABILITIES.size]
    made_s = np.array([made_at.timestamp() for made_at, _, _ in known], dtype=np.float64)
    left_s = np.array([np.inf if left_at is None else left_at.timestamp() for _, left_at, _ in known], dtype=np.float64)
    quantiles_s = np.array([[at.timestamp() for at in marks] for _, _, marks in known], dtype=np.float64)
    return made_s, left_s, quantiles_s.reshape(len(known), QUANTILE_PROBABILITIES.size)


def _residuals(made_s: Numbers, left_s: Numbers, quantiles_s: Numbers, ahead_h: float, now: datetime) -> list[float]:
    ahead_s, last_s = ahead_h * SECONDS_PER_HOUR, now.timestamp()
    first_s = np.ceil((now - COUNTED_FOR).timestamp() / SECONDS_PER_HOUR) * SECONDS_PER_HOUR
    found = []
    for at_s in np.arange(first_s, last_s - ahead_s, SECONDS_PER_HOUR).tolist():
        here = np.flatnonzero((made_s <= at_s) & (left_s > at_s))
        if here.size < FEWEST_CARS:
            continue
        later_s = at_s + ahead_s
        presence = presence_probability(quantiles_s[here], np.array([later_s]), at_s)[:, 0]
        spread = float(np.sqrt((presence * (1.0 - presence)).sum()))
        if spread > 0.0:
            found.append((float((left_s[here] > later_s).sum()) - float(presence.sum())) / spread)
    return found


def presence_deviation(*, region_id: int, horizon: Horizon, probability: float) -> Numbers:  # [step]
    """By how many standard deviations a region's sums must be expected to fall short when each step begins."""
    kept = PresenceResiduals.objects.filter(region_id=region_id).values_list("ahead_h", "residuals")
    residuals = {ahead_h: np.array(values, dtype=np.float64) for ahead_h, values in kept}
    return borne_out_deviation(residuals, horizon.offset_s[:-1] / SECONDS_PER_HOUR, probability)
