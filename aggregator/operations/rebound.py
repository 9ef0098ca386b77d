"""After a reduction everybody catches up at once: how far the participants' power may rise above their baseline then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from aggregator.core.dispatch import EventTarget, MissKind, TargetDirection
from common.horizon import Horizon
from fleet.queries.assets import FlexibleAsset
from grid.queries import EventView
from grid.queries.events import ended_events


def events_that_rebound(
    *, region_id: int, planned: Sequence[tuple[EventView, Sequence[int], float]], now: datetime
) -> list[tuple[EventView, Sequence[int], float]]:
    """Reductions whose end is less than the limited time ago, or still to come: event, participants, baseline in kW."""
    since = now - timedelta(seconds=settings.REBOUND_S)
    over = [
        (view, view.participants, view.baseline_kw)
        for view in ended_events(region_id=region_id, ended_after=since, now=now)
        if view.baseline_kw is not None
    ]
    return [item for item in (*over, *planned) if item[0].direction == "reduce"]


def rebound_targets(
    events: Sequence[tuple[EventView, Sequence[int], float]],
    *,
    steered: Sequence[FlexibleAsset],
    power_of: dict[int, float],
    busy: Sequence[tuple[datetime, datetime]],
    horizon: Horizon,
    price_per_kwh: NDArray[np.float64],
) -> tuple[EventTarget, ...]:
    """The participants' power together stays below a limit until the step in which `REBOUND_S` after the event end:

        Σ set-points ≤ baseline + REBOUND_FRACTION · target        in each step, a kWh above at REBOUND_PRICE_FRACTION of
                                                                   the mean price

    A soft limit, below the event's own price and far below drivers' needs: who must leave is charged all the same, and what
    cannot be kept is listed. Steps of another event are left to it. A steep rise of everybody at once is what a grid operator had bought the reduction against.
    """
    steered_ids = np.array([asset.asset_id for asset in steered], dtype=np.int64)
    price = settings.REBOUND_PRICE_FRACTION * float(np.abs(price_per_kwh).mean())
    in_event = np.zeros(horizon.steps, dtype=np.bool_)
    for starts_at, ends_at in busy:
        in_event |= horizon.overlap_fraction(starts_at, ends_at) > 0.5
    targets = []
    for view, participants, baseline_kw in events:
        inside = horizon.overlap_fraction(view.ends_at, view.ends_at + timedelta(seconds=settings.REBOUND_S)) > 1e-6
        inside &= ~in_event
        members = np.isin(steered_ids, list(participants))
        if not inside.any() or not members.any() or price <= 0.0:
            continue
        unsteered_kw = sum(power_of.get(asset_id, 0.0) for asset_id in set(participants) - set(steered_ids.tolist()))
        limit_kw = baseline_kw + settings.REBOUND_FRACTION * view.target_kw - unsteered_kw
        targets.append(
            EventTarget(
                event_id=view.event_id,
                target_power_kw=np.where(inside, limit_kw, np.nan),
                direction=TargetDirection.AT_MOST,
                missed_price_per_kwh=price,
                participates=members,
                includes_computing=False,
                missed_as=MissKind.REBOUND,
            )
        )
    return tuple(targets)
