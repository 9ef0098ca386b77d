"""An interior-point method for one asset that holds reserves: a small linear programme with a band for every step.

Mehrotra's predictor and corrector (Mehrotra 1992, "On the implementation of a primal–dual interior point method"). The
normal equations M'ΘM are solved step by step: v_t meets only x_t and e_t … e_{t+ahead−1}, so it is eliminated first, and
what is left is a band of width `ahead` over the energies. A window of fifty steps takes some ten microseconds a round.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.holding_programme import (
    CHARGE_LEAST,
    CHARGE_MOST,
    DISCHARGE_LEAST,
    DISCHARGE_MOST,
    ENERGY_LEAST,
    ENERGY_MOST,
    HELD_LEAST,
    POWER_DOWN,
    POWER_UP,
    Programme,
    times_columns,
    times_rows,
)

Numbers = NDArray[np.float64]

MOST_ROUNDS = 60
STEP_BACK = 0.995  # how much of the way to the nearest bound a step goes at most
REGULAR = 1e-13
FAR_ENOUGH = 1e-3  # of the tolerance: closer to the optimum the equations lose more digits than a round gains


@njit(nogil=True, cache=True, error_model="numpy")
def _factor(work: Programme, steps: int) -> None:
    """M'ΘM, with every v_t eliminated, as a Cholesky factor in `band`; `factor` and `towards` take v_t out and in."""
    products, ahead = work.up.size, work.band.shape[1] - 1
    weight, band = work.weight, work.band
    band[:steps, :] = 0.0
    whole = np.zeros((1 + ahead, 1 + ahead))  # over x_t, e_t, e_{t+1}, …
    for t in range(steps):
        block, towards = work.factor[t], work.towards[t]
        block[:, :] = 0.0
        towards[:, :] = 0.0
        whole[:, :] = 0.0
        c, d = weight[CHARGE_LEAST, t] + weight[CHARGE_MOST, t], weight[DISCHARGE_LEAST, t] + weight[DISCHARGE_MOST, t]
        power_up, power_down = weight[POWER_UP, t], weight[POWER_DOWN, t]
        c_c, c_x, d_c, d_x = (
            work.of_charge[0, t],
            work.of_charge[1, t],
            work.of_discharge[0, t],
            work.of_discharge[1, t],
        )
        n_c, n_x = c_c - d_c, c_x - d_x
        net = power_up + power_down
        block[0, 0] = c * c_c * c_c + d * d_c * d_c + net * n_c * n_c if work.has_charge[0] else 1.0
        towards[0, 0] = c * c_c * c_x + d * d_c * d_x + net * n_c * n_x
        whole[0, 0] = c * c_x * c_x + d * d_x * d_x + net * n_x * n_x
        whole[1, 1] = weight[ENERGY_LEAST, t] + weight[ENERGY_MOST, t]
        for a in range(min(ahead, steps - t)):
            whole[1 + a, 1 + a] += weight[HELD_LEAST + products + a, t] + weight[HELD_LEAST + products + ahead + a, t]
        for k in range(products):
            if work.is_held[k, t] == 0.0:
                block[1 + k, 1 + k] = 1.0
                continue
            sign, power = (-1.0, power_up) if work.up[k] else (1.0, power_down)
            called = HELD_LEAST + products + (0 if work.up[k] else ahead)
            block[1 + k, 0] = sign * power * n_c
            towards[1 + k, 0] = sign * power * n_x
            for a in range(min(ahead, steps - t)):
                towards[1 + k, 1 + a] = sign * weight[called + a, t] * work.hours[k, a, t]
            for j in range(k + 1):
                if work.up[j] == work.up[k] and work.is_held[j, t] > 0.0:
                    both = power
                    for a in range(min(ahead, steps - t)):
                        both += weight[called + a, t] * work.hours[k, a, t] * work.hours[j, a, t]
                    block[1 + k, 1 + j] = both
            block[1 + k, 1 + k] += weight[HELD_LEAST + k, t]
        _eliminate(block, towards, whole)
        _add_to_band(band, whole, t, steps)
    _factor_band(band, steps)


