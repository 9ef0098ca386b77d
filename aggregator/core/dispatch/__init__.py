"""The optimiser: a problem of arrays in, a checked plan of arrays out."""

from aggregator.core.dispatch.check import PlanCheckFailed, check_plan
from aggregator.core.dispatch.failure import SolverFailed
from aggregator.core.dispatch.fleet.result import FleetPlan
from aggregator.core.dispatch.problem import (
    ComputingLoad,
    DispatchProblem,
    EventTarget,
    ReserveDirection,
    ReserveProduct,
    SiteLimits,
    TargetDirection,
)
from aggregator.core.dispatch.result import DispatchPlan, MissedPromise, MissKind, PlanStatus

__all__ = [
    "ComputingLoad",
    "DispatchPlan",
    "DispatchProblem",
    "EventTarget",
    "FleetPlan",
    "MissKind",
    "MissedPromise",
    "PlanCheckFailed",
    "PlanStatus",
    "ReserveDirection",
    "ReserveProduct",
    "SiteLimits",
    "SolverFailed",
    "TargetDirection",
    "check_plan",
    "plan_dispatch",
    "plan_in_full",
    "solve",
]


def solve(problem: DispatchProblem) -> DispatchPlan:
    """`solver.solve`, loaded when first needed: CVXPY takes seconds to import, and most processes never solve."""
    from aggregator.core.dispatch.solver import solve as solve_now

    return solve_now(problem)


def plan_dispatch(problem: DispatchProblem, *, gap: float) -> DispatchPlan | FleetPlan:
    """Plan by the method that suits the size: the exact programme for small portfolios, column generation for fleets."""
    from aggregator.core.dispatch.choice import plan_dispatch as plan_now

    return plan_now(problem, gap=gap)


def plan_in_full(problem: DispatchProblem, *, gap: float, most_exact_assets: int) -> DispatchPlan:
    """The same, with energies and set-points to send; exact up to so many assets."""
    from aggregator.core.dispatch.choice import plan_in_full as plan_now

    return plan_now(problem, gap=gap, most_exact_assets=most_exact_assets)
