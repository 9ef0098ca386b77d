"""Compliance: whether what a market ordered was done, judged as its product's rules say. Pure.

Powers here are seen from the grid: **up is positive** (more generation or less consumption), as orders of markets are;
`delivered_up_kw` is baseline − metered of the portfolio. NaN means "not metered" and never counts as done.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DroopCurve:
    """Power against frequency: nothing within the dead band, everything from `full_activation_hz` away on."""

    nominal_hz: float
    deadband_hz: float
    full_activation_hz: float


@dataclass(frozen=True, eq=False)
class Judged:
    """A verdict per judged interval.

    Attributes:
        ordered_up_kw: what was asked for.
        short_kw: how much was missing in the direction asked for, beyond what is no fault; never negative.
        compliant: whether the interval was as ordered.
    """

    ordered_up_kw: Numbers  # [interval]
    short_kw: Numbers  # [interval]
    compliant: NDArray[np.bool_]  # [interval]

    @property
    def fraction(self) -> float:
        """The part of the intervals that were as ordered; 1 where there was none."""
        return float(self.compliant.mean()) if self.compliant.size else 1.0


def droop_up_kw(curve: DroopCurve, frequency_hz: Numbers, capacity_kw: float) -> Numbers:  # [interval]
    """What a droop asks for: P = P_c · clamp((f_0 − f) / Δf_full, −1, 1), nothing within the dead band.

    Source of the form: the continental FCR rules; a frequency that is not known (NaN) asks for NaN.
    """
    deviation_hz = curve.nominal_hz - np.asarray(frequency_hz, dtype=np.float64)
    asked = capacity_kw * np.clip(deviation_hz / curve.full_activation_hz, -1.0, 1.0)
    # a frequency written in millihertz must not leave the band by the last bit of a float
    return np.where(np.abs(deviation_hz) <= curve.deadband_hz + 1e-9, 0.0, asked)


def endurance_kwh(capacity_kw: float, endurance_s: float) -> tuple[float, float]:
    """Energy that a limited reservoir must hold for a symmetric product: (to give, to take), each P · T."""
    energy_kwh = capacity_kw * endurance_s / 3600.0
    return energy_kwh, energy_kwh


def judge_following(
    *,
    ordered_up_kw: Numbers,  # [interval]
    delivered_up_kw: Numbers,  # [interval]
    contracted_kw: float,
    response_s: float,
    interval_s: float,
    tolerance_fraction: float,
) -> Judged:
    """Whether a moving order was followed: at every interval the delivered power lies in the envelope of all orders of
    the response time before, give or take the tolerance on the contracted power.

    Before the first interval nothing was ordered. So a step may be followed as fast as one likes and must be followed within the response time. Used for set-points
    (aFRR, LFC) and for droops with the droop's own answer as the order.
    """
    window = max(1, round(response_s / interval_s) + 1)
    before = np.concatenate([np.zeros(window - 1), ordered_up_kw])
    seen = sliding_window_view(before, window) if ordered_up_kw.size else np.zeros((0, window))
    band_kw = tolerance_fraction * contracted_kw
    low, high = seen.min(axis=1) - band_kw, seen.max(axis=1) + band_kw
    with np.errstate(invalid="ignore"):
        compliant = (delivered_up_kw >= low) & (delivered_up_kw <= high)
    up = seen.min(axis=1) if ordered_up_kw.size else ordered_up_kw
    down = seen.max(axis=1) if ordered_up_kw.size else ordered_up_kw
    # what every order of the response time asked for at least, in either direction
    known = np.nan_to_num(delivered_up_kw)
    short = np.where(up > 0, up - known, np.where(down < 0, known - down, 0.0))
    return Judged(ordered_up_kw, np.where(compliant, 0.0, np.clip(short, 0.0, contracted_kw)), compliant)


def judge_slots(
    *,
    ordered_up_kw: Numbers,  # [slot]
    delivered_up_kw: Numbers,  # [slot]
    available_kw: Numbers,  # [slot]
    contracted_kw: float,
    tolerance_fraction: float,
) -> Judged:
    """The two assessments of the Japanese balancing market, slot by slot.

    I: the contracted power was available: short = max(0, K − available). II: the ordered power was delivered within
    ± tolerance · K; where it was not, short = what is missing of the order. The larger shortfall counts. Too much is no
    shortfall, but not as ordered either. A slot without an order is judged by I alone.
    """
    not_available = np.clip(contracted_kw - available_kw, 0.0, None)
    ordered = ordered_up_kw != 0
    deviation = np.abs(np.nan_to_num(delivered_up_kw) - ordered_up_kw)
    followed = ~ordered | (~np.isnan(delivered_up_kw) & (deviation <= tolerance_fraction * contracted_kw + 1e-9))
    toward = np.sign(ordered_up_kw) * np.nan_to_num(delivered_up_kw)
    missing = np.where(followed, 0.0, np.clip(np.abs(ordered_up_kw) - toward, 0.0, contracted_kw))
    short = np.maximum(not_available, missing)
    return Judged(ordered_up_kw, short, followed & (not_available <= 1e-9))


def judge_call(*, called: NDArray[np.bool_], delivered_up_kw: Numbers, contracted_kw: float) -> Judged:
    """Whether the contracted power was held in every slot of a call; short is what is missing of it.

    Args:
        called: whether the slot belongs to a call  # [slot]
    """
    ordered = np.where(called, contracted_kw, 0.0)
    short = np.where(called, np.clip(contracted_kw - np.nan_to_num(delivered_up_kw), 0.0, contracted_kw), 0.0)
    return Judged(ordered, short, short <= 1e-9)


def judge_limit(*, limit_kw: Numbers, metered_kw: Numbers) -> Judged:
    """Whether the portfolio's import stayed at or below a limit; short is by how much it did not.

    Args:
        limit_kw: NaN where no limit is in force  # [slot]
        metered_kw: mean import, positive into the assets  # [slot]
    """
    limited = ~np.isnan(limit_kw)
    unknown = limited & np.isnan(metered_kw)
    over = np.where(limited, np.clip(np.nan_to_num(metered_kw) - np.nan_to_num(limit_kw), 0.0, None), 0.0)
    return Judged(np.where(limited, -np.nan_to_num(limit_kw), 0.0), over, (over <= 1e-9) & ~unknown)


def judge_energy(
    *,
    ordered_up_kw: Numbers,  # [slot]
    delivered_up_kw: Numbers,  # [slot]
    contracted_kw: float,
    tolerance_fraction: float,
) -> Judged:
    """Whether at least the ordered energy was delivered in every slot, less the tolerance on the contracted power."""
    toward = np.sign(ordered_up_kw) * np.nan_to_num(delivered_up_kw)
    missing = np.where(ordered_up_kw != 0, np.clip(np.abs(ordered_up_kw) - toward, 0.0, contracted_kw), 0.0)
    fault = missing > tolerance_fraction * contracted_kw + 1e-9
    return Judged(ordered_up_kw, np.where(fault, missing, 0.0), ~fault)
