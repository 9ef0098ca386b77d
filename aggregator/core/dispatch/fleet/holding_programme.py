"""The programme of one asset that holds reserves: its columns, its rows, and room to solve it in.

The programme, in units of the asset's own power (kW and kWh divided by it), over the steps t of its window:

    min  q · z,   M z + s = m,   s ≥ 0,      z = (e_t, v_t),   v_t = (c_t, r_1t … r_Kt),   x_t = e_t − e_{t−1}

with c the charging power, d = δ_c · c + δ_x · x what it discharges (the energy balance, solved for d), e the energy at the
end of a step and r_k what it holds of product k. The rows, by family (`CHARGE_LEAST` and so on):

    0 ≤ c ≤ charge limit,   0 ≤ d ≤ discharge limit,   least_t ≤ e_t ≤ most,   r ≥ 0,
    Σ r(up) − (c − d) ≤ discharge limit,            Σ r(down) + (c − d) ≤ charge limit,
    Σ r(up) · hours_ta / η_d − e_{t+a} ≤ −latest_{t+a},   Σ r(down) · hours_ta / η_d + e_{t+a} ≤ most,   a = 0 … ahead − 1.

An asset that only charges has c = x / (h · η_c) and no column c; one that only discharges has none either.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

CHARGE_LEAST, CHARGE_MOST, DISCHARGE_LEAST, DISCHARGE_MOST, ENERGY_LEAST, ENERGY_MOST, POWER_UP, POWER_DOWN = range(8)
HELD_LEAST = 8  # from here on a family for each product, then `ahead` families of energy upwards, and as many downwards


class Programme(NamedTuple):
    """One asset's programme, and the room to solve it in; every last axis is the step of the window.

    Attributes:
        up: whether each product moves upwards.
        is_held: 1 where the asset holds the product, 0 where the column is left out.
        hours: energy of a call by the end of each step ahead, per kW held, losses included.
        has_charge: whether c is a column.
        of_charge: (γ_c, γ_x): c = γ_c · column + γ_x · x;  of_discharge: (δ_c, δ_x) likewise; both [2, step].
        price_energy, price_local: q.
        limit, is_row: m, and 1 where the row exists.
        energy, local: z.  slack, worth: s and its multipliers λ.
        The rest is work: residuals, directions and factors.
    """

    up: NDArray[np.bool_]  # [product]
    is_held: Numbers  # [product, step]
    hours: Numbers  # [product, ahead, step]
    has_charge: NDArray[np.bool_]  # [1]
    of_charge: Numbers  # [2, step]
    of_discharge: Numbers  # [2, step]
    price_energy: Numbers  # [step]
    price_local: Numbers  # [1 + product, step]
    limit: Numbers  # [family, step]
    is_row: Numbers  # [family, step]
    energy: Numbers  # [step]
    local: Numbers  # [1 + product, step]
    slack: Numbers  # [family, step]
    worth: Numbers  # [family, step]
    primal_residual: Numbers  # [family, step]
    dual_energy: Numbers  # [step]
    dual_local: Numbers  # [1 + product, step]
    by_row: Numbers  # [family, step]
    slack_step: Numbers  # [family, step]
    worth_step: Numbers  # [family, step]
    weight: Numbers  # [family, step]
    energy_step: Numbers  # [step]
    local_step: Numbers  # [1 + product, step]
    factor: Numbers  # [step, 1 + product, 1 + product]
    towards: Numbers  # [step, 1 + product, 1 + ahead]
    band: Numbers  # [step, 1 + ahead]


@njit(nogil=True, cache=True, error_model="numpy")
def make_programme(steps: int, up: NDArray[np.bool_], ahead: int) -> Programme:
    """Room for an asset's programme."""
    products = up.size
    families, local = HELD_LEAST + products + 2 * ahead, 1 + products
    return Programme(
        up,
        np.zeros((products, steps)),
        np.zeros((products, ahead, steps)),
        np.zeros(1, dtype=np.bool_),
        np.zeros((2, steps)),
        np.zeros((2, steps)),
        np.zeros(steps),
        np.zeros((local, steps)),
        np.zeros((families, steps)),
        np.zeros((families, steps)),
        np.zeros(steps),
        np.zeros((local, steps)),
        np.zeros((families, steps)),
        np.zeros((families, steps)),
        np.zeros((families, steps)),
        np.zeros(steps),
        np.zeros((local, steps)),
        np.zeros((families, steps)),
        np.zeros((families, steps)),
        np.zeros((families, steps)),
        np.zeros((families, steps)),
        np.zeros(steps),
        np.zeros((local, steps)),
        np.zeros((steps, local, local)),
        np.zeros((steps, local, 1 + ahead)),
        np.zeros((steps, 1 + ahead)),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def times_rows(work: Programme, steps: int, energy: Numbers, local: Numbers, out: Numbers) -> None:
    """out = M z, with the energy before the window at zero."""
    products, ahead = work.up.size, work.band.shape[1] - 1
    before = 0.0
    for t in range(steps):
        x = energy[t] - before
        before = energy[t]
        c = work.of_charge[0, t] * local[0, t] + work.of_charge[1, t] * x
        d = work.of_discharge[0, t] * local[0, t] + work.of_discharge[1, t] * x
        out[CHARGE_LEAST, t], out[CHARGE_MOST, t] = -c, c
        out[DISCHARGE_LEAST, t], out[DISCHARGE_MOST, t] = -d, d
        out[ENERGY_LEAST, t], out[ENERGY_MOST, t] = -energy[t], energy[t]
        out[POWER_UP, t], out[POWER_DOWN, t] = d - c, c - d
    for a in range(ahead):
        up, down = HELD_LEAST + products + a, HELD_LEAST + products + ahead + a
        for t in range(steps - a):
            out[up, t], out[down, t] = -energy[t + a], energy[t + a]
    for k in range(products):
        power = POWER_UP if work.up[k] else POWER_DOWN
        called = HELD_LEAST + products + (0 if work.up[k] else ahead)
        for t in range(steps):
            held = local[1 + k, t] * work.is_held[k, t]
            out[HELD_LEAST + k, t] = -held
            out[power, t] += held
        for a in range(ahead):
            for t in range(steps - a):
                out[called + a, t] += work.hours[k, a, t] * work.is_held[k, t] * local[1 + k, t]


@njit(nogil=True, cache=True, error_model="numpy")
def times_columns(work: Programme, steps: int, by_row: Numbers, out_energy: Numbers, out_local: Numbers) -> None:
    """out = M' y; rows that do not exist must stand at zero."""
    products, ahead = work.up.size, work.band.shape[1] - 1
    for t in range(steps):
        out_energy[t] = by_row[ENERGY_MOST, t] - by_row[ENERGY_LEAST, t]
    for t in range(steps):
        net = by_row[POWER_DOWN, t] - by_row[POWER_UP, t]
        c = by_row[CHARGE_MOST, t] - by_row[CHARGE_LEAST, t] + net
        d = by_row[DISCHARGE_MOST, t] - by_row[DISCHARGE_LEAST, t] - net
        out_local[0, t] = work.of_charge[0, t] * c + work.of_discharge[0, t] * d
        x = work.of_charge[1, t] * c + work.of_discharge[1, t] * d
        out_energy[t] += x
        if t > 0:
            out_energy[t - 1] -= x
    for a in range(ahead):
        up, down = HELD_LEAST + products + a, HELD_LEAST + products + ahead + a
        for t in range(steps - a):
            out_energy[t + a] += by_row[down, t] - by_row[up, t]
    for k in range(products):
        power = POWER_UP if work.up[k] else POWER_DOWN
        called = HELD_LEAST + products + (0 if work.up[k] else ahead)
        for t in range(steps):
            out_local[1 + k, t] = by_row[power, t] - by_row[HELD_LEAST + k, t]
        for a in range(ahead):
            for t in range(steps - a):
                out_local[1 + k, t] += work.hours[k, a, t] * by_row[called + a, t]
        for t in range(steps):
            out_local[1 + k, t] *= work.is_held[k, t]
