"""From a problem to the plan of a fleet that has passed its check: the one way in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.ladder import climb
from aggregator.core.dispatch.fleet.misses import missed_group_limits, missed_needs, missed_rows
from aggregator.core.dispatch.fleet.nested import plan_sites
from aggregator.core.dispatch.fleet.replay import check_first_step, check_totals, replay
from aggregator.core.dispatch.fleet.reserve_replay import check_reserves
from aggregator.core.dispatch.fleet.reserve_rows import never_sold_cost, sold_kw
from aggregator.core.dispatch.fleet.result import FleetPlan
from aggregator.core.dispatch.fleet.statement import Statement, state
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.promised_reserves import missed_reserves, reserve_cost
from aggregator.core.dispatch.result import PlanStatus, relative_gap
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
DEFAULT_GAP = 1e-3


def solve_fleet(
    problem: DispatchProblem,
    *,
    gap: float = DEFAULT_GAP,
    known_duals: Numbers | None = None,
    on_first_step: Callable[[Numbers], None] | None = None,
) -> FleetPlan:
    """Plan a fleet of any size at a cost within a proven relative gap of the best.

    Args:
        gap: (cost − lower bound) / |lower bound| that is good enough; what was reached stands in the plan.
        known_duals: `FleetPlan.duals` of an earlier plan over the same steps.
        on_first_step: called with the power of the first step, [asset], as soon as it stands and every asset has been
            checked for it; the proof and the check of all other steps follow. At a million assets that is two seconds
            earlier, which a running event may need.

    Raises:
        InvalidInput: the problem has something that only the exact programme plans; the field is named.
        SolverFailed, PlanCheckFailed: no plan could be made or trusted; keep the last one.
    """
    wall_s, cpu_s = perf_counter(), process_time()
    statement = state(problem)
    plan = climb if statement.site_limits is None else plan_sites

    def hand_on(out_kw: NDArray[np.float32]) -> None:
        if on_first_step is not None:
            first_kw = out_kw[:, 0].astype(np.float64)
            if statement.fixed_power_kw is not None:
                first_kw += statement.fixed_power_kw[:, 0]
            check_first_step(statement.problem, first_kw)
            on_first_step(first_kw[: len(problem.assets)])

    dispatch = plan(statement, gap=gap, known_duals=known_duals, when_written=hand_on)
    if statement.fixed_power_kw is not None:
        dispatch.power_kw[...] += statement.fixed_power_kw.astype(np.float32)
    widened = statement.widened
    given_way = dispatch.given_way | statement.gives_way
    replayed = replay(widened.problem, dispatch.power_kw, given_way)
    settled = _fixed_cost(statement) + never_sold_cost(problem)
    reserve_kw = sold_kw(problem, dispatch.held_kw)
    cost, lower_bound = dispatch.cost + settled, dispatch.lower_bound + settled
    check_reserves(widened.problem, dispatch.power_kw, dispatch.held_kw, reserve_kw)
    aside = dispatch.missed_cost - widened.earned(dispatch.power_kw) + reserve_cost(problem, reserve_kw)
    check_totals(cost, lower_bound, replayed, aside)
    missed = (
        *missed_group_limits(widened.problem, dispatch),
        *missed_needs(widened.problem, replayed, given_way),
        *missed_reserves(problem, reserve_kw),
        *missed_rows(statement, dispatch),
    )
    return FleetPlan(
        asset_id=problem.assets.asset_id,
        power_kw=dispatch.power_kw[: len(problem.assets)],
        computing_kw=dispatch.power_kw[len(problem.assets) :],
        total_power_kw=replayed.total_kw,
        cost=cost,
        lower_bound=lower_bound,
        gap=relative_gap(cost, lower_bound),
        duals=dispatch.duals,
        rounds=dispatch.rounds,
        wall_s=perf_counter() - wall_s,
        cpu_s=process_time() - cpu_s,
        missed=missed,
        status=PlanStatus.BEST_EFFORT if given_way.any() else PlanStatus.WITHIN_GAP,
        reserve_kw=reserve_kw,
        held_kw={
            product.product: dispatch.held_kw[k, : len(problem.assets)] for k, product in enumerate(problem.reserves)
        },
    )


def warm_up() -> None:
    """Compile, or load what was compiled before: the first plan shall not wait for it.

    Takes a quarter of a second, and some ten seconds the first time after an installation.
    """
    real, whole = np.ones(2), np.zeros(2, dtype=np.int64)
    assets = FlexibleAssets(
        np.arange(2),
        whole - 1,
        whole - 1,
        whole,
        whole + 2,
        real,
        real,
        real * 2,
        real * 0,
        real,
        real,
        real,
        real,
        real,
    )
    horizon = Horizon.uniform(datetime(2000, 1, 1, tzinfo=UTC), steps=2, step_s=3600.0)
    solve_fleet(DispatchProblem(assets, horizon, np.array([0.1, -0.1]), import_limit_kw=1.0))


def _fixed_cost(statement: Statement) -> float:
    """What the fixed steps cost: no decision, but part of the plan's cost and so of its bound."""
    problem, fixed_kw = statement.problem, statement.fixed_power_kw
    if fixed_kw is None:
        return 0.0
    wear = statement.assets.wear_per_kwh[:, None] * np.maximum(-fixed_kw, 0.0)
    return float(problem.horizon.step_h @ (problem.price_per_kwh * fixed_kw + wear).sum(axis=0))
