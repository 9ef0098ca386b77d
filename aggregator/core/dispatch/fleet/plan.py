"""From a problem to the plan of a fleet that has passed its check: the one way in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.ladder import Dispatch, climb
from aggregator.core.dispatch.fleet.replay import Replay, check_totals, replay
from aggregator.core.dispatch.fleet.result import FleetPlan
from aggregator.core.dispatch.fleet.statement import Statement, state
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.result import MissedPromise, MissKind, relative_gap
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
DEFAULT_GAP = 1e-3
NEGLIGIBLE = 1e-3  # kW or kWh: what single precision may lose over a day


def solve_fleet(problem: DispatchProblem, *, gap: float = DEFAULT_GAP, known_duals: Numbers | None = None) -> FleetPlan:
    """Plan a fleet of any size at a cost within a proven relative gap of the best.

    Args:
        gap: (cost − lower bound) / |lower bound| that is good enough; what was reached stands in the plan.
        known_duals: `FleetPlan.duals` of an earlier plan over the same steps.

    Raises:
        InvalidInput: the problem has something that only the exact programme plans; the field is named.
        SolverFailed, PlanCheckFailed: no plan could be made or trusted; keep the last one.
    """
    wall_s, cpu_s = perf_counter(), process_time()
    statement = state(problem)
    dispatch = climb(statement, gap=gap, known_duals=known_duals)
    if statement.fixed_power_kw is not None:
        dispatch.power_kw[...] += statement.fixed_power_kw.astype(np.float32)
    replayed = replay(problem, dispatch.power_kw)
    settled = _fixed_cost(statement)
    cost, lower_bound = dispatch.cost + settled, dispatch.lower_bound + settled
    check_totals(cost, lower_bound, replayed, dispatch.missed_cost)
    return FleetPlan(
        asset_id=problem.assets.asset_id,
        power_kw=dispatch.power_kw,
        total_power_kw=replayed.total_kw,
        cost=cost,
        lower_bound=lower_bound,
        gap=relative_gap(cost, lower_bound),
        duals=dispatch.duals,
        rounds=dispatch.rounds,
        wall_s=perf_counter() - wall_s,
        cpu_s=process_time() - cpu_s,
        missed=(*_missed_needs(problem, replayed), *_missed_rows(statement, dispatch)),
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
    wear = problem.assets.wear_per_kwh[:, None] * np.maximum(-fixed_kw, 0.0)
    return float(problem.horizon.step_h @ (problem.price_per_kwh * fixed_kw + wear).sum(axis=0))


def _missed_needs(problem: DispatchProblem, replayed: Replay) -> Iterator[MissedPromise]:
    assets, step_h = problem.assets, problem.horizon.step_h
    short_kwh = assets.required_kwh - replayed.energy_at_departure_kwh
    for row in np.flatnonzero(short_kwh > NEGLIGIBLE):
        kwh, last = float(short_kwh[row]), max(int(assets.departure_step[row]) - 1, 0)
        yield MissedPromise(
            MissKind.DEPARTURE_NEED,
            last,
            0.0,
            kwh,
            0.0,
            0.0,
            f"{kwh:.2f} kWh short of {assets.required_kwh[row]:.2f} kWh: at full power from its arrival on there is no more",
            asset_id=assets.asset_id[row],
        )
    for row in np.flatnonzero(replayed.floor_short_kwh > NEGLIGIBLE):
        kwh, step = float(replayed.floor_short_kwh[row]), int(replayed.floor_short_step[row])
        yield MissedPromise(
            MissKind.FLOOR,
            step,
            kwh / float(step_h[step]),
            kwh,
            0.0,
            0.0,
            f"{kwh:.2f} kWh below its floor of {assets.floor_kwh[row]:.2f} kWh: it arrives with less and charges at once",
            asset_id=assets.asset_id[row],
        )


def _missed_rows(statement: Statement, dispatch: Dispatch) -> Iterator[MissedPromise]:
    coupling, problem = statement.coupling, statement.problem
    targets = [target for target in problem.targets if not np.all(np.isnan(target.target_power_kw))]
    sides = (
        (dispatch.block_power_kw - coupling.upper_kw, coupling.above_price, MissKind.PORTFOLIO_IMPORT_LIMIT, "over"),
        (coupling.lower_kw - dispatch.block_power_kw, coupling.below_price, MissKind.PORTFOLIO_EXPORT_LIMIT, "under"),
    )
    for beyond_kw, prices, kind, word in sides:
        for block, step in zip(*np.nonzero((beyond_kw > NEGLIGIBLE) & (prices > 0)), strict=True):
            kw, price = float(beyond_kw[block, step]), float(prices[block, step])
            kwh = kw * float(coupling.step_h[step])
            event_id = targets[block - 1].event_id if block else None
            what = "the portfolio's limit" if block == 0 else f"the target of event {event_id}"
            yield MissedPromise(
                kind if block == 0 else MissKind.EVENT_TARGET,
                int(step),
                kw,
                kwh,
                price,
                kwh * price,
                f"{kw:.2f} kW {word} {what}: drivers' needs and the assets' limits leave no more, or it is not worth more",
                event_id=event_id,
            )
