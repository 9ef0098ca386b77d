"""The programme of `holding_programme`, stated for one asset at given prices, and a point to start from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.arrays import AssetArrays, Workspace, least_varies, make_workspace
from aggregator.core.dispatch.fleet.holding import Holding
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
    make_programme,
    times_rows,
)

Numbers = NDArray[np.float64]

# Room that is given to every limit, as a part of the asset's own power: where a driver's need leaves none, the method has no inside.
ROOM = 1e-7


class HoldingWorkspace(NamedTuple):
    """Room that one thread works in.

    Attributes:
        plain: for assets that hold nothing.
        programme: for those that do.
        change_kwh: the answer: what the battery gains in each step.
        held_kw: and what is held of each product.
        least_kwh: least energy at the end of each step from which all later needs can still be met (`latest`).
        charge_kw, discharge_kw: power limits; discharging is closed in the plan where `closed` is 1, charging where 2.
    """

    plain: Workspace
    programme: Programme
    change_kwh: Numbers  # [step]
    held_kw: Numbers  # [product, step]
    least_kwh: Numbers  # [step]
    charge_kw: Numbers  # [step]
    discharge_kw: Numbers  # [step]
    closed: NDArray[np.int64]  # [step]


@njit(nogil=True, cache=True, error_model="numpy")
def make_holding_workspace(steps: int, holding: Holding) -> HoldingWorkspace:
    """Room for horizons of so many steps and these products."""
    return HoldingWorkspace(
        make_workspace(steps, 0),
        make_programme(steps, holding.up, holding.hours.shape[1]),
        np.zeros(steps),
        np.zeros((holding.up.size, steps)),
        np.zeros(steps),
        np.zeros(steps),
        np.zeros(steps),
        np.zeros(steps, dtype=np.int64),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def lay_out_energy(assets: AssetArrays, row: int, work: HoldingWorkspace) -> None:
    """latest_t = max(least_t, latest_{t+1} − gain_{t+1}): from there on, every need can still be met."""
    first, end = assets.arrival_step[row], assets.departure_step[row]
    varies = least_varies(assets, row)
    for step in range(end - 1, first - 1, -1):
        least_kwh = work.plain.least_kwh[step] if varies else assets.floor_kwh[row]
        if step == end - 1:
            least_kwh = max(least_kwh, assets.target_kwh[row])
        else:
            least_kwh = max(least_kwh, work.least_kwh[step + 1] - work.plain.gain_kwh[step + 1])
        work.least_kwh[step] = least_kwh
        part = assets.last_step_part[row] if step == end - 1 else 1.0
        work.charge_kw[step], work.discharge_kw[step] = assets.charge_kw[row] * part, assets.discharge_kw[row] * part


@njit(nogil=True, cache=True, error_model="numpy")
def mark_held(assets: AssetArrays, row: int, holding: Holding, worth_per_kw: Numbers, work: HoldingWorkspace) -> bool:
    """Which products are worth holding in which steps of the window."""
    first, end, held = assets.arrival_step[row], assets.departure_step[row], False
    for k in range(holding.up.size):
        for step in range(first, end):
            stays = step + holding.touched[k, step] <= end
            wanted = holding.may_hold[row, k] and holding.is_open[k, step] and worth_per_kw[k, step] > 0.0
            work.programme.is_held[k, step - first] = 1.0 if stays and wanted else 0.0
            held = held or (stays and wanted)
    return held


@njit(nogil=True, cache=True, error_model="numpy")
def state_programme(
    assets: AssetArrays,
    row: int,
    holding: Holding,
    price_per_kwh: Numbers,
    worth_per_kw: Numbers,
    step_h: Numbers,
    work: HoldingWorkspace,
) -> float:
    """The asset's programme, in units of its own power; returns what the energy at arrival, no column, adds to its cost."""
    first, steps = assets.arrival_step[row], assets.departure_step[row] - assets.arrival_step[row]
    programme, unit = work.programme, max(assets.charge_kw[row], assets.discharge_kw[row])
    gain, give = assets.charge_efficiency[row], assets.discharge_efficiency[row]
    charges, discharges = assets.charge_kw[row] > 0.0, assets.discharge_kw[row] > 0.0
    programme.has_charge[0] = charges and discharges
    programme.price_energy[:steps] = 0.0
    start, settled = assets.energy_kwh[row] / unit, 0.0
    for t in range(steps):
        hours, price = step_h[first + t], price_per_kwh[first + t]
        of_charge, of_discharge = programme.of_charge, programme.of_discharge
        of_charge[0, t], of_charge[1, t] = (0.0, 1.0 / (hours * gain)) if charges else (0.0, 0.0)
        of_discharge[0, t], of_discharge[1, t] = (0.0, -give / hours) if discharges else (0.0, 0.0)
        if charges and discharges:
            of_charge[0, t], of_charge[1, t], of_discharge[0, t] = 1.0, 0.0, gain * give
        charge_price, discharge_price = hours * price, hours * (assets.wear_per_kwh[row] - price)
        programme.price_local[0, t] = of_charge[0, t] * charge_price + of_discharge[0, t] * discharge_price
        by_change = of_charge[1, t] * charge_price + of_discharge[1, t] * discharge_price
        programme.price_energy[t] += by_change
        if t > 0:
            programme.price_energy[t - 1] -= by_change
        else:
            settled = -by_change * start
        for k in range(holding.up.size):
            held = programme.is_held[k, t] > 0.0
            programme.price_local[1 + k, t] = -worth_per_kw[k, first + t] if held else 0.0
            for a in range(holding.hours.shape[1]):
                programme.hours[k, a, t] = holding.hours[k, a, first + t] / give
    _state_rows(assets, row, holding, charges, discharges, unit, work)
    c, d = programme.of_charge[1, 0] * start, programme.of_discharge[1, 0] * start  # the energy at arrival is no column
    for family, sign in ((CHARGE_LEAST, -1.0), (CHARGE_MOST, 1.0)):
        programme.limit[family, 0] += sign * c
    for family, sign in ((DISCHARGE_LEAST, -1.0), (DISCHARGE_MOST, 1.0)):
        programme.limit[family, 0] += sign * d
    programme.limit[POWER_UP, 0] += d - c
    programme.limit[POWER_DOWN, 0] += c - d
    return settled


