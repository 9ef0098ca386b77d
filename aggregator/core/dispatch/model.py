"""The linear programme in CVXPY, one function per inequality, each vectorised over all assets and steps.

c, d and e stand for charge, discharge and energy at the end of a step; h for the length of a step in hours; η for an
efficiency. The problem is stated anew for each plan from sparse matrices: measured, that takes 10 to 40 ms up to 300
assets, where updating a parametrised model of full [asset, step] arrays takes longer than the solver (decision 0010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from aggregator.core.dispatch.layout import SlotLayout
from aggregator.core.dispatch.preparation import HardLimits
from aggregator.core.dispatch.problem import DispatchProblem, EventTarget, SiteLimits, TargetDirection

Numbers = NDArray[np.float64]
Expression = Any  # CVXPY's expressions carry no types


@dataclass(frozen=True, eq=False)
class Columns:
    """The model's main variables.

    Attributes:
        charge, energy: one column per slot; discharge: one per slot that can discharge.
        computing: power of each computer in each step at which it could run, in the order of `running`.
        running: flat index computer · steps + step of those columns.
    """

    problem: DispatchProblem
    layout: SlotLayout
    charge: Expression | None
    discharge: Expression | None
    energy: Expression | None
    computing: Expression | None
    running: NDArray[np.int64]

    def total_by_step(self, chosen: NDArray[np.bool_] | None = None, *, with_computing: bool = True) -> Expression:
        """Σ (c − d) of the chosen assets, plus computing, in every step."""
        return self._total(self.layout.sum_by_step(chosen), self._computing_by_step() if with_computing else None)

    def total_by_group(self, index_name: str, groups: int) -> Expression:
        """Σ (c − d) plus computing by group and step, flat: group · steps + step."""
        matrix = self.layout.sum_by_group(getattr(self.problem.assets, index_name), groups)
        computing = self.problem.computing
        if computing is None:
            return self._total(matrix, None)
        group = getattr(computing, index_name)[self.running // self.layout.steps]
        kept = np.flatnonzero(group >= 0)
        rows = group[kept] * self.layout.steps + self.running[kept] % self.layout.steps
        shape = (groups * self.layout.steps, self.running.size)
        return self._total(matrix, sp.csr_array((np.ones(kept.size), (rows, kept)), shape=shape))

    def _computing_by_step(self) -> Any:
        columns = np.arange(self.running.size)
        rows = self.running % self.layout.steps
        return sp.csr_array((np.ones(columns.size), (rows, columns)), shape=(self.layout.steps, columns.size))

    def _total(self, matrix: Any, computing: Any | None) -> Expression:
        total: Expression = cp.Constant(np.zeros(matrix.shape[0]))
        if self.charge is not None:
            total = total + matrix @ self.charge
        if self.discharge is not None:
            total = total - matrix[:, self.layout.discharging] @ self.discharge
        if self.computing is not None and computing is not None:
            total = total + computing @ self.computing
        return total


def columns(problem: DispatchProblem, limits: HardLimits, *, bound_energy: bool = True) -> Columns:
    """Make the variables within their own bounds.

    0 ≤ c ≤ charge_kw,   0 ≤ d ≤ discharge_kw,   least_kwh ≤ e ≤ most_kwh,   0 ≤ computing ≤ availability · power_kw

    With `bound_energy` off, the energy has no lower bound but zero: recovery gives it one with slack.
    """
    layout = SlotLayout.of(problem.assets, limits)
    least_kwh = layout.flat(limits.least_kwh) if bound_energy else np.zeros(len(layout))
    charge = _variable(np.zeros(len(layout)), layout.flat(limits.charge_kw))
    discharge_kw = layout.flat(limits.discharge_kw)[layout.discharging]
    computing, running = problem.computing, np.zeros(0, dtype=np.int64)
    run = None
    if computing is not None and len(computing):
        most_kw = (computing.power_kw[:, None] * computing.availability).ravel()
        running = np.flatnonzero(most_kw > 0)
        run = _variable(np.zeros(running.size), most_kw[running])
    return Columns(
        problem,
        layout,
        charge,
        _variable(np.zeros(discharge_kw.size), discharge_kw),
        _variable(least_kwh, layout.flat(limits.most_kwh)),
        run,
        running,
    )


def energy_balance(model: Columns) -> list[Expression]:
    """e_t − e_{t−1} = h_t · (η_c · c_t − d_t / η_d), with e before the first slot = the energy at arrival."""
    layout, assets = model.layout, model.problem.assets
    if model.charge is None:
        return []
    hours = model.problem.horizon.step_h[layout.step]
    gain = sp.diags_array(hours * assets.charge_efficiency[layout.asset], format="csr")
    at_arrival_kwh = np.where(layout.is_first, assets.energy_kwh[layout.asset], 0.0)
    change: Expression = at_arrival_kwh + gain @ model.charge
    if model.discharge is not None:
        slot = layout.discharging
        loss = hours[slot] / assets.discharge_efficiency[layout.asset[slot]]
        shape = (len(layout), slot.size)
        change = change - sp.csr_array((loss, (slot, np.arange(slot.size))), shape=shape) @ model.discharge
    return [layout.change @ model.energy == change]


def group_limits(
    model: Columns,
    index_name: str,
    groups: SiteLimits | None,
    import_kw: Numbers,  # [group, step]
    export_kw: Numbers,  # [group, step]
    slack: tuple[Expression, Expression] | None = None,
) -> list[Expression]:
    """−export_limit ≤ base_load + Σ (c − d) + computing ≤ import_limit for every group and step.

    Only finite limits get a row. With slack, (above, below) are flat variables that widen the two sides.
    """
    if groups is None:
        return []
    total = model.total_by_group(index_name, len(groups.site_id))
    base_kw, most_kw, least_kw = groups.base_load_kw.ravel(), import_kw.ravel(), -export_kw.ravel()
    nothing = np.zeros(most_kw.size)
    above, below = (nothing, nothing) if slack is None else slack
    rows: list[Expression] = []
    finite = np.flatnonzero(np.isfinite(most_kw))
    if finite.size:
        room = most_kw[finite] - base_kw[finite]
        rows.append(total[finite] <= room + above[finite])
    finite = np.flatnonzero(np.isfinite(least_kw))
    if finite.size:
        room = least_kw[finite] - base_kw[finite]
        rows.append(total[finite] >= room - below[finite])
    return rows


def emergency_reserve(model: Columns, reserve_kwh: Numbers, slack: Expression | None = None) -> list[Expression]:
    """Σ e of a site's reserve assets ≥ emergency_reserve_kwh at the end of every step."""
    assets = model.problem.assets
    if model.energy is None or assets.holds_reserve is None or not np.any(reserve_kwh > 0):
        return []
    index = np.where(assets.holds_reserve, assets.site_index, -1)
    rows = np.flatnonzero(reserve_kwh.ravel() > 0)
    held = model.layout.sum_by_group(index, reserve_kwh.shape[0])[rows] @ model.energy
    short = 0.0 if slack is None else slack[rows]
    return [held + short >= reserve_kwh.ravel()[rows]]


