"""The plan of a fleet: set-points in single precision, what they cost, the proven gap, and every promise not kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.ladder import Dispatch, climb
from aggregator.core.dispatch.fleet.replay import Replay, check_totals, replay
from aggregator.core.dispatch.fleet.statement import Statement, state
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.result import MissedPromise, MissKind, relative_gap

Numbers = NDArray[np.float64]
DEFAULT_GAP = 1e-3
NEGLIGIBLE = 1e-3  # kW or kWh: what single precision may lose over a day


@dataclass(frozen=True, eq=False)
class FleetPlan:
    """Set-points for every asset and step, with their proof.

    Attributes:
        power_kw: power of each asset in each step at the grid side, positive = charging; zero outside its window.
        total_power_kw: their sum.
        cost, lower_bound, gap: as in `DispatchPlan`.
        duals: what a kW more in each coupled row is worth; a later plan of much the same fleet starts from them.
        rounds: how often prices were asked for.
        missed: every promise that is not kept.
    """

    asset_id: NDArray[Any]  # [asset]
    power_kw: NDArray[np.float32]  # [asset, step]
    total_power_kw: Numbers  # [step]
    cost: float
    lower_bound: float
    gap: float
    duals: Numbers  # [block, step]
    rounds: int
    wall_s: float
    cpu_s: float
    missed: tuple[MissedPromise, ...]
    solver: str = "column-generation"


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