@njit(nogil=True, cache=True, error_model="numpy")
def _state_rows(
    assets: AssetArrays,
    row: int,
    holding: Holding,
    charges: bool,
    discharges: bool,
    unit: float,
    work: HoldingWorkspace,
) -> None:
    """Which rows there are, and their limits."""
    first, steps = assets.arrival_step[row], assets.departure_step[row] - assets.arrival_step[row]
    programme, most = work.programme, assets.ceiling_kwh[row] / unit
    limit, is_row = programme.limit, programme.is_row
    products, ahead = holding.up.size, holding.hours.shape[1]
    is_row[:, :steps] = 0.0
    limit[:, :steps] = ROOM
    for t in range(steps):
        step = first + t
        charge, discharge = work.charge_kw[step] / unit, work.discharge_kw[step] / unit
        is_row[CHARGE_LEAST, t] = is_row[CHARGE_MOST, t] = 1.0 if charges else 0.0
        is_row[DISCHARGE_LEAST, t] = is_row[DISCHARGE_MOST, t] = 1.0 if discharges else 0.0
        is_row[ENERGY_LEAST, t] = is_row[ENERGY_MOST, t] = 1.0
        limit[CHARGE_MOST, t] += 0.0 if work.closed[step] == 2 else charge
        limit[DISCHARGE_MOST, t] += 0.0 if work.closed[step] == 1 else discharge
        limit[ENERGY_LEAST, t] -= work.least_kwh[step] / unit
        limit[ENERGY_MOST, t] += most
        limit[POWER_UP, t] += discharge
        limit[POWER_DOWN, t] += charge
        for k in range(products):
            if programme.is_held[k, t] == 0.0:
                continue
            is_row[HELD_LEAST + k, t] = 1.0
            is_row[POWER_UP if holding.up[k] else POWER_DOWN, t] = 1.0
            for a in range(holding.touched[k, step]):
                family = HELD_LEAST + products + (a if holding.up[k] else ahead + a)
                is_row[family, t] = 1.0
                limit[family, t] = ROOM - work.least_kwh[step + a] / unit if holding.up[k] else ROOM + most


@njit(nogil=True, cache=True, error_model="numpy")
def begin(assets: AssetArrays, row: int, work: HoldingWorkspace) -> float:
    """A point well inside to start from; returns what a unit of power is worth over an hour, roughly."""
    first, steps = assets.arrival_step[row], assets.departure_step[row] - assets.arrival_step[row]
    programme, unit = work.programme, max(assets.charge_kw[row], assets.discharge_kw[row])
    highest_kwh = lowest_kwh = assets.energy_kwh[row]
    before = assets.energy_kwh[row] / unit
    price = 1e-3
    for t in range(steps):
        step = first + t
        highest_kwh = min(highest_kwh + work.plain.gain_kwh[step], assets.ceiling_kwh[row])
        lowest_kwh = max(lowest_kwh - work.plain.loss_kwh[step], work.least_kwh[step])
        energy = 0.5 * (highest_kwh + lowest_kwh) / unit
        programme.energy[t] = energy
        programme.local[:, t] = 0.1
        if programme.has_charge[0]:
            given = 0.2 * work.discharge_kw[step] / unit
            charge = (given - programme.of_discharge[1, t] * (energy - before)) / programme.of_discharge[0, t]
            most = work.charge_kw[step] / unit
            programme.local[0, t] = min(max(charge, 0.1 * most), 0.9 * most)
        before = energy
        price = max(price, abs(programme.price_energy[t]))
        for i in range(programme.local.shape[0]):
            price = max(price, abs(programme.price_local[i, t]))
    times_rows(programme, steps, programme.energy, programme.local, programme.by_row)
    for f in range(programme.limit.shape[0]):
        for t in range(steps):
            inside = max(programme.limit[f, t] - programme.by_row[f, t], 0.1)
            exists = programme.is_row[f, t] > 0.0
            programme.slack[f, t] = inside if exists else 1.0
            programme.worth[f, t] = 0.1 * price / inside if exists else 0.0
            programme.slack_step[f, t] = programme.worth_step[f, t] = 0.0
    return price