def portfolio_limits(model: Columns) -> tuple[list[Expression], Expression]:
    """−export_limit − below ≤ base_load + Σ (c − d) + computing ≤ import_limit + above, at missed_price per kWh."""
    problem = model.problem
    hours_price = problem.horizon.step_h * problem.missed_price_per_kwh
    total, rows, cost = model.total_by_step(), [], cp.Constant(0.0)
    for sign, limit_kw in ((1.0, problem.import_limit_kw), (-1.0, problem.export_limit_kw)):
        finite = np.flatnonzero(np.isfinite(limit_kw))
        if finite.size:
            beyond = cp.Variable(finite.size, nonneg=True)
            rows.append(sign * (problem.base_load_kw + total)[finite] <= limit_kw[finite] + beyond)
            cost = cost + hours_price[finite] @ beyond
    return rows, cost


def event_target(model: Columns, target: EventTarget) -> tuple[list[Expression], Expression]:
    """Σ (c − d) of the participants (+ computing) − above + below = target_power_kw, each side at its price per kWh."""
    inside = np.flatnonzero(~np.isnan(target.target_power_kw))
    if not inside.size:
        return [], cp.Constant(0.0)
    total = model.total_by_step(target.participates, with_computing=target.includes_computing)[inside]
    above_price, below_price = side_prices(target, model.problem.horizon.steps)
    hours = model.problem.horizon.step_h[inside]
    above, below = cp.Variable(inside.size, nonneg=True), cp.Variable(inside.size, nonneg=True)
    cost = (hours * above_price[inside]) @ above + (hours * below_price[inside]) @ below
    return [total - above + below == target.target_power_kw[inside]], cost


def side_prices(target: EventTarget, steps: int) -> tuple[Numbers, Numbers]:  # [step] each
    """Price of a kWh above the target and of a kWh below it, by the target's direction."""
    missed = np.broadcast_to(np.asarray(target.missed_price_per_kwh, dtype=np.float64), (steps,))
    excess = target.excess_price_per_kwh
    if excess is None:
        excess = missed if target.direction is TargetDirection.EXACTLY else 0.0
    other = np.broadcast_to(np.asarray(excess, dtype=np.float64), (steps,))
    return (other, missed) if target.direction is TargetDirection.AT_LEAST else (missed, other)


def energy_cost(model: Columns) -> Expression:
    """Σ h·price·(c − d + computing) + Σ h·wear·d − Σ h·value·computing."""
    problem, layout = model.problem, model.layout
    hours, price = problem.horizon.step_h, problem.price_per_kwh
    cost: Expression = cp.Constant(0.0)
    if model.charge is not None:
        cost = cost + (hours * price)[layout.step] @ model.charge
    if model.discharge is not None:
        slot = layout.discharging
        wear = problem.assets.wear_per_kwh[layout.asset[slot]]
        cost = cost + (hours[layout.step[slot]] * (wear - price[layout.step[slot]])) @ model.discharge
    if model.computing is not None and problem.computing is not None:
        step = model.running % layout.steps
        value = problem.computing.value_per_kwh.ravel()[model.running]
        cost = cost + (hours[step] * (price[step] - value)) @ model.computing
    return cost


def _variable(lower: Numbers, upper: Numbers) -> Expression | None:
    if not lower.size:
        return None
    return cp.Variable(lower.size, bounds=[lower, np.maximum(lower, upper)])
