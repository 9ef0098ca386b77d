"""The cheapest response of one asset that may also hold reserves, and a bound that is valid whatever the solver did.

At a price per kWh and a worth per kW of every product and step, the asset solves the programme of `holding_programme`. Its optimum is
the asset's own: a product's worth already counts what the market takes, what its site leaves, and what a commitment is worth.

The answer is made from the solver's energies alone. They are clamped to what can be reached, forwards from arrival:

    max(−loss_t, latest_t − e_{t−1}) ≤ x_t ≤ min(gain_t, most − e_{t−1}),

so that it can be carried out to the last digit; the power is what changes the energy so, never both ways at once; and what
the asset then holds is scaled until it is deliverable in kW and in kWh. The bound is the dual's, with what is left of its
residual counted against it over the box in which every column lies:

    q · z = (q + M'λ) · z − λ · M z ≥ Σ min over the box of (q + M'λ)_i · z_i − λ · m     for every λ ≥ 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.arrays import AssetArrays
from aggregator.core.dispatch.fleet.holding import Holding
from aggregator.core.dispatch.fleet.holding_statement import (
    ROOM,
    HoldingWorkspace,
    begin,
    lay_out_energy,
    mark_held,
    state_programme,
)
from aggregator.core.dispatch.fleet.interior import solve_programme
from aggregator.core.dispatch.fleet.response import lay_out_limits, respond

Numbers = NDArray[np.float64]

# One for all questions: what is written follows remembered prices, and must come to what was answered then.
TOLERANCE = 1e-6
FEASIBILITY = 1e-8
MOST_CLOSED = 3  # how often steps in which burning energy would pay are closed
BURNS = 1e-4  # part of the asset's power: below it, charging and discharging at once is the solver's rounding


@njit(nogil=True, cache=True, error_model="numpy")
def respond_and_hold(
    assets: AssetArrays,
    row: int,
    holding: Holding,
    price_per_kwh: Numbers,  # [step]
    by_price: NDArray[np.int64],  # [step]
    worth_per_kw: Numbers,  # [product, step]
    step_h: Numbers,  # [step]
    work: HoldingWorkspace,
) -> float:
    """Write the asset's answer into `change_kwh` and `held_kw` (indexed by the horizon's steps); return its bound.

    The bound is of price · net energy + wear − worth · held, over all plans, those that burn energy included.
    """
    first, end = assets.arrival_step[row], assets.departure_step[row]
    if end <= first:
        return 0.0
    lay_out_limits(assets, row, price_per_kwh, step_h, True, work.plain)
    lay_out_energy(assets, row, work)
    held = mark_held(assets, row, holding, worth_per_kw, work)
    if not held or max(assets.charge_kw[row], assets.discharge_kw[row]) <= 0.0:
        return _respond_alone(assets, row, price_per_kwh, by_price, step_h, work)
    work.closed[:] = 0
    bound = -np.inf
    for turn in range(MOST_CLOSED):
        settled = state_programme(assets, row, holding, price_per_kwh, worth_per_kw, step_h, work)
        scale = begin(assets, row, work)
        solve_programme(work.programme, end - first, TOLERANCE * scale, FEASIBILITY)
        if turn == 0:
            bound = _bound(assets, row, settled, work)
        burns = _close_burning(assets, row, work)
        _carry_out(assets, row, holding, step_h, work)
        if not burns or _value(assets, row, price_per_kwh, worth_per_kw, work) - bound <= 2 * TOLERANCE * scale:
            break
    return bound


@njit(nogil=True, cache=True, error_model="numpy")
def _respond_alone(
    assets: AssetArrays,
    row: int,
    price_per_kwh: Numbers,
    by_price: NDArray[np.int64],
    step_h: Numbers,
    work: HoldingWorkspace,
) -> float:
    """Where nothing is worth holding, the response without a solver."""
    plain, bound = work.plain, 0.0
    gain, give, wear = 1.0 / assets.charge_efficiency[row], assets.discharge_efficiency[row], assets.wear_per_kwh[row]
    for burns in (True, False):
        respond(assets, row, price_per_kwh, by_price, step_h, burns, plain)
        for step in range(assets.arrival_step[row], assets.departure_step[row]):
            work.change_kwh[step] = plain.charged_kwh[step] - plain.drained_kwh[step]
            work.held_kw[:, step] = 0.0
            if burns:
                given_kwh = plain.drained_kwh[step] * give
                bound += price_per_kwh[step] * (plain.charged_kwh[step] * gain - given_kwh) + wear * given_kwh
    return bound


@njit(nogil=True, cache=True, error_model="numpy")
def _bound(assets: AssetArrays, row: int, settled: float, work: HoldingWorkspace) -> float:
    """What λ proves: −λ · m, less what is left of M'λ + q over the box of the columns."""
    steps = assets.departure_step[row] - assets.arrival_step[row]
    programme, unit = work.programme, max(assets.charge_kw[row], assets.discharge_kw[row])
    proven, most = settled, assets.ceiling_kwh[row] / unit
    for f in range(programme.limit.shape[0]):
        for t in range(steps):
            proven -= programme.worth[f, t] * (programme.limit[f, t] - ROOM)
    for t in range(steps):
        proven += _least(programme.dual_energy[t], most) + _least(programme.dual_local[0, t], 1.0)
        for k in range(programme.up.size):
            proven += _least(programme.dual_local[1 + k, t], 2.0)
    return unit * proven


