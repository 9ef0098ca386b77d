"""What could have been foreseen of departures: each stay's forecast, learnt from the stays that were over when it began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from aggregator.core.replay.sessions import ChargingSession
from common.units import SECONDS_PER_HOUR
from fleet.core.departure import Basis, EndedStays, RunningStay, StayHistory, forecast_departure

# As the platform does it: other cars' stays count for a month.
POOLED_FOR = timedelta(days=30)


def with_foreseen_departures(
    sessions: Sequence[ChargingSession], *, charge_kw: float, probability: float
) -> tuple[list[ChargingSession], int]:
    """Sessions whose announced departure is the one that can be counted on with a probability.

    Records name no cars, so that all are learnt from together; nothing of a stay is used before it was over.

    Args:
        charge_kw: at which the cars can charge, at the meter.

    Returns:
        The sessions in the order of arrival, and how many could be foreseen; the others keep the driver's word.
    """
    ordered = sorted(sessions, key=lambda one: (one.arrives_at, one.session_id))
    arrived_s = np.array([one.arrives_at.timestamp() for one in ordered])
    left_s = np.array([one.leaves_at.timestamp() for one in ordered])
    stated_s = np.array([np.nan if one.announced_at is None else one.announced_at.timestamp() for one in ordered])
    foreseen, known = [], 0
    for row, one in enumerate(ordered):
        now_s = float(arrived_s[row])
        over = np.flatnonzero((left_s < now_s) & (left_s >= now_s - POOLED_FOR.total_seconds()))
        stays = EndedStays(over, np.zeros(over.size, dtype=np.int64), arrived_s[over], stated_s[over], left_s[over])
        told = forecast_departure(
            StayHistory(stays, pooled_from_s=0.0),
            RunningStay(-1, 0, now_s, float(stated_s[row])),
            now_s=now_s,
            served_s=now_s + one.requested_kwh / charge_kw * SECONDS_PER_HOUR,
            probability=probability,
        )
        if told.basis is Basis.STATED:
            foreseen.append(one)
            continue
        known += 1
        counted_on = one.arrives_at + timedelta(seconds=told.leaves_after_s - now_s)
        foreseen.append(replace(one, announced_at=counted_on))
    return foreseen, known
