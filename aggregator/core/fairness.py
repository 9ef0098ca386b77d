"""Calls shared fairly between owners over time: a rule that may cost next to nothing, and a figure that tells if it works.

The rule: among assets of equal cost those are called first whose owners were called least. How much an owner was called is

    called = energy that settlements credit the owner with / energy that the owner's assets offered (kW of range · hours)

over the last 30 days. With F the part of all offered energy whose owners were called less, an asset's wear is taken to cost
less by

    discount = min(wear, bound · (F_max − F))        0 ≤ discount ≤ bound

while a plan is made, and nothing else changes. Discounts only ever lower a cost, so what the plan with discounts cannot be
cheaper than is also what the true plan cannot be cheaper than: its lower bound stays proven. And if x is the plan that the
discounts choose, x* the cheapest, and d(·) what a plan discharges, then from  c(x) − Σ discount·d(x) ≤ c(x*) − Σ discount·d(x*)

    c(x) − c(x*) ≤ Σ discount · (d(x) − d(x*)) ≤ bound · Σ d(x):

fairness costs no more than `bound` for each kWh that is discharged. What a plan reports is its true cost.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch import DispatchPlan, DispatchProblem
from aggregator.core.dispatch.result import relative_gap

Numbers = NDArray[np.float64]


def wear_discounts(
    called: Numbers,  # [asset]
    offered_kwh: Numbers,  # [asset]
    wear_per_kwh: Numbers,  # [asset]
    bound_per_kwh: float,
) -> Numbers:  # [asset]
    """By how much less each asset's wear is taken to cost: most for those whose owners were called least.

    Args:
        called: part of what its owner offered that was called; 0 for who is new.
        offered_kwh: what the owner offered, the weight in F; 0 for who is new.
        bound_per_kwh: the most, never negative.
    """
    if not called.size or bound_per_kwh <= 0.0:
        return np.zeros(called.size)
    levels, level = np.unique(called, return_inverse=True)
    weight = np.bincount(level, offered_kwh, minlength=levels.size)
    if not weight.sum() > 0.0:
        return np.zeros(called.size)
    called_less = (np.cumsum(weight) - weight) / weight.sum()
    discount = bound_per_kwh * (called_less[-1] - called_less[level])
    return np.minimum(discount, wear_per_kwh)


def in_fair_order(problem: DispatchProblem, discount_per_kwh: Numbers) -> DispatchProblem:
    """The problem in which the assets' wear costs less by their discounts."""
    if not discount_per_kwh.any():
        return problem
    assets = problem.assets
    return replace(problem, assets=replace(assets, wear_per_kwh=assets.wear_per_kwh - discount_per_kwh))


def at_true_cost(plan: DispatchPlan, discount_per_kwh: Numbers) -> DispatchPlan:
    """A plan made in fair order with its true cost, and the gap of that to the lower bound, which stays proven."""
    if not discount_per_kwh.any():
        return plan
    discharged_kwh = np.maximum(-plan.power_kw, 0.0) @ plan.horizon.step_h
    cost = plan.cost + float(discount_per_kwh @ discharged_kwh)
    return replace(plan, cost=cost, gap=relative_gap(cost, plan.lower_bound))


def gini(called: Numbers, offered_kwh: Numbers) -> float:  # [owner] each
    """How unequally owners were called: 0 all alike, towards 1 one alone (Gini 1912, weighted by what was offered).

    G = Σ_i Σ_j w_i·w_j·|r_i − r_j| / (2·r̄·(Σ w)²), here by sorting; 0 where nobody was called or nothing offered.
    """
    order = np.argsort(called, kind="stable")
    rate, weight = called[order], offered_kwh[order]
    total, delivered = float(weight.sum()), float(rate @ weight)
    if total <= 0.0 or delivered <= 0.0:
        return 0.0
    until = np.cumsum(weight)
    # for sorted rates Σ_i Σ_j w_i·w_j·|r_i − r_j| = 2·Σ w_i·r_i·(2·W_i − w_i − W),  W_i the weight up to i
    spread = 2.0 * float((weight * rate) @ (2.0 * until - weight - total))
    return max(0.0, spread / (2.0 * (delivered / total) * total**2))