@njit(nogil=True, cache=True, error_model="numpy")
def _eliminate(block: Numbers, towards: Numbers, whole: Numbers) -> None:
    """block → its Cholesky factor L, towards → L⁻¹ · towards, whole → whole − towards' · block⁻¹ · towards."""
    size, wide = towards.shape
    for j in range(size):
        for i in range(j, size):
            value = block[i, j]
            for k in range(j):
                value -= block[i, k] * block[j, k]
            block[i, j] = np.sqrt(max(value, REGULAR)) if i == j else value / block[j, j]
        for s in range(wide):
            value = towards[j, s]
            for k in range(j):
                value -= block[j, k] * towards[k, s]
            towards[j, s] = value / block[j, j]
    for s in range(wide):
        for r in range(s, wide):
            for j in range(size):
                whole[r, s] -= towards[j, r] * towards[j, s]


@njit(nogil=True, cache=True, error_model="numpy")
def _add_to_band(band: Numbers, whole: Numbers, t: int, steps: int) -> None:
    """Add a step's share (lower triangle over x_t, e_t, e_{t+1}, …; x_t = e_t − e_{t−1}) to the band over the energies."""
    wide = whole.shape[0]
    band[t, 0] += whole[0, 0]
    if t > 0:
        band[t - 1, 0] += whole[0, 0]
        band[t - 1, 1] -= whole[0, 0]
    for a in range(min(wide - 1, steps - t)):
        band[t, a] += whole[1 + a, 0] * (2.0 if a == 0 else 1.0)
        if t > 0:
            band[t - 1, 1 + a] -= whole[1 + a, 0]
        for b in range(a + 1):
            band[t + b, a - b] += whole[1 + a, 1 + b]


@njit(nogil=True, cache=True, error_model="numpy")
def _factor_band(band: Numbers, steps: int) -> None:
    """Cholesky in place: band[t, a] holds the factor's entry in row t + a, column t."""
    wide = band.shape[1]
    for t in range(steps):
        pivot = np.sqrt(max(band[t, 0], REGULAR))
        band[t, 0] = pivot
        reach = min(wide, steps - t)
        for a in range(1, reach):
            band[t, a] /= pivot
        for a in range(1, reach):
            for b in range(1, a + 1):
                band[t + b, a - b] -= band[t, a] * band[t, b]


@njit(nogil=True, cache=True, error_model="numpy")
def _solve(work: Programme, steps: int) -> None:
    """(M'ΘM) dz = the right-hand side that stands in `energy_step` and `local_step`; dz takes its place."""
    size, wide = work.towards.shape[1], work.towards.shape[2]
    energy, local, band = work.energy_step, work.local_step, work.band
    for t in range(steps):
        block, towards = work.factor[t], work.towards[t]
        for i in range(size):
            value = local[i, t]
            for k in range(i):
                value -= block[i, k] * local[k, t]
            value /= block[i, i]
            local[i, t] = value
            energy[t] -= towards[i, 0] * value
            if t > 0:
                energy[t - 1] += towards[i, 0] * value
            for a in range(min(wide - 1, steps - t)):
                energy[t + a] -= towards[i, 1 + a] * value
    for t in range(steps):
        energy[t] /= band[t, 0]
        for a in range(1, min(wide, steps - t)):
            energy[t + a] -= band[t, a] * energy[t]
    for t in range(steps - 1, -1, -1):
        for a in range(1, min(wide, steps - t)):
            energy[t] -= band[t, a] * energy[t + a]
        energy[t] /= band[t, 0]
    for t in range(steps):
        block, towards = work.factor[t], work.towards[t]
        x = energy[t] - (energy[t - 1] if t > 0 else 0.0)
        for i in range(size - 1, -1, -1):
            value = local[i, t] - towards[i, 0] * x
            for a in range(min(wide - 1, steps - t)):
                value -= towards[i, 1 + a] * energy[t + a]
            for k in range(i + 1, size):
                value -= block[k, i] * local[k, t]
            local[i, t] = value / block[i, i]


@njit(nogil=True, cache=True, error_model="numpy")
def _residuals(work: Programme, steps: int) -> tuple[float, float, float]:
    """M z + s − m and M' λ + q; returns the largest of each, and s · λ."""
    times_rows(work, steps, work.energy, work.local, work.primal_residual)
    off, product, dual = 0.0, 0.0, 0.0
    for f in range(work.limit.shape[0]):
        for t in range(steps):
            r = (work.primal_residual[f, t] + work.slack[f, t] - work.limit[f, t]) * work.is_row[f, t]
            work.primal_residual[f, t] = r
            off = max(off, abs(r))
            product += work.slack[f, t] * work.worth[f, t]
    times_columns(work, steps, work.worth, work.dual_energy, work.dual_local)
    for t in range(steps):
        work.dual_energy[t] += work.price_energy[t]
        dual = max(dual, abs(work.dual_energy[t]))
        for i in range(work.local.shape[0]):
            work.dual_local[i, t] += work.price_local[i, t]
            dual = max(dual, abs(work.dual_local[i, t]))
    return off, dual, product


