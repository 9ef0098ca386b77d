"""Power limits by state of charge in the linear programme.

    c_t ≤ availability_t · (a_k + b_k · e_t)  for every line k of the charging curve,    d_t likewise for discharging,

with e_t the energy at the end of the step (see `fleet.core.power_curves`). Both sides are linear, so mixtures of plans keep
them, and netting out, which keeps the energies and lowers the powers, keeps them too.
"""

from __future__ import annotations

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.model import Columns, Expression
from aggregator.core.dispatch.preparation import HardLimits
from fleet.core.flexibility import most_reachable_kwh

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


def curve_rows(model: Columns, limits: HardLimits) -> list[Expression]:
    """Rows for the slots in which a curve can bind: where it lies below the power limit at an energy within reach."""
    assets, layout = model.problem.assets, model.layout
    charging, discharging = assets.charging_lines(), assets.discharging_lines()
    if model.energy is None or not charging.shape[1] + discharging.shape[1]:
        return []
    usable = layout.flat(assets.usable_part(layout.steps))
    there = usable > 0  # where not, the power limit is zero already
    reachable_kwh = layout.flat(most_reachable_kwh(assets, model.problem.horizon))
    column = np.full(len(layout), -1, dtype=np.int64)
    column[layout.discharging] = np.arange(layout.discharging.size)
    rows: list[Expression] = []
    power: Expression
    for lines, power, limit_kw, column_of, tightest_kwh in (
        (charging, model.charge, limits.charge_kw, np.arange(len(layout)), reachable_kwh),
        (discharging, model.discharge, limits.discharge_kw, column, np.zeros(len(layout))),
    ):
        for line in np.moveaxis(lines, 1, 0):
            kw, per_kwh = (np.where(there, usable, 1.0) * line[layout.asset, number] for number in (0, 1))
            binds = there & np.isfinite(kw) & (kw + per_kwh * tightest_kwh < layout.flat(limit_kw)) & (column_of >= 0)
            slot = np.flatnonzero(binds)
            if slot.size:
                rows.append(power[column_of[slot]] <= kw[slot] + cp.multiply(per_kwh[slot], model.energy[slot]))
    return rows
