"""Which method plans a problem."""

from __future__ import annotations

import numpy as np

from aggregator.core.dispatch.fleet.plan import solve_fleet
from aggregator.core.dispatch.fleet.result import FleetPlan
from aggregator.core.dispatch.fleet.statement import reason_for_the_exact_programme
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.result import DispatchPlan

# Up to here the exact programme takes no longer than the decomposition, and leaves no gap at all.
MOST_EXACT_ASSETS = 150


def plan_dispatch(
    problem: DispatchProblem, *, gap: float, most_exact_assets: int = MOST_EXACT_ASSETS
) -> DispatchPlan | FleetPlan:
    """Plan by the method that suits the size and what is asked for.

    Raises:
        SolverFailed, PlanCheckFailed: no plan could be made or trusted; keep the last one.
    """
    if len(problem.assets) <= most_exact_assets or reason_for_the_exact_programme(problem):
        from aggregator.core.dispatch.solver import solve  # CVXPY takes seconds and 100 MiB to load; a fleet needs none

        return solve(problem)
    return solve_fleet(problem, gap=gap)


def plan_in_full(problem: DispatchProblem, *, gap: float, most_exact_assets: int) -> DispatchPlan:
    """Plan by either method, with the energies and the set-points to send worked out for every asset and step."""
    plan = plan_dispatch(problem, gap=gap, most_exact_assets=most_exact_assets)
    return plan if isinstance(plan, DispatchPlan) else in_full(problem, plan)


def in_full(problem: DispatchProblem, plan: FleetPlan) -> DispatchPlan:
    """A fleet's plan in double precision, with what follows from its set-points."""
    from aggregator.core.dispatch.appraisal import replay_energy
    from aggregator.core.dispatch.set_points import sendable_set_points

    power_kw, computing_kw = plan.power_kw.astype(np.float64), plan.computing_kw.astype(np.float64)
    return DispatchPlan(
        horizon=problem.horizon,
        asset_id=problem.assets.asset_id,
        power_kw=power_kw,
        set_point_kw=sendable_set_points(problem, power_kw, computing_kw),
        energy_kwh=replay_energy(problem.assets, problem.horizon, power_kw),
        computing_kw=computing_kw,
        cost=plan.cost,
        lower_bound=plan.lower_bound,
        gap=plan.gap,
        status=plan.status,
        solver=plan.solver,
        wall_s=plan.wall_s,
        cpu_s=plan.cpu_s,
        missed=plan.missed,
    )
