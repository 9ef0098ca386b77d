"""Baselines from earlier days: which days are like the day of the event, and what the meters said on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from common.clock import Interval
from fleet.queries.state import MeteredEnergy, metered_energy
from grid.core.baseline import (
    Adjustment,
    HistoryChoice,
    capped_ratio,
    choose_days,
    history_baseline,
    together_kw,
)
from grid.core.calendar import is_rest_day
from grid.queries import EventView
from grid.queries.baseline_rules import BaselineRuleView
from grid.queries.events import event_windows

Numbers = NDArray[np.float64]
Batch = tuple[int, ...]

# readings of so many assets are held in memory at once
ASSETS_AT_ONCE = 2_000


class MeterReader:
    """Reads meters a batch of assets at a time, and keeps a fingerprint of everything that it has read."""

    def __init__(self, asset_ids: Sequence[int], *, at_once: int = ASSETS_AT_ONCE) -> None:
        ids, size = tuple(sorted(set(asset_ids))), min(at_once, ASSETS_AT_ONCE)
        self.batches: list[Batch] = [ids[at : at + size] for at in range(0, len(ids), size)]
        self._read: dict[tuple[Batch, Interval, int], str] = {}

    def energy(self, batch: Batch, interval: Interval, slot_s: int) -> MeteredEnergy:
        """Metered energy of a batch in an interval."""
        found = metered_energy(asset_ids=batch, starts_at=interval.starts_at, ends_at=interval.ends_at, slot_s=slot_s)
        self._read[batch, interval, slot_s] = found.evidence_sha256
        return found

    def mean_kw(self, batch: Batch, interval: Interval, slot_s: int) -> Numbers:  # [asset, slot]
        """Mean power per slot, NaN where the meter does not prove it."""
        found = self.energy(batch, interval, slot_s)
        slot_h = np.array([slot.duration_s for slot in interval.slots(slot_s)]) / 3600.0
        return np.where(found.complete, found.net_kwh / slot_h, np.nan)

    def fingerprint(self, *words: str) -> str:
        """SHA-256 over all that was read and over some words."""
        parts = sorted(
            f"{interval.starts_at.isoformat()}/{interval.ends_at.isoformat()}/{slot_s}/{batch[0]}:{sha256}"
            for (batch, interval, slot_s), sha256 in self._read.items()
        )
        return hashlib.sha256("\n".join([*words, *parts]).encode()).hexdigest()


@dataclass(frozen=True)
class HistoryDays:
    """What a baseline from earlier days is made of, chosen for all participants together.

    `shifts` says how far back the kept days lie, latest first; empty: no earlier day was metered.
    """

    shifts: tuple[timedelta, ...]
    looked_at: tuple[timedelta, ...]
    ratio: float


def days_alike(event: EventView, look_back_days: int) -> Iterator[timedelta]:
    """How far back the days lie that a baseline may look at, latest first.

    Days of the same kind (working day, or weekend and public holiday) in the region's local time, without those on which
    an event of the region ran, in whichever direction; the same local time of day, so that a change of the clocks moves
    nothing.
    """
    zone = ZoneInfo(event.time_zone)
    local = event.starts_at.astimezone(zone)
    rest = is_rest_day(local.date(), event.country)
    busy = _days_of_events(event, look_back_days, zone)
    for back in range(1, look_back_days + 1):
        day = local.date() - timedelta(days=back)
        if day in busy or is_rest_day(day, event.country) != rest:
            continue
        same_time = datetime.combine(day, local.timetz().replace(tzinfo=None), zone)
        yield event.starts_at - same_time.astimezone(event.starts_at.tzinfo)


def choose_history_days(event: EventView, rule: BaselineRuleView, meters: MeterReader) -> HistoryDays:
    """Look back day by day until the rule has as many metered days as it looks at, and keep those that it keeps."""
    history_rule = rule.history_rule(rest_day=is_rest_day(_local_date(event), event.country))
    shifts: list[timedelta] = []
    day_kw: list[float] = []
    for shift in days_alike(event, rule.look_back_days):
        interval = shifted(Interval(event.starts_at, event.ends_at), shift)
        total = _sum_of_known(
            [together_kw(meters.mean_kw(batch, interval, event.slot_s)[:, None, :])[0] for batch in meters.batches]
        )
        if np.isnan(total):
            continue
        shifts.append(shift)
        day_kw.append(total)
        if len(shifts) == history_rule.days_looked_at:
            break
    kept = [shifts[day] for day in choose_days(history_rule, np.array(day_kw))]
    ratio = 1.0
    if kept and history_rule.adjustment == Adjustment.CAPPED_RATIO:
        ratio = capped_ratio(history_rule, *_window_totals(event, rule, kept, meters))
    return HistoryDays(tuple(kept), tuple(shifts), ratio)


def history_baseline_of(
    event: EventView, rule: BaselineRuleView, days: HistoryDays, meters: MeterReader, batch: Batch
) -> Numbers:  # [asset, slot]
    """The baseline of a batch of participants from days that were chosen for all of them."""
    during = Interval(event.starts_at, event.ends_at)
    history = [meters.mean_kw(batch, shifted(during, shift), event.slot_s) for shift in days.shifts]
    window = adjustment_window(event, rule)
    if window is None:
        earlier, today = np.zeros((len(batch), len(history), 0)), np.zeros((len(batch), 0))
    else:
        earlier = np.stack(
            [meters.mean_kw(batch, shifted(window, shift), rule.window_slot_s) for shift in days.shifts], axis=1
        )
        today = meters.mean_kw(batch, window, rule.window_slot_s)
    return history_baseline(
        rule.history_rule(rest_day=is_rest_day(_local_date(event), event.country)),
        history_kw=np.stack(history, axis=1),
        history_window_kw=earlier,
        today_window_kw=today,
        choice=HistoryChoice(tuple(range(len(days.shifts))), days.ratio),
    ).baseline_kw


def adjustment_window(event: EventView, rule: BaselineRuleView) -> Interval | None:
    """The time on the day of the event that moves a baseline from earlier days; None: nothing does."""
    if rule.adjustment == Adjustment.NONE or rule.window_from_s == rule.window_until_s:
        return None
    return Interval(
        event.starts_at - timedelta(seconds=rule.window_from_s),
        event.starts_at - timedelta(seconds=rule.window_until_s),
    )


def _window_totals(
    event: EventView, rule: BaselineRuleView, kept: Sequence[timedelta], meters: MeterReader
) -> tuple[float, float]:
    """Power of all assets together in the adjustment window, today and typically, where both are known."""
    window = adjustment_window(event, rule)
    if window is None:
        return np.nan, np.nan
    today_kw = typical_kw = 0.0
    for batch in meters.batches:
        days = [meters.mean_kw(batch, shifted(window, shift), rule.window_slot_s) for shift in kept]
        today = meters.mean_kw(batch, window, rule.window_slot_s)
        known = ~np.isnan(days)
        count = known.sum(axis=0)
        typical = np.divide(
            np.where(known, days, 0.0).sum(axis=0), count, out=np.full(today.shape, np.nan), where=count > 0
        )
        both = ~(np.isnan(typical) | np.isnan(today))
        today_kw, typical_kw = today_kw + float(today[both].sum()), typical_kw + float(typical[both].sum())
    return today_kw, typical_kw


def _days_of_events(event: EventView, look_back_days: int, zone: ZoneInfo) -> set[date]:
    windows = event_windows(
        region_id=event.region_id,
        starts_at=event.starts_at - timedelta(days=look_back_days + 1),
        ends_at=event.starts_at,
    )
    days: set[date] = set()
    for starts_at, ends_at in windows:
        day, last = starts_at.astimezone(zone).date(), (ends_at - timedelta(microseconds=1)).astimezone(zone).date()
        while day <= last:
            days.add(day)
            day += timedelta(days=1)
    return days


def _local_date(event: EventView) -> date:
    return event.starts_at.astimezone(ZoneInfo(event.time_zone)).date()


def shifted(interval: Interval, shift: timedelta) -> Interval:
    """The same time of another day, so long before."""
    return Interval(interval.starts_at - shift, interval.ends_at - shift)


def _sum_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(sum(known)) if known else np.nan
