"""From a problem to a plan that has passed its check: the one way in."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.appraisal import (
    NEGLIGIBLE_KW,
    group_load_kw,
    missed_promises,
    plan_cost,
    replay_energy,
)
from aggregator.core.dispatch.check import check_plan
from aggregator.core.dispatch.exact import ExactSolution, solve_exact
from aggregator.core.dispatch.failure import SolverFailed
from aggregator.core.dispatch.netting import at_once, forbid_weaker_direction, net_out
from aggregator.core.dispatch.preparation import HardLimits, PreparedProblem, prepare
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.recovery import widen_limits
from aggregator.core.dispatch.result import DispatchPlan, PlanStatus, relative_gap
from aggregator.core.dispatch.set_points import sendable_set_points

Numbers = NDArray[np.float64]

# A netted plan is kept when it costs no more than the optimum by this part of it.
NETTING_TOLERANCE = 1e-9


def solve(problem: DispatchProblem) -> DispatchPlan:
    """Plan the assets at least cost, exactly, and prove it.

    Never infeasible: needs are clamped to what the assets' own physics allow; where safety limits leave less, they win,
    then emergency reserves, then drivers, then money; whatever is given up is listed in `missed`.

    Raises:
        SolverFailed: the solver broke down (no plan; keep the last one).
        PlanCheckFailed: the plan did not survive the independent replay (no plan; keep the last one).
    """
    wall_s, cpu_s = perf_counter(), process_time()
    prepared = prepare(problem)
    limits, widened, solution = _solve_within(prepared.free, prepared.limits)
    lower_bound = solution.objective
    power_kw = net_out(solution.charge_kw, solution.discharge_kw, prepared.free.assets)
    while _worse(prepared, limits, solution, power_kw):
        limits = forbid_weaker_direction(limits, solution.charge_kw, solution.discharge_kw, prepared.free.assets)
        limits, again, solution = _solve_within(prepared.free, limits)
        widened = widened or again
        if again:  # what was given up meanwhile makes more plans possible, so the bound must cover them too
            lower_bound = min(lower_bound, solution.objective)
        power_kw = net_out(solution.charge_kw, solution.discharge_kw, prepared.free.assets)
    plan = _plan(prepared, solution, power_kw, lower_bound, widened)
    check_plan(problem, plan)
    return replace(plan, wall_s=perf_counter() - wall_s, cpu_s=process_time() - cpu_s)


def _solve_within(problem: DispatchProblem, limits: HardLimits) -> tuple[HardLimits, bool, ExactSolution]:
    """Solve; where the limits contradict one another, widen them first. Returns the limits that were used."""
    solution = solve_exact(problem, limits)
    if solution is not None:
        return limits, False, solution
    limits = widen_limits(problem, limits)
    solution = solve_exact(problem, limits)
    if solution is None:
        raise SolverFailed("widened limits still contradict one another", remedy="Send the problem to the maintainers.")
    return limits, True, solution


def _worse(prepared: PreparedProblem, limits: HardLimits, solution: ExactSolution, power_kw: Numbers) -> bool:
    """Whether netting out costs money or breaks a limit that the optimum kept by burning energy."""
    if not at_once(solution.charge_kw, solution.discharge_kw).any():
        return False
    problem = prepared.free
    if problem.reserves:
        return True
    cost = plan_cost(problem, power_kw, solution.computing_kw, solution.reserve_kw)
    if cost > solution.objective + NETTING_TOLERANCE * max(1.0, abs(solution.objective)):
        return True
    for index_name, groups, export_kw in (
        ("site_index", problem.sites, limits.site_export_kw),
        ("node_index", problem.nodes, limits.node_export_kw),
    ):
        if groups is not None:
            load_kw = group_load_kw(problem, groups, index_name, power_kw, solution.computing_kw)
            if np.any(load_kw < -export_kw - NEGLIGIBLE_KW):
                return True
    return False


def _plan(
    prepared: PreparedProblem, solution: ExactSolution, power_kw: Numbers, lower_bound: float, widened: bool
) -> DispatchPlan:
    problem = prepared.original
    all_power_kw = power_kw + prepared.fixed_power_kw
    energy_kwh = replay_energy(problem.assets, problem.horizon, all_power_kw)
    cost = plan_cost(problem, all_power_kw, solution.computing_kw, solution.reserve_kw)
    # What the fixed steps cost by themselves is no decision, but it is part of the plan's cost and so of its bound.
    wear = problem.assets.wear_per_kwh[:, None] * np.maximum(-prepared.fixed_power_kw, 0.0)
    settled = float(problem.horizon.step_h @ (problem.price_per_kwh * prepared.fixed_power_kw + wear).sum(axis=0))
    return DispatchPlan(
        horizon=problem.horizon,
        asset_id=problem.assets.asset_id,
        power_kw=all_power_kw,
        set_point_kw=sendable_set_points(problem, all_power_kw, solution.computing_kw),
        energy_kwh=energy_kwh,
        computing_kw=solution.computing_kw,
        cost=cost,
        lower_bound=lower_bound + settled,
        gap=relative_gap(cost, lower_bound + settled),
        status=PlanStatus.BEST_EFFORT if widened else PlanStatus.OPTIMAL,
        solver="cvxpy-highs",
        wall_s=0.0,
        cpu_s=0.0,
        missed=missed_promises(prepared, all_power_kw, energy_kwh, solution.computing_kw, solution.reserve_kw),
        reserve_kw=solution.reserve_kw,
        held_kw=solution.held_kw,
    )
