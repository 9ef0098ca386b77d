"""Baselines: what assets would have drawn without the event.

All powers are signed as at the meter (positive = import). NaN means "not metered"; what is not metered makes no baseline
and is never guessed. Every method is linear in the meters once its days and its ratio are chosen, which happens for all
assets together; so the baselines of assets add up to the baseline of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidInput

Numbers = NDArray[np.float64]


class Adjustment(StrEnum):
    """How the day of the event moves a baseline from earlier days."""

    NONE = "none"
    ADDITIVE = "additive"
    CAPPED_RATIO = "capped_ratio"


@dataclass(frozen=True, slots=True)
class HistoryRule:
    """A baseline from earlier days: the `days_kept` largest of the `days_looked_at` latest.

    Attributes:
        least_day_fraction: a day that used less than this part of the mean of all days is no day like the others.
        adjustment_cap_fraction: for a capped ratio: how far it may lie from one.
    """

    days_looked_at: int
    days_kept: int
    least_day_fraction: float = 0.0
    adjustment: Adjustment = Adjustment.NONE
    adjustment_cap_fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class HistoryChoice:
    """What is chosen for all assets together.

    Attributes:
        kept_days: which of the given days the baseline is the mean of, latest first.
        ratio: what a capped ratio multiplies with; one for every other adjustment.
    """

    kept_days: tuple[int, ...]
    ratio: float = 1.0


@dataclass(frozen=True, eq=False)
class HistoryBaseline:
    """A baseline from earlier days.

    Attributes:
        baseline_kw: adjusted baseline, NaN where an asset has no metered day or no metered adjustment window.
        adjustment_kw: what the additive adjustment added to every slot; 0 for the others.
    """

    baseline_kw: Numbers  # [asset, slot]
    choice: HistoryChoice
    adjustment_kw: Numbers  # [asset]


def meter_before(before_kw: Numbers, slots: int) -> Numbers:  # [asset, slot]
    """The mean power in the window before the event, held through all its slots.

    Args:
        before_kw: mean power of each asset in the window, NaN where it was not metered  # [asset]
        slots: number of slots of the event.
    """
    return np.repeat(np.asarray(before_kw, dtype=np.float64)[:, None], slots, axis=1)


def meter_before_after(
    before_kw: Numbers, after_kw: Numbers, *, before_s: float, after_s: float, slots: int
) -> Numbers:  # [asset, slot]
    """The mean over two windows, one before and one after the event, each hour counting the same.

    With equal windows this is meter before / meter after; with three hours before and two after, an hour away from the
    event on both sides, PJM's Same Day 3+2. An asset that was not metered in both windows has no baseline.

    Args:
        before_kw, after_kw: mean power of each asset in each window, NaN where it was not metered  # [asset]
        before_s, after_s: lengths of the windows.
    """
    mean_kw = (np.asarray(before_kw) * before_s + np.asarray(after_kw) * after_s) / (before_s + after_s)
    return meter_before(mean_kw, slots)


def nominated(nominated_kw: float | Numbers, before_kw: Numbers, slots: int) -> Numbers:  # [asset, slot]
    """A total that was nominated before the event, as baselines of assets that add up to it.

    Each metered asset has its mean before the event plus an equal part of what the nomination is away from their sum;
    the parts decide whose contribution it is, never how much is delivered together.

    Args:
        nominated_kw: the nominated total, of all slots or of each  # [slot]
        before_kw: mean power of each asset before the event, NaN where it was not metered  # [asset]
        slots: number of slots of the event.
    """
    metered = ~np.isnan(before_kw)
    if not metered.any():
        return meter_before(before_kw, slots)
    missing_kw = np.broadcast_to(nominated_kw, (slots,)) - float(np.sum(before_kw[metered]))
    return meter_before(np.where(metered, before_kw, np.nan), slots) + missing_kw / metered.sum()


def choose_days(rule: HistoryRule, day_mean_kw: Numbers) -> tuple[int, ...]:
    """Which days a rule keeps: of the latest that were metered, those with the largest mean in the event's window.

    Left out first: days that were not metered (NaN), and days below the rule's part of the mean of the days looked at.
    Of equal days the later is kept. With fewer days left than the rule keeps, all that are left are kept.

    Args:
        day_mean_kw: mean power of all assets together in the event's window, latest day first  # [day]

    Returns:
        Indices into the days, latest first; empty if none can be used.
    """
    latest = [day for day in range(len(day_mean_kw)) if np.isfinite(day_mean_kw[day])][: rule.days_looked_at]
    if not latest:
        return ()
    least_kw = rule.least_day_fraction * float(np.mean([day_mean_kw[day] for day in latest]))
    # a portfolio that exports has a negative mean; there the test says nothing
    alike = [day for day in latest if least_kw <= 0 or day_mean_kw[day] >= least_kw]
    largest = sorted(alike, key=lambda day: (-day_mean_kw[day], day))[: rule.days_kept]
    return tuple(sorted(largest))


def capped_ratio(rule: HistoryRule, today_kw: float, typical_kw: float) -> float:
    """What a capped ratio multiplies the baseline with: today over typical in the adjustment window, within the cap.

    A portfolio that typically draws nothing or exports there has no meaningful ratio: then it is one.
    """
    if rule.adjustment != Adjustment.CAPPED_RATIO or not typical_kw > 0 or not np.isfinite(today_kw):
        return 1.0
    cap = rule.adjustment_cap_fraction
    return float(np.clip(today_kw / typical_kw, 1.0 - cap, 1.0 + cap))


def choose_history(
    rule: HistoryRule,
    *,
    history_kw: Numbers,  # [asset, day, slot]
    history_window_kw: Numbers,  # [asset, day, window]
    today_window_kw: Numbers,  # [asset, window]
) -> HistoryChoice:
    """The days and the ratio, chosen for all assets together; see `history_baseline` for the arguments."""
    kept = choose_days(rule, together_kw(history_kw))
    if not kept or rule.adjustment != Adjustment.CAPPED_RATIO:
        return HistoryChoice(kept)
    typical_kw = _mean_of_known(history_window_kw[:, list(kept), :], axis=1)
    both = ~(np.isnan(typical_kw) | np.isnan(today_window_kw))
    today, typical = float(today_window_kw[both].sum()), float(typical_kw[both].sum())
    return HistoryChoice(kept, capped_ratio(rule, today, typical))


def history_baseline(
    rule: HistoryRule,
    *,
    history_kw: Numbers,  # [asset, day, slot]
    history_window_kw: Numbers,  # [asset, day, window]
    today_window_kw: Numbers,  # [asset, window]
    choice: HistoryChoice | None = None,
) -> HistoryBaseline:
    """A baseline from earlier days, adjusted to the day of the event.

    B_s = mean over the kept days of L_{d,s}.
    Additive (High 4 of 5 of METI's guideline): baseline_s = B_s + mean over the window of (L_today − mean over the kept
    days of L_d); it may be negative and has no cap. Capped ratio (10 of 10, High 5 of 10): baseline_s = B_s · r, where
    r = today / typical in the window, of all assets together, within 1 ± cap.

    Args:
        history_kw: mean power per slot of the event on earlier days, latest day first; days of events, and days of
            another kind (weekend, holiday) are left out by the caller.
        history_window_kw: the same for the slots of the adjustment window.
        today_window_kw: the adjustment window on the day of the event.
        choice: what was chosen for a larger portfolio of which these assets are a part; None: choose for these.

    Raises:
        InvalidInput: the arrays do not fit together.
    """
    _check_shapes(history_kw, history_window_kw, today_window_kw)
    windows = {"history_kw": history_kw, "history_window_kw": history_window_kw, "today_window_kw": today_window_kw}
    chosen = choose_history(rule, **windows) if choice is None else choice
    assets, slots = history_kw.shape[0], history_kw.shape[2]
    if not chosen.kept_days:
        nothing = np.full((assets, slots), np.nan)
        return HistoryBaseline(nothing, chosen, np.full(assets, np.nan))
    days = list(chosen.kept_days)
    typical_kw = _mean_of_known(history_kw[:, days, :], axis=1)  # [asset, slot]
    adjustment_kw = np.zeros(assets)
    if rule.adjustment == Adjustment.ADDITIVE:
        typical_window_kw = _mean_of_known(history_window_kw[:, days, :], axis=1)  # [asset, window]
        adjustment_kw = _mean_of_known(today_window_kw - typical_window_kw, axis=1)  # [asset]
    return HistoryBaseline(typical_kw * chosen.ratio + adjustment_kw[:, None], chosen, adjustment_kw)


def together_kw(history_kw: Numbers) -> Numbers:  # [day]
    """Mean power of all assets together per day: the sum over assets of each one's mean; NaN if none was metered.

    Args:
        history_kw: [asset, day, slot]
    """
    per_asset = _mean_of_known(history_kw, axis=2)  # [asset, day]
    known = ~np.isnan(per_asset)
    return np.where(known.any(axis=0), np.where(known, per_asset, 0.0).sum(axis=0), np.nan)


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


def _mean_of_known(values: Numbers, *, axis: int) -> Numbers:
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
