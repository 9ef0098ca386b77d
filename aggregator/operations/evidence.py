"""What the meters prove about an event: energy of its participants, and what they would have drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aggregator.operations.history import (
    Batch,
    HistoryDays,
    MeterReader,
    adjustment_window,
    choose_history_days,
    history_baseline_of,
    shifted,
)
from common.clock import Interval
from grid.core.baseline import meter_before, meter_before_after, nominated
from grid.queries import EventView
from grid.queries.baseline_rules import BaselineRuleView, baseline_rule

Numbers = NDArray[np.float64]

FALLBACK_METHOD = "meter_before"
LONGEST_WINDOW_SLOT_S = 3600


@dataclass(frozen=True, eq=False)
class EvidencePart:
    """A batch of participants. `baseline_kw` is NaN where it is not known; `complete` says what is proven."""

    asset_ids: Batch
    baseline_kw: Numbers  # [asset, slot]
    net_kwh: Numbers  # [asset, slot]
    complete: NDArray[np.bool_]  # [asset, slot]


class EventEvidence:
    """The meters of an event's participants, read and condensed a batch of assets at a time, so that memory does not
    grow with the fleet.

    A programme that wants earlier days gets the meter before the event where there is no earlier day to look at; the
    method that was really used is `rule`.
    """

    def __init__(self, event: EventView) -> None:
        self.event = event
        self.asset_ids = tuple(sorted(set(event.participants)))
        self._meters = MeterReader(self.asset_ids)
        self._wanted = baseline_rule(event.baseline_method, event.starts_at)

    @cached_property
    def history_days(self) -> HistoryDays | None:
        """The earlier days behind the baseline; None where the method looks at none, or there is none."""
        if not self._wanted.reads_history:
            return None
        days = choose_history_days(self.event, self._wanted, self._meters)
        return days if days.shifts else None

    @cached_property
    def rule(self) -> BaselineRuleView:
        """The rule that was really used."""
        if self._wanted.reads_history and self.history_days is None:
            return baseline_rule(FALLBACK_METHOD, self.event.starts_at)
        return self._wanted

    @property
    def slots(self) -> list[Interval]:
        """The settlement slots of the event."""
        return Interval(self.event.starts_at, self.event.ends_at).slots(self.event.slot_s)

    def parts(self) -> Iterator[EvidencePart]:
        """The participants in order of their identifiers, a batch at a time."""
        nominated_before_kw = self._nominated_before() if self.rule.kind == "nominated" else None
        first = 0
        for batch in self._meters.batches:
            during = self._meters.energy(batch, Interval(self.event.starts_at, self.event.ends_at), self.event.slot_s)
            if self.history_days is not None:
                baseline_kw = history_baseline_of(self.event, self.rule, self.history_days, self._meters, batch)
            elif nominated_before_kw is not None:
                baseline_kw = nominated_before_kw[first : first + len(batch)]
            else:
                baseline_kw = self._around(batch)
            first += len(batch)
            yield EvidencePart(batch, baseline_kw, during.net_kwh, during.complete)

    def of_asset(self, asset_id: int) -> EvidencePart:
        """One participant alone, by what was chosen for all."""
        if self.rule.kind == "nominated":
            part = next(part for part in self.parts() if asset_id in part.asset_ids)
            row = [part.asset_ids.index(asset_id)]
            return EvidencePart((asset_id,), part.baseline_kw[row], part.net_kwh[row], part.complete[row])
        batch = (asset_id,)
        during = self._meters.energy(batch, Interval(self.event.starts_at, self.event.ends_at), self.event.slot_s)
        days = self.history_days
        if days is not None:
            baseline_kw = history_baseline_of(self.event, self.rule, days, self._meters, batch)
        else:
            baseline_kw = self._around(batch)
        return EvidencePart(batch, baseline_kw, during.net_kwh, during.complete)

    def fingerprint(self) -> str:
        """SHA-256 over the rule and every reading used; final once all parts were taken."""
        return self._meters.fingerprint(self.rule.code, self.rule.effective_from.isoformat())

    def intervals(self) -> list[tuple[Interval, int]]:
        """Every interval that the numbers rest on, with the length of its slots."""
        during = Interval(self.event.starts_at, self.event.ends_at)
        found = [(during, self.event.slot_s)]
        if self.history_days is None:
            return found + [(window, min(round(window.duration_s), LONGEST_WINDOW_SLOT_S)) for window in self.windows()]
        window = adjustment_window(self.event, self.rule)
        found += [(shifted(during, shift), self.event.slot_s) for shift in self.history_days.shifts]
        if window is not None:
            days = [timedelta(0), *self.history_days.shifts]
            found += [(shifted(window, shift), self.rule.window_slot_s) for shift in days]
        return found

    def windows(self) -> list[Interval]:
        """The windows on the day of the event that a same-day method reads: before, and after if it reads that."""
        rule, event = self.rule, self.event
        found = []
        if rule.uses_before:
            until = event.starts_at - timedelta(seconds=rule.before_gap_s)
            found.append(Interval(until - timedelta(seconds=rule.before_s or event.baseline_window_s), until))
        if rule.uses_after:
            since = event.ends_at + timedelta(seconds=rule.after_gap_s)
            found.append(Interval(since, since + timedelta(seconds=rule.after_s or event.baseline_window_s)))
        return found

    def _around(self, batch: Batch) -> Numbers:  # [asset, slot]
        windows = self.windows()
        means = [self._window_kw(batch, window) for window in windows]
        if len(windows) == 1:
            return meter_before(means[0], len(self.slots))
        before, after = windows
        return meter_before_after(*means, before_s=before.duration_s, after_s=after.duration_s, slots=len(self.slots))

    def _window_kw(self, batch: Batch, window: Interval) -> Numbers:  # [asset]
        """Mean power in a window, NaN where any hour of it is not proven: a long window must not bridge long gaps."""
        slot_s = min(round(window.duration_s), LONGEST_WINDOW_SLOT_S)
        lengths_s = np.array([slot.duration_s for slot in window.slots(slot_s)])
        return self._meters.mean_kw(batch, window, slot_s) @ lengths_s / lengths_s.sum()

    def _nominated_before(self) -> Numbers:  # [asset, slot]
        """A nomination is a total: the parts of all assets must be known before the first one's."""
        window = self.windows()[0]
        read = [self._window_kw(batch, window) for batch in self._meters.batches]
        before_kw = np.concatenate(read) if read else np.zeros(0)
        if self.event.baseline_kw is None:
            return meter_before(before_kw, len(self.slots))
        return nominated(self.event.baseline_kw, before_kw, len(self.slots))


def history_baseline_kw(*, event: EventView, asset_ids: Sequence[int]) -> float | None:
    """What assets together would draw in an event by a method that looks at earlier days, as a mean over its slots; None
    where no earlier day was metered, in which case settlement falls back on the meter before the event.

    It is known as soon as the adjustment window has passed.
    """
    rule = baseline_rule(event.baseline_method, event.starts_at)
    meters = MeterReader(asset_ids)
    days = choose_history_days(event, rule, meters)
    if not days.shifts:
        return None
    slots = [np.nansum(history_baseline_of(event, rule, days, meters, batch), axis=0) for batch in meters.batches]
    return float(np.sum(slots, axis=0).mean())
