"""Watching baselines: whether the time that a baseline is read from looks unlike other days, to somebody's gain.

A baseline that is read just before an event pays whoever charges just then. The measure is the mean power in that window
against the same window on earlier days, counted positive in the direction that pays: more before a reduction, less before
an increase. What the platform itself had planned explains a difference; what is left over is for a person to look at.
The thresholds are this project's judgement and no market's rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WatchRule:
    """What is conspicuous.

    Attributes:
        least_fraction: an excess below this part of the typical power is ordinary.
        least_spreads: so is one below this many standard deviations of the earlier days.
        least_kw: and one below this, whatever it is a part of.
        least_days: with fewer earlier days nothing is said.
        unexplained_fraction: so much of the excess must differ from the plan, where there was one.
    """

    least_fraction: float = 0.2
    least_spreads: float = 2.5
    least_kw: float = 0.5
    least_days: int = 3
    unexplained_fraction: float = 0.5


@dataclass(frozen=True, eq=False)
class WatchedWindow:
    """The measures of each asset; NaN where there is nothing to compare with."""

    today_kw: Numbers  # [asset]
    typical_kw: Numbers  # [asset]
    spread_kw: Numbers  # [asset]
    planned_kw: Numbers  # [asset]
    excess_kw: Numbers  # [asset]
    conspicuous: NDArray[np.bool_]  # [asset]


def watch_window(
    rule: WatchRule,
    *,
    direction: str,
    today_kw: Numbers,  # [asset]
    earlier_kw: Numbers,  # [asset, day]
    planned_kw: Numbers,  # [asset]
) -> WatchedWindow:
    """Compare a window with earlier days and with the plan.

    Args:
        direction: "reduce" or "increase".
        today_kw: mean power in the window on the day of the event, NaN where it was not metered.
        earlier_kw: the same on earlier days, NaN where it was not metered.
        planned_kw: what the platform had planned for the window before it began, NaN where it had not planned.
    """
    sign = 1.0 if direction == "reduce" else -1.0
    known = ~np.isnan(earlier_kw)
    days = known.sum(axis=1)
    enough = days >= rule.least_days
    filled = np.where(known, earlier_kw, 0.0)
    typical = np.divide(filled.sum(axis=1), days, out=np.full(len(days), np.nan), where=enough)
    square = np.where(known, (earlier_kw - typical[:, None]) ** 2, 0.0).sum(axis=1)
    spread = np.sqrt(np.divide(square, days - 1, out=np.full(len(days), np.nan), where=enough & (days > 1)))
    excess = sign * (today_kw - typical)
    limit = np.maximum(np.maximum(rule.least_fraction * np.abs(typical), rule.least_spreads * spread), rule.least_kw)
    beyond_plan = sign * (today_kw - planned_kw)
    unexplained = np.isnan(planned_kw) | (beyond_plan > rule.unexplained_fraction * excess)
    with np.errstate(invalid="ignore"):
        conspicuous = (excess > limit) & unexplained
    return WatchedWindow(today_kw, typical, spread, planned_kw, excess, conspicuous)
