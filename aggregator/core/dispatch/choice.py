"""Which method plans a problem."""

from __future__ import annotations

from aggregator.core.dispatch.fleet.plan import FleetPlan, solve_fleet
from aggregator.core.dispatch.fleet.statement import reason_for_the_exact_programme
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.result import DispatchPlan

# Up to here the exact programme takes no longer than the decomposition, and leaves no gap at all.
MOST_EXACT_ASSETS = 150


def plan_dispatch(problem: DispatchProblem, *, gap: float) -> DispatchPlan | FleetPlan:
    """Plan by the method that suits the size and what is asked for.

    Raises:
        SolverFailed, PlanCheckFailed: no plan could be made or trusted; keep the last one.
    """
    if len(problem.assets) <= MOST_EXACT_ASSETS or reason_for_the_exact_programme(problem):
        from aggregator.core.dispatch.solver import solve  # CVXPY takes seconds and 100 MiB to load; a fleet needs none

        return solve(problem)
    return solve_fleet(problem, gap=gap)
