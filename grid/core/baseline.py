"""Baselines: what assets would have drawn without the event.

All powers are signed as at the meter (positive = import). NaN means "not metered"; what is not metered makes no baseline
and is never guessed. Every method is linear in the meters once its days are chosen, so that the baselines of assets add
up to the baseline of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidInput

Numbers = NDArray[np.float64]

DAYS_LOOKED_AT = 5
DAYS_KEPT = 4
# a day that used less than this part of the mean of all days is no day like the others
LEAST_DAY_FRACTION = 0.25


@dataclass(frozen=True, eq=False)
class HistoryBaseline:
    """A baseline from earlier days.

    Attributes:
        baseline_kw: adjusted baseline, NaN where an asset has no metered day or no metered adjustment window.
        kept_days: which of the given days it is the mean of, in their order.
        adjustment_kw: what the day-of adjustment added to every slot.
    """

    baseline_kw: Numbers  # [asset, slot]
    kept_days: tuple[int, ...]
    adjustment_kw: Numbers  # [asset]


def meter_before(before_kw: Numbers, slots: int) -> Numbers:  # [asset, slot]
    """The mean power in the window before the event, held through all its slots.

    Args:
        before_kw: mean power of each asset in the window, NaN where it was not metered  # [asset]
        slots: number of slots of the event.
    """
    return np.repeat(np.asarray(before_kw, dtype=np.float64)[:, None], slots, axis=1)


def nominated(nominated_kw: float, before_kw: Numbers, slots: int) -> Numbers:  # [asset, slot]
    """A total that was nominated before the event, as baselines of assets that add up to it.

    Each metered asset has its mean before the event plus an equal part of what the nomination is away from their sum;
    the parts decide whose contribution it is, never how much is delivered together.

    Args:
        nominated_kw: the nominated total.
        before_kw: mean power of each asset before the event, NaN where it was not metered  # [asset]
        slots: number of slots of the event.
    """
    metered = ~np.isnan(before_kw)
    if not metered.any():
        return meter_before(before_kw, slots)
    missing_kw = nominated_kw - float(np.sum(before_kw[metered]))
    return meter_before(np.where(metered, before_kw + missing_kw / metered.sum(), np.nan), slots)


def choose_days(day_mean_kw: Numbers) -> tuple[int, ...]:
    """Which days High 4 of 5 keeps: of the five latest, the four with the largest mean in the event's window.

    Left out first: days that were not metered (NaN), and days below 25 % of the mean of the days looked at. Of equal
    days the later is kept. With fewer than five days left the smallest is dropped only if at least four stay.

    Args:
        day_mean_kw: mean power of all assets together in the event's window, latest day first  # [day]

    Returns:
        Indices into the days, latest first; empty if none can be used.
    """
    latest = [day for day in range(len(day_mean_kw)) if np.isfinite(day_mean_kw[day])][:DAYS_LOOKED_AT]
    if not latest:
        return ()
    least_kw = LEAST_DAY_FRACTION * float(np.mean([day_mean_kw[day] for day in latest]))
    # a portfolio that exports has a negative mean; there the test says nothing
    alike = [day for day in latest if least_kw <= 0 or day_mean_kw[day] >= least_kw]
    largest = sorted(alike, key=lambda day: (-day_mean_kw[day], day))[:DAYS_KEPT]
    return tuple(sorted(largest))


def high_4_of_5(
    *,
    history_kw: Numbers,  # [asset, day, slot]
    history_window_kw: Numbers,  # [asset, day, window]
    today_window_kw: Numbers,  # [asset, window]
) -> HistoryBaseline:
    """High 4 of 5 with additive day-of adjustment (METI's guideline for energy resource aggregation).

    B_s = mean over the kept days of L_{d,s};  A = mean over the window of (L_today − mean over the kept days of L_d);
    baseline_s = B_s + A. The adjustment may be negative and has no cap.

    Args:
        history_kw: mean power per slot of the event on earlier days, latest day first; days of events, and days of
            another kind (weekend, holiday) are left out by the caller.
        history_window_kw: the same for the slots of the adjustment window (five to two hours before the start).
        today_window_kw: the adjustment window on the day of the event.

    Raises:
        InvalidInput: the arrays do not fit together.
    """
    _check_shapes(history_kw, history_window_kw, today_window_kw)
    kept = choose_days(_together(history_kw))
    assets, slots = history_kw.shape[0], history_kw.shape[2]
    if not kept:
        nothing = np.full((assets, slots), np.nan)
        return HistoryBaseline(nothing, (), np.full(assets, np.nan))
    days = list(kept)
    typical_kw = _mean_of_known(history_kw[:, days, :], axis=1)  # [asset, slot]
    typical_window_kw = _mean_of_known(history_window_kw[:, days, :], axis=1)  # [asset, window]
    adjustment_kw = _mean_of_known(today_window_kw - typical_window_kw, axis=1)  # [asset]
    return HistoryBaseline(typical_kw + adjustment_kw[:, None], kept, adjustment_kw)


def _check_shapes(history_kw: Numbers, history_window_kw: Numbers, today_window_kw: Numbers) -> None:
    fits = (
        history_kw.ndim == 3
        and history_window_kw.ndim == 3
        and today_window_kw.ndim == 2
        and history_kw.shape[:2] == history_window_kw.shape[:2]
        and (history_window_kw.shape[0], history_window_kw.shape[2]) == today_window_kw.shape
    )
    if not fits:
        raise InvalidInput(
            f"{history_kw.shape}, {history_window_kw.shape} and {today_window_kw.shape} do not fit together.",
            field="history_kw",
            remedy="Give [asset, day, slot], [asset, day, window] and [asset, window].",
        )


def _together(history_kw: Numbers) -> Numbers:  # [day]
    """Mean power of all assets together per day: the sum over assets of each one's mean; NaN if none was metered."""
    per_asset = _mean_of_known(history_kw, axis=2)  # [asset, day]
    known = ~np.isnan(per_asset)
    return np.where(known.any(axis=0), np.where(known, per_asset, 0.0).sum(axis=0), np.nan)


def _mean_of_known(values: Numbers, *, axis: int) -> Numbers:
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
