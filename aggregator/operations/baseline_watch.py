"""Looking at the time that baselines are read from: whether it was unlike other days, to somebody's gain."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from aggregator.operations.evidence import EventEvidence
from aggregator.operations.history import MeterReader, adjustment_window, days_alike, shifted
from aggregator.queries.planned import planned_mean_kw
from common.clock import Interval
from grid.core.baseline_watch import WatchedWindow, WatchRule, watch_window
from grid.operations.baseline_checks import CheckedWindow, record_baseline_checks
from grid.queries import EventView, event

Numbers = NDArray[np.float64]

EARLIER_DAYS = 5
LOOK_BACK_DAYS = 30
RULE = WatchRule()


def watch_baseline(*, event_id: int, now: datetime) -> int:
    """Compare the window behind an event's baseline with earlier days and with the plan, and keep the numbers.

    The portfolio's numbers are always kept, those of single assets where they are conspicuous.

    Returns:
        How many windows are conspicuous; 0 too where the method reads nothing on the day of the event.

    Raises:
        EventNotFound: there is no such event.
    """
    watched = event(event_id)
    window = _watched_window(watched)
    if window is None or not watched.participants:
        return 0
    meters = MeterReader(watched.participants)
    slot_s = min(round(window.duration_s), 1800)
    shifts = list(days_alike(watched, LOOK_BACK_DAYS))[: EARLIER_DAYS * 2]
    ids = [asset_id for batch in meters.batches for asset_id in batch]
    today = _mean_kw(meters, window, slot_s)
    earlier = [_mean_kw(meters, shifted(window, shift), slot_s) for shift in shifts]
    metered = [day for day in earlier if not np.isnan(day).all()][:EARLIER_DAYS]
    days = np.stack(metered, axis=1) if metered else np.zeros((len(ids), 0))
    planned = planned_mean_kw(asset_ids=ids, starts_at=window.starts_at, ends_at=window.ends_at)
    single = watch_window(RULE, direction=watched.direction, today_kw=today, earlier_kw=days, planned_kw=planned)
    every = watch_window(
        RULE,
        direction=watched.direction,
        today_kw=_total(today[:, None]),
        earlier_kw=_total(days)[None, :],
        planned_kw=_total(planned[:, None]),
    )
    found = [_checked(None, every, 0)]
    found += [_checked(ids[row], single, row) for row in np.flatnonzero(single.conspicuous).tolist()]
    record_baseline_checks(
        event_id=event_id,
        window_starts_at=window.starts_at,
        window_ends_at=window.ends_at,
        days=len(metered),
        found=found,
        now=now,
    )
    return sum(checked.conspicuous for checked in found)


def _watched_window(watched: EventView) -> Interval | None:
    """The time before the event that moves its baseline; None: no time before it does."""
    evidence = EventEvidence(watched)
    if evidence.rule.reads_history:
        return adjustment_window(watched, evidence.rule)
    return evidence.windows()[0] if evidence.rule.kind == "same_day" and evidence.rule.uses_before else None


def _mean_kw(meters: MeterReader, window: Interval, slot_s: int) -> Numbers:  # [asset]
    return np.concatenate([meters.mean_kw(batch, window, slot_s).mean(axis=1) for batch in meters.batches])


def _total(values: Numbers) -> Numbers:  # [day]
    """Over assets, where anything is known; NaN where nothing is."""
    known = ~np.isnan(values)
    return np.where(known.any(axis=0), np.where(known, values, 0.0).sum(axis=0), np.nan)


def _checked(asset_id: int | None, seen: WatchedWindow, row: int) -> CheckedWindow:
    def number(values: Numbers) -> float | None:
        return None if np.isnan(values[row]) else float(values[row])

    return CheckedWindow(
        asset_id=asset_id,
        today_kw=number(seen.today_kw),
        typical_kw=number(seen.typical_kw),
        spread_kw=number(seen.spread_kw),
        planned_kw=number(seen.planned_kw),
        excess_kw=number(seen.excess_kw),
        conspicuous=bool(seen.conspicuous[row]),
    )
