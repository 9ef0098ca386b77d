"""Reserve: power held ready on top of everything else that is promised, deliverable in kW and in kWh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from aggregator.core.dispatch.calls import call_steps
from aggregator.core.dispatch.model import Columns, Expression
from aggregator.core.dispatch.preparation import HardLimits
from aggregator.core.dispatch.problem import ReserveDirection, ReserveProduct
from common.units import SECONDS_PER_HOUR
from fleet.core.flexibility import latest_charging_kwh

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Holding:
    """The slots that hold one product, and the power that each holds."""

    product: ReserveProduct
    slots: Indices  # [column] -> slot
    power: Expression  # [column]

    def placed(self, slots: int) -> Any:  # [slot, column]
        """Sparse matrix that puts the columns at their slots."""
        column = np.arange(self.slots.size)
        return sp.csr_array((np.ones(column.size), (self.slots, column)), shape=(slots, column.size))


def hold_reserves(model: Columns, limits: HardLimits) -> tuple[list[Expression], Expression, list[Holding]]:
    """Add what the products need.

    For every slot, with r the kW it holds, summed over all products of the same direction:

        up:    Σ r ≤ c − d + discharge_kw                  down:  Σ r ≤ charge_kw − (c − d)
        up:    e_j − Σ r · elapsed_j / η_d ≥ latest_j      down:  e_j + Σ r · elapsed_j / η_d ≤ most_j
               for every step j that a call beginning with the slot's step would touch,

    where latest_j is the least energy from which the driver's need can still be met, and elapsed_j stops at the
    product's duration. A call's energy is counted at 1/η_d both ways, which is never too little. A slot whose car
    leaves before a whole call is over holds nothing. Calls must fit the groups' limits too. In total
    0 ≤ Σ r ≤ max_kw, and Σ r + short ≥ committed_kw at missed_price_per_kw · short.

    Returns:
        Rows, cost (missed commitments less payments), and what is held of the products that anything can hold.
    """
    rows: list[Expression] = []
    cost: Expression = cp.Constant(0.0)
    held: list[Holding] = []
    for direction in ReserveDirection:
        holdings = []
        for product in (one for one in model.problem.reserves if one.direction is direction):
            slots = _holding_slots(model, product)
            total: Expression = cp.Constant(np.zeros(model.layout.steps))
            if slots.size:
                holdings.append(Holding(product, slots, cp.Variable(slots.size, nonneg=True)))
                total = model.layout.sum_by_step()[:, slots] @ holdings[-1].power
            product_rows, product_cost = _market_rows(product, total, model.layout.steps)
            rows += product_rows
            cost = cost + product_cost
        held += holdings
        if holdings:
            rows += _energy_rows(model, holdings, direction, limits)
            rows += _power_rows(model, holdings, direction, limits)
            rows += _group_rows(model, holdings, direction, limits)
    return rows, cost, held


def _holding_slots(model: Columns, product: ReserveProduct) -> Indices:
    layout, assets = model.layout, model.problem.assets
    touched = call_steps(model.problem.horizon.step_h, product.duration_h)[layout.step]
    stays = layout.step + touched <= assets.departure_step[layout.asset]
    wanted = np.broadcast_to(np.asarray(product.max_kw), (layout.steps,))[layout.step] > 0
    chosen = np.ones(len(assets), dtype=np.bool_) if product.participates is None else product.participates
    return np.flatnonzero(stays & wanted & chosen[layout.asset])


def _energy_rows(
    model: Columns, holdings: list[Holding], direction: ReserveDirection, limits: HardLimits
) -> list[Expression]:
    layout, horizon, assets = model.layout, model.problem.horizon, model.problem.assets
    latest_kwh = layout.flat(latest_charging_kwh(assets, horizon, limits.least_kwh))
    most_kwh = layout.flat(limits.most_kwh)
    touched = np.zeros(len(layout), dtype=np.int64)  # by the longest product that the slot holds
    for holding in holdings:
        lasting = call_steps(horizon.step_h, holding.product.duration_h)[layout.step[holding.slots]]
        touched[holding.slots] = np.maximum(touched[holding.slots], lasting)
    rows: list[Expression] = []
    for ahead in range(int(touched.max(initial=0))):
        start = np.flatnonzero(touched > ahead)
        slot = start + ahead  # the slots of an asset stand in the order of time
        elapsed_h = (horizon.offset_s[layout.step[slot] + 1] - horizon.offset_s[layout.step[start]]) / SECONDS_PER_HOUR
        call_kwh: Expression = cp.Constant(np.zeros(start.size))
        for holding in holdings:
            hours = np.minimum(elapsed_h, holding.product.duration_h)
            moved = sp.diags_array(hours / assets.discharge_efficiency[layout.asset[slot]], format="csr")
            call_kwh = call_kwh + (moved @ holding.placed(len(layout))[start]) @ holding.power
        if direction is ReserveDirection.UP:
            rows.append(model.energy[slot] - call_kwh >= latest_kwh[slot])  # type: ignore[index]
        else:
            rows.append(model.energy[slot] + call_kwh <= most_kwh[slot])  # type: ignore[index]
    return rows


def _slot_power(model: Columns, holdings: list[Holding]) -> Expression:  # [slot]
    return sum(holding.placed(len(model.layout)) @ holding.power for holding in holdings)


def _power_rows(
    model: Columns, holdings: list[Holding], direction: ReserveDirection, limits: HardLimits
) -> list[Expression]:
    layout = model.layout
    net: Expression = model.charge
    if model.discharge is not None:
        shape = (len(layout), layout.discharging.size)
        place = sp.csr_array((np.ones(shape[1]), (layout.discharging, np.arange(shape[1]))), shape=shape)
        net = net - place @ model.discharge
    if direction is ReserveDirection.UP:
        return [_slot_power(model, holdings) <= net + layout.flat(limits.discharge_kw)]
    return [_slot_power(model, holdings) <= layout.flat(limits.charge_kw) - net]


def _group_rows(
    model: Columns, holdings: list[Holding], direction: ReserveDirection, limits: HardLimits
) -> list[Expression]:
    """base_load + Σ (c − d) + computing + Σ r(down) ≤ import limit;  … − Σ r(up) ≥ −export limit."""
    problem, up = model.problem, direction is ReserveDirection.UP
    rows = []
    for index_name, groups, import_kw, export_kw in (
        ("site_index", problem.sites, limits.site_import_kw, limits.site_export_kw),
        ("node_index", problem.nodes, limits.node_import_kw, limits.node_export_kw),
    ):
        if groups is None:
            continue
        limit_kw = (export_kw if up else import_kw).ravel()
        finite = np.flatnonzero(np.isfinite(limit_kw))
        matrix = model.layout.sum_by_group(getattr(problem.assets, index_name), len(groups.site_id))
        total = model.total_by_group(index_name, len(groups.site_id)) + groups.base_load_kw.ravel()
        called = matrix @ _slot_power(model, holdings)
        if finite.size:
            planned = -total[finite] if up else total[finite]
            rows.append(called[finite] + planned <= limit_kw[finite])
    return rows


def _market_rows(product: ReserveProduct, total: Expression, steps: int) -> tuple[list[Expression], Expression]:
    most_kw = np.broadcast_to(np.asarray(product.max_kw, dtype=np.float64), (steps,))
    price = np.broadcast_to(np.asarray(product.price_per_kw, dtype=np.float64), (steps,))
    rows: list[Expression] = []
    finite = np.flatnonzero(np.isfinite(most_kw))
    if finite.size and not total.is_constant():
        rows.append(total[finite] <= most_kw[finite])
    cost: Expression = -(price @ total)
    if product.committed_kw is not None:
        short = cp.Variable(steps, nonneg=True)
        rows.append(total + short >= np.asarray(product.committed_kw, dtype=np.float64))
        cost = cost + product.missed_price_per_kw * cp.sum(short)
    return rows, cost