@njit(nogil=True, cache=True, error_model="numpy")
def _least(price: float, most: float) -> float:
    """The least of price · z for a column between zero and most."""
    return min(price * most, 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _close_burning(assets: AssetArrays, row: int, work: HoldingWorkspace) -> bool:
    """Close the weaker direction where the programme charges and discharges at once; whether there is such a step."""
    first, steps = assets.arrival_step[row], assets.departure_step[row] - assets.arrival_step[row]
    programme, unit, burns = work.programme, max(assets.charge_kw[row], assets.discharge_kw[row]), False
    before = assets.energy_kwh[row] / unit
    for t in range(steps):
        x = programme.energy[t] - before
        before = programme.energy[t]
        c = programme.of_charge[0, t] * programme.local[0, t] + programme.of_charge[1, t] * x
        d = programme.of_discharge[0, t] * programme.local[0, t] + programme.of_discharge[1, t] * x
        if min(c, d) > BURNS:
            burns, work.closed[first + t] = True, 1 if x >= 0.0 else 2
    return burns


@njit(nogil=True, cache=True, error_model="numpy")
def _carry_out(assets: AssetArrays, row: int, holding: Holding, step_h: Numbers, work: HoldingWorkspace) -> None:
    """The answer from the programme's energies and what it holds; see the module's docstring."""
    first, steps = assets.arrival_step[row], assets.departure_step[row] - assets.arrival_step[row]
    programme, unit = work.programme, max(assets.charge_kw[row], assets.discharge_kw[row])
    before_kwh = assets.energy_kwh[row]
    for t in range(steps):
        step = first + t
        most_kwh = min(work.plain.gain_kwh[step], assets.ceiling_kwh[row] - before_kwh)
        least_kwh = max(-work.plain.loss_kwh[step], work.least_kwh[step] - before_kwh)
        if work.closed[step] == 1:
            least_kwh = max(least_kwh, min(0.0, most_kwh))
        elif work.closed[step] == 2:
            most_kwh = min(most_kwh, max(0.0, least_kwh))
        change_kwh = min(max(programme.energy[t] * unit - before_kwh, least_kwh), most_kwh)
        before_kwh += change_kwh
        work.change_kwh[step], programme.energy[t] = change_kwh, before_kwh
        for k in range(holding.up.size):
            work.held_kw[k, step] = max(programme.local[1 + k, t], 0.0) * unit * programme.is_held[k, t]
    for t in range(steps):
        for up in (True, False):
            part = deliverable_part(
                assets, row, holding, up, first + t, step_h, work.change_kwh, programme.energy, work.held_kw, work
            )
            for k in range(holding.up.size):
                if holding.up[k] == up:
                    work.held_kw[k, first + t] *= part


@njit(nogil=True, cache=True, error_model="numpy")
def deliverable_part(
    assets: AssetArrays,
    row: int,
    holding: Holding,
    up: bool,
    step: int,
    step_h: Numbers,
    change_kwh: Numbers,  # [step]
    energy_kwh: Numbers,  # [step of the window]
    held_kw: Numbers,  # [product, step]
    work: HoldingWorkspace,
) -> float:
    """The largest factor at which what is held in one direction can be delivered in kW and in kWh; may be above one."""
    first, give = assets.arrival_step[row], assets.discharge_efficiency[row]
    total_kw, touched = 0.0, 0
    for k in range(holding.up.size):
        if holding.up[k] == up and held_kw[k, step] > 0.0:
            total_kw += held_kw[k, step]
            touched = max(touched, holding.touched[k, step])
    if total_kw <= 0.0:
        return 0.0
    gained = change_kwh[step]
    net_kw = (gained / assets.charge_efficiency[row] if gained > 0.0 else gained * give) / step_h[step]
    part = ((work.discharge_kw[step] + net_kw) if up else (work.charge_kw[step] - net_kw)) / total_kw
    for a in range(touched):
        call_kwh = 0.0
        for k in range(holding.up.size):
            if holding.up[k] == up:
                call_kwh += holding.hours[k, a, step] * held_kw[k, step] / give
        stored_kwh = energy_kwh[step + a - first]
        room_kwh = stored_kwh - work.least_kwh[step + a] if up else assets.ceiling_kwh[row] - stored_kwh
        part = min(part, room_kwh / call_kwh)
    return max(part, 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _value(
    assets: AssetArrays, row: int, price_per_kwh: Numbers, worth_per_kw: Numbers, work: HoldingWorkspace
) -> float:
    """What the answer costs at these prices."""
    gain, give, value = 1.0 / assets.charge_efficiency[row], assets.discharge_efficiency[row], 0.0
    for step in range(assets.arrival_step[row], assets.departure_step[row]):
        gained = work.change_kwh[step]
        if gained > 0.0:
            value += price_per_kwh[step] * gained * gain
        else:
            value += (price_per_kwh[step] - assets.wear_per_kwh[row]) * gained * give
        for k in range(worth_per_kw.shape[0]):
            value -= worth_per_kw[k, step] * work.held_kw[k, step]
    return value
