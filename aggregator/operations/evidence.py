"""What the meters prove about an event: energy of its participants, and what they would have drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from common.clock import Interval
from fleet.queries.state import metered_energy
from grid.core.baseline import HistoryBaseline, high_4_of_5, meter_before, nominated
from grid.queries import EventView
from grid.queries.events import event_windows

Numbers = NDArray[np.float64]

# readings of so many assets are held in memory at once
ASSETS_AT_ONCE = 2_000
# High 4 of 5, after METI's guideline as read in excerpts: how far to look back, and the window of the adjustment
LOOK_BACK_DAYS = 30
DAYS_WANTED = 5
WINDOW_FROM, WINDOW_UNTIL = timedelta(hours=5), timedelta(hours=2)
WINDOW_SLOT_S = 1800
SATURDAY = 5


@dataclass(frozen=True, eq=False)
class EventEvidence:
    """What settlement is computed from. `baseline_kw` is NaN where it is not known; `complete` says what is proven.

    `baseline_method` is the method that was really used; `evidence_sha256` the fingerprint of all readings behind it.
    """

    asset_ids: tuple[int, ...]
    baseline_kw: Numbers  # [asset, slot]
    net_kwh: Numbers  # [asset, slot]
    complete: NDArray[np.bool_]  # [asset, slot]
    baseline_method: str
    evidence_sha256: str


def event_evidence(event: EventView) -> EventEvidence:
    """Read and condense the meters of an event's participants, a batch of assets at a time.

    A programme that wants High 4 of 5 gets the meter before the event where there is no earlier day to look at; the
    method that was used is part of the evidence.
    """
    asset_ids = tuple(sorted(set(event.participants)))
    method = event.baseline_method
    days = history_days(event) if method == "high_4_of_5" else []
    batches = list(_batches(asset_ids))
    parts = [_meters(batch, Interval(event.starts_at, event.ends_at), event.slot_s) for batch in batches]
    slots = len(Interval(event.starts_at, event.ends_at).slots(event.slot_s))
    net_kwh = _stacked([part.net_kwh for part in parts], slots)
    complete = _stacked([part.complete for part in parts], slots).astype(bool)
    baseline_kw = np.full(net_kwh.shape, np.nan)
    fingerprints = [part.fingerprint for part in parts]
    if method == "high_4_of_5":
        history = _history(batches, event, days)
        fingerprints += history.fingerprints
        baseline_kw = history.baseline.baseline_kw
        method = method if history.baseline.kept_days else "meter_before"
    if method != "high_4_of_5":
        before = [_meters(batch, _window_before(event), event.baseline_window_s) for batch in batches]
        fingerprints += [part.fingerprint for part in before]
        before_kw = _mean_kw(before, event.baseline_window_s)[:, 0]
        if method == "nominated" and event.baseline_kw is not None:
            baseline_kw = nominated(event.baseline_kw, before_kw, slots)
        else:
            baseline_kw = meter_before(before_kw, slots)
    fingerprint = hashlib.sha256("".join([method, *fingerprints]).encode()).hexdigest()
    return EventEvidence(asset_ids, baseline_kw, net_kwh, complete, method, fingerprint)


def history_baseline_kw(*, event: EventView, asset_ids: Sequence[int]) -> float | None:
    """What assets together would draw in an event by High 4 of 5, as a mean over its slots; None where no earlier day
    was metered, in which case settlement falls back on the meter before the event.

    It is known as soon as the adjustment window has passed, two hours before the start.
    """
    batches = list(_batches(tuple(sorted(set(asset_ids)))))
    history = _history(batches, event, history_days(event)).baseline
    if not history.kept_days:
        return None
    return float(np.nansum(history.baseline_kw, axis=0).mean())


def history_days(event: EventView) -> list[timedelta]:
    """How far back the days lie that a history baseline may look at, latest first.

    Days of the same kind (working day or weekend) in the region's local time, without those on which an event of the
    region ran; the same local time of day, so that a change of the clocks moves nothing.
    """
    zone = ZoneInfo(event.time_zone)
    local = event.starts_at.astimezone(zone)
    busy = {
        at.astimezone(zone).date()
        for window in event_windows(
            region_id=event.region_id,
            starts_at=event.starts_at - timedelta(days=LOOK_BACK_DAYS + 1),
            ends_at=event.starts_at,
        )
        for at in window
    }
    shifts = []
    for back in range(1, LOOK_BACK_DAYS + 1):
        day = local.date() - timedelta(days=back)
        if day in busy or (day.weekday() >= SATURDAY) != (local.weekday() >= SATURDAY):
            continue
        same_time = datetime.combine(day, local.timetz().replace(tzinfo=None), zone)
        shifts.append(event.starts_at - same_time.astimezone(event.starts_at.tzinfo))
    return shifts


@dataclass(frozen=True, eq=False)
class _Meters:
    net_kwh: Numbers  # [asset, slot]
    complete: NDArray[np.bool_]  # [asset, slot]
    fingerprint: str


@dataclass(frozen=True, eq=False)
class _History:
    baseline: HistoryBaseline
    fingerprints: list[str]


def _history(batches: Sequence[tuple[int, ...]], event: EventView, days: Sequence[timedelta]) -> _History:
    """High 4 of 5 from the latest days that were metered at all, as many as the method looks at."""
    window = Interval(event.starts_at - WINDOW_FROM, event.starts_at - WINDOW_UNTIL)
    fingerprints: list[str] = []

    def read(interval: Interval, slot_s: int) -> Numbers:
        parts = [_meters(batch, interval, slot_s) for batch in batches]
        fingerprints.extend(part.fingerprint for part in parts)
        lengths_s = [slot.duration_s for slot in interval.slots(slot_s)]
        return _stacked([_mean_of(part, lengths_s) for part in parts], len(lengths_s))

    history, history_window = [], []
    for shift in days:
        day_kw = read(Interval(event.starts_at - shift, event.ends_at - shift), event.slot_s)
        if np.isnan(day_kw).all():
            continue
        history.append(day_kw)
        history_window.append(read(Interval(window.starts_at - shift, window.ends_at - shift), WINDOW_SLOT_S))
        if len(history) == DAYS_WANTED:
            break
    today = read(window, WINDOW_SLOT_S)
    slots = len(Interval(event.starts_at, event.ends_at).slots(event.slot_s))
    assets = today.shape[0]
    return _History(
        high_4_of_5(
            history_kw=np.stack(history, axis=1) if history else np.full((assets, 0, slots), np.nan),
            history_window_kw=np.stack(history_window, axis=1)
            if history
            else np.full((assets, 0, today.shape[1]), np.nan),
            today_window_kw=today,
        ),
        fingerprints,
    )


def _meters(asset_ids: Sequence[int], interval: Interval, slot_s: int) -> _Meters:
    metered = metered_energy(asset_ids=asset_ids, starts_at=interval.starts_at, ends_at=interval.ends_at, slot_s=slot_s)
    return _Meters(metered.net_kwh, metered.complete, metered.evidence_sha256)


def _mean_of(part: _Meters, lengths_s: Sequence[float]) -> Numbers:  # [asset, slot]
    return np.where(part.complete, part.net_kwh / (np.asarray(lengths_s) / 3600.0), np.nan)


def _mean_kw(parts: Sequence[_Meters], slot_s: int) -> Numbers:  # [asset, 1]
    return _stacked([_mean_of(part, [slot_s]) for part in parts], 1)


def _stacked(parts: Sequence[NDArray], slots: int) -> NDArray:  # [asset, slot]
    return np.concatenate(parts) if parts else np.zeros((0, slots))


def _window_before(event: EventView) -> Interval:
    return Interval(event.starts_at - timedelta(seconds=event.baseline_window_s), event.starts_at)


def _batches(asset_ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(asset_ids), ASSETS_AT_ONCE):
        yield tuple(asset_ids[start : start + ASSETS_AT_ONCE])