@njit(nogil=True, cache=True, error_model="numpy")
def _direction(work: Programme, steps: int, centre: float, corrects: bool) -> None:
    """The step towards s · λ = centre; with `corrects`, less what the last direction adds to the second order."""
    for f in range(work.limit.shape[0]):
        for t in range(steps):
            wanted = work.slack[f, t] * work.worth[f, t] - centre
            if corrects:
                wanted += work.slack_step[f, t] * work.worth_step[f, t]
            work.by_row[f, t] = (
                wanted / work.slack[f, t] - work.weight[f, t] * work.primal_residual[f, t]
            ) * work.is_row[f, t]
    times_columns(work, steps, work.by_row, work.energy_step, work.local_step)
    for t in range(steps):
        work.energy_step[t] -= work.dual_energy[t]
        for i in range(work.local.shape[0]):
            work.local_step[i, t] -= work.dual_local[i, t]
    _solve(work, steps)
    times_rows(work, steps, work.energy_step, work.local_step, work.slack_step)
    for f in range(work.limit.shape[0]):
        for t in range(steps):
            moved = work.slack_step[f, t] * work.is_row[f, t]
            work.slack_step[f, t] = -work.primal_residual[f, t] - moved
            work.worth_step[f, t] = work.weight[f, t] * moved - work.by_row[f, t]


@njit(nogil=True, cache=True, error_model="numpy")
def _longest(work: Programme, steps: int) -> tuple[float, float]:
    """How far s and λ can follow their directions before one of them turns negative."""
    primal, dual = 1.0, 1.0
    for f in range(work.limit.shape[0]):
        for t in range(steps):
            if work.slack[f, t] + primal * work.slack_step[f, t] < 0.0:
                primal = -work.slack[f, t] / work.slack_step[f, t]
            if work.worth[f, t] + dual * work.worth_step[f, t] < 0.0:
                dual = -work.worth[f, t] / work.worth_step[f, t]
    return primal, dual


@njit(nogil=True, cache=True, error_model="numpy")
def solve_programme(work: Programme, steps: int, tolerance: float, feasibility: float) -> int:
    """From the z, s and λ that stand in `work` to the optimum, with its residuals; returns the rounds.

    Args:
        tolerance: of s · λ, which is what the plan costs more than its bound.
        feasibility: of the largest residual.
    """
    rows = work.is_row[:, :steps].sum()
    for turn in range(MOST_ROUNDS):
        off, dual, product = _residuals(work, steps)
        if product <= tolerance and (max(off, dual) <= feasibility or product <= tolerance * FAR_ENOUGH):
            return turn
        for f in range(work.limit.shape[0]):
            for t in range(steps):
                work.weight[f, t] = work.worth[f, t] / work.slack[f, t]
        _factor(work, steps)
        _direction(work, steps, 0.0, False)
        primal, dual = _longest(work, steps)
        after = 0.0
        for f in range(work.limit.shape[0]):
            for t in range(steps):
                after += (work.slack[f, t] + primal * work.slack_step[f, t]) * (
                    work.worth[f, t] + dual * work.worth_step[f, t]
                )
        _direction(work, steps, product / rows * (after / product) ** 3, True)
        primal, dual = _longest(work, steps)
        primal, dual = min(1.0, STEP_BACK * primal), min(1.0, STEP_BACK * dual)
        for t in range(steps):
            work.energy[t] += primal * work.energy_step[t]
            for i in range(work.local.shape[0]):
                work.local[i, t] += primal * work.local_step[i, t]
        for f in range(work.limit.shape[0]):
            for t in range(steps):
                if work.is_row[f, t] > 0.0:
                    work.slack[f, t] = max(work.slack[f, t] + primal * work.slack_step[f, t], 1e-14)
                    work.worth[f, t] = max(work.worth[f, t] + dual * work.worth_step[f, t], 1e-14)
    _residuals(work, steps)
    return MOST_ROUNDS
