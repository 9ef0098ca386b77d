"""The optimiser: a problem of arrays in, a checked plan of arrays out."""

from aggregator.core.dispatch.check import PlanCheckFailed, check_plan
from aggregator.core.dispatch.failure import SolverFailed
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
    "solve",
]


def solve(problem: DispatchProblem) -> DispatchPlan:
    """`solver.solve`, loaded when first needed: CVXPY takes seconds to import, and most processes never solve."""
    from aggregator.core.dispatch.solver import solve as solve_now

    return solve_now(problem)
