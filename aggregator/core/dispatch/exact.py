"""The exact plan: the whole linear programme at once, solved by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch import model as lp
from aggregator.core.dispatch.curves import curve_rows
from aggregator.core.dispatch.failure import SolverFailed
from aggregator.core.dispatch.highs import THREADS
from aggregator.core.dispatch.preparation import HardLimits
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.reserves import hold_reserves

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExactSolution:
    """What the solver found.

    Attributes:
        charge_kw, discharge_kw: both non-negative.
        computing_kw: power of each computer.
        held_kw: what each asset holds of each reserve product.
        objective: the optimum of the linear programme.
    """

    charge_kw: Numbers  # [asset, step]
    discharge_kw: Numbers  # [asset, step]
    computing_kw: Numbers  # [computer, step]
    held_kw: dict[str, Numbers]  # product -> [asset, step]
    objective: float

    @property
    def reserve_kw(self) -> dict[str, Numbers]:  # product -> [step]
        """Power held for each product by all assets."""
        return {product: held.sum(axis=0) for product, held in self.held_kw.items()}


def solve_exact(problem: DispatchProblem, limits: HardLimits) -> ExactSolution | None:
    """Minimise cost within the hard limits.

    Returns:
        The optimum, or None if the limits contradict one another.

    Raises:
        SolverFailed: the solver gave neither an optimum nor a proof that there is none.
    """
    model = lp.columns(problem, limits)
    rows = lp.energy_balance(model) + curve_rows(model, limits)
    rows += lp.group_limits(model, "site_index", problem.sites, limits.site_import_kw, limits.site_export_kw)
    rows += lp.group_limits(model, "node_index", problem.nodes, limits.node_import_kw, limits.node_export_kw)
    rows += lp.emergency_reserve(model, limits.emergency_reserve_kwh)
    limit_rows, cost = lp.portfolio_limits(model)
    rows += limit_rows
    for target in problem.targets:
        target_rows, target_cost = lp.event_target(model, target)
        rows += target_rows
        cost = cost + target_cost
    reserve_rows, reserve_cost, held = hold_reserves(model, limits)
    rows += reserve_rows
    objective = run_solver(cp.Problem(cp.Minimize(lp.energy_cost(model) + cost + reserve_cost), rows))
    if objective is None:
        return None
    nothing = np.zeros((model.layout.assets, model.layout.steps))
    held_kw = {product.product: nothing for product in problem.reserves}
    for holding in held:
        held_kw[holding.product.product] = model.layout.spread(np.maximum(holding.power.value, 0.0), holding.slots)
    return ExactSolution(*set_points(model), held_kw, objective)


def run_solver(problem: cp.Problem) -> float | None:
    """Solve with HiGHS.

    The simplex first; should it break down, the interior point. Never warm-started: a re-solve from the last point was
    measured up to 250 times slower.

    Returns:
        The optimal value, or None if the problem is infeasible.

    Raises:
        SolverFailed: both ended in any other way.
    """
    if not problem.variables():
        return float(problem.objective.value) if all(row.value() for row in problem.constraints) else None
    for options in ({"threads": THREADS}, {"threads": THREADS, "solver": "ipm"}):
        try:
            problem.solve(solver=cp.HIGHS, warm_start=False, output_flag=False, highs_options=options)
        except cp.error.SolverError:
            continue
        # Every cost is bounded below by finite bounds on the variables: "infeasible or unbounded" means infeasible.
        if problem.status in (cp.INFEASIBLE, cp.settings.INFEASIBLE_OR_UNBOUNDED):
            return None
        if problem.status == cp.OPTIMAL:
            return float(problem.value)
    raise SolverFailed(f"HiGHS ended with status {problem.status!r}", remedy="Plan again, or with fewer assets.")


def set_points(model: lp.Columns) -> tuple[Numbers, Numbers, Numbers]:
    """The solved variables as full arrays: charge and discharge [asset, step], computing [computer, step]."""
    layout, computing = model.layout, model.problem.computing
    charge_kw = discharge_kw = np.zeros((layout.assets, layout.steps))
    if model.charge is not None:
        charge_kw = layout.spread(model.charge.value)
    if model.discharge is not None:
        discharge_kw = layout.spread(model.discharge.value, layout.discharging)
    run_kw = np.zeros((0 if computing is None else len(computing), layout.steps))
    if model.computing is not None:
        run_kw.ravel()[model.running] = model.computing.value
    return np.maximum(charge_kw, 0.0), np.maximum(discharge_kw, 0.0), np.maximum(run_kw, 0.0)
