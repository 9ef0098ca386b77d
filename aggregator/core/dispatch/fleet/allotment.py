"""A portfolio's room in parts, one for each region; `regions` has how they come about.

Apart from it, because everybody who reads facts or keeps plans needs these, and only who finds prices the solver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.problem import DispatchProblem, EventTarget, TargetDirection
from aggregator.core.dispatch.result import MissKind

Numbers = NDArray[np.float64]
LEAST_REACH_KW = 1e-3


@dataclass(frozen=True, eq=False)
class PortfolioPrices:
    """What the regions' samples say of the portfolio.

    Attributes:
        duals: what a kW more in a step is worth to the portfolio, in money.
        power_kw: what each region should do.
        reach_kw: how far apart each region's answers lay: how far it can give way.
        gap: to which the samples' plan was proven.
        rounds: how often prices were asked for.
    """

    duals: Numbers  # [step]
    power_kw: Numbers  # [region, step]
    reach_kw: Numbers  # [region, step]
    gap: float
    rounds: int


def portfolio_rows(
    step_h: Numbers, import_limit_kw: Numbers, export_limit_kw: Numbers, missed_price_per_kwh: Numbers
) -> Coupling:
    """The portfolio's limits, [step] each, infinite for none, as the rows of one block."""
    price = missed_price_per_kwh[None]
    return Coupling(
        np.ones((1, 1), dtype=np.bool_), -export_limit_kw[None], import_limit_kw[None], price, price, step_h
    )


def at_duals(problem: DispatchProblem, duals: Numbers) -> DispatchProblem:
    """The region's problem with the portfolio's price on top of its own."""
    return replace(problem, price_per_kwh=problem.price_per_kwh + duals / problem.horizon.step_h)


def lower_bound(rows: Coupling, duals: Numbers, bounds: Sequence[float]) -> float:
    """No plans of all regions cost less together, the portfolio's rows included.

    Args:
        duals: any; those of `find_prices` prove most. [step]
        bounds: lower bound of each region's plan of `at_duals`.
    """
    return float(sum(bounds)) + rows.least_cost(duals[None])


def allot(rows: Coupling, prices: PortfolioPrices) -> tuple[Numbers, Numbers]:
    """The band of power within which each region may move without asking anybody; least and most, [region, step] each.

    What the samples' plan leaves of the portfolio's room, or lacks, is dealt out by how far the regions can give way:

        most_rt = P_rt + share_rt · (upper_t − Σ P_rt),   least_rt = P_rt − share_rt · (Σ P_rt − lower_t),   Σ_r share_rt = 1.
    """
    total_kw, reach_kw = prices.power_kw.sum(axis=0), prices.reach_kw + LEAST_REACH_KW
    share = reach_kw / reach_kw.sum(axis=0)
    most_kw = prices.power_kw + share * (rows.upper_kw[0] - total_kw)
    least_kw = prices.power_kw - share * (total_kw - rows.lower_kw[0])
    return least_kw, most_kw


def with_allotment(
    problem: DispatchProblem, least_kw: Numbers, most_kw: Numbers, missed_price_per_kwh: Numbers, name: str
) -> DispatchProblem:
    """The region's problem with its part of the portfolio's room, at the portfolio's price for what is missed.

    Args:
        least_kw, most_kw: band of the sum of set-points and computing, [step]; infinite where there is no limit.
        name: what a plan calls the promise where it cannot be kept.
    """
    limits = (
        (most_kw, TargetDirection.AT_MOST, MissKind.PORTFOLIO_IMPORT_LIMIT),
        (least_kw, TargetDirection.AT_LEAST, MissKind.PORTFOLIO_EXPORT_LIMIT),
    )
    targets = [
        EventTarget(
            name,
            np.where(np.isfinite(limit_kw), limit_kw, np.nan),
            direction,
            missed_price_per_kwh,
            missed_as=missed_as,
        )
        for limit_kw, direction, missed_as in limits
        if np.isfinite(limit_kw).any()
    ]
    return replace(problem, targets=(*problem.targets, *targets))
