"""What the platform had planned for assets, before the time in question began."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from aggregator.models import Plan, PlannedSchedule
from common.horizon import mean_over_steps

_LATEST_PLANS = """
SELECT DISTINCT ON (schedule.asset_id) schedule.id, schedule.asset_id
FROM aggregator_plannedschedule schedule JOIN aggregator_plan plan ON plan.id = schedule.plan_id
WHERE schedule.asset_id = ANY(%s) AND plan.made_at <= %s AND plan.made_at >= %s
ORDER BY schedule.asset_id, plan.made_at DESC
"""
# an older plan says nothing about a window: plans are made every few minutes
PLAN_MEMORY = timedelta(days=1)


def planned_mean_kw(
    *, asset_ids: Sequence[int], starts_at: datetime, ends_at: datetime
) -> NDArray[np.float64]:  # [asset]
    """Mean planned power of each asset in a window by the last plan made before it; NaN where there was none."""
    rows = PlannedSchedule.objects.raw(_LATEST_PLANS, [list(asset_ids), starts_at, starts_at - PLAN_MEMORY])
    schedules = {row.asset_id: row for row in rows}
    plans = Plan.objects.in_bulk({row.plan_id for row in schedules.values()})
    planned = np.full(len(asset_ids), np.nan)
    for position, asset_id in enumerate(asset_ids):
        schedule = schedules.get(asset_id)
        if schedule is None:
            continue
        plan = plans[schedule.plan_id]
        edges = plan.starts_at.timestamp() + np.concatenate([[0.0], np.cumsum(plan.step_h)]) * 3600.0
        power_kw = np.asarray(schedule.power_kw, dtype=np.float64)
        window_s = np.array([starts_at.timestamp(), ends_at.timestamp()])
        planned[position] = mean_over_steps(window_s, edges[: len(power_kw)], edges[1 : len(power_kw) + 1], power_kw)[0]
    return planned
