"""Many assets that may hold reserves: what groups of them do and hold at given prices, and what blends of that come to.

The same two passes as in `population`, with the response that also holds. A blend of what an asset holds can be delivered by
the blend of its energies (what is deliverable grows no slower than the energies do), but for what netting takes from its
power: charging in one answer and discharging in another cancel out. So what is written is scaled down until it is
deliverable on top of the set-points as they are.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.arrays import AssetArrays
from aggregator.core.dispatch.fleet.holding import Holding
from aggregator.core.dispatch.fleet.holding_response import deliverable_part, respond_and_hold
from aggregator.core.dispatch.fleet.holding_statement import HoldingWorkspace, lay_out_energy, make_holding_workspace
from aggregator.core.dispatch.fleet.response import lay_out_limits

Numbers = NDArray[np.float64]


@njit(nogil=True, cache=True, error_model="numpy")
def add_holding_responses(
    assets: AssetArrays,
    holding: Holding,
    price_class: NDArray[np.int64],
    group: NDArray[np.int64],
    weight: Numbers,
    first: int,
    end: int,
    prices: Numbers,  # [series, step]
    ranked: NDArray[np.int64],
    own_price: Numbers,  # [series, step]
    step_h: Numbers,
    series_kw: Numbers,  # [group, 1 + product, step]
    cost: Numbers,  # [group]
) -> float:
    """Add up what the assets from `first` to `end` do and hold; returns their proven bound at `prices`."""
    work, products = make_holding_workspace(step_h.shape[0], holding), holding.up.size
    classes, bound = own_price.shape[0] // (1 + products), 0.0
    worth = np.zeros((products, step_h.shape[0]))
    for row in range(first, end):
        kind, whose, times, paid = price_class[row], group[row], weight[row], 0.0
        for k in range(products):
            worth[k] = -prices[classes * (1 + k) + kind] * step_h
        bound += times * respond_and_hold(assets, row, holding, prices[kind], ranked[kind], worth, step_h, work)
        gain, give, wear = 1.0 / assets.charge_efficiency[row], assets.discharge_efficiency[row], 0.0
        for step in range(assets.arrival_step[row], assets.departure_step[row]):
            gained = work.change_kwh[step]
            drawn_kwh = gained * (gain if gained > 0.0 else give)
            wear = assets.wear_per_kwh[row] if drawn_kwh < 0.0 else 0.0
            series_kw[whose, 0, step] += times * drawn_kwh / step_h[step]
            paid += (own_price[kind, step] - wear) * drawn_kwh
            for k in range(products):
                held_kw = work.held_kw[k, step]
                series_kw[whose, 1 + k, step] += times * held_kw
                paid += own_price[classes * (1 + k) + kind, step] * step_h[step] * held_kw
        cost[whose] += times * paid
    return bound


@njit(nogil=True, cache=True, error_model="numpy")
def write_holding_blend(
    assets: AssetArrays,
    holding: Holding,
    price_class: NDArray[np.int64],
    group: NDArray[np.int64],
    rows: NDArray[np.int64],
    first: int,
    end: int,
    prices: Numbers,  # [memory, series, step]
    ranked: NDArray[np.int64],
    of_group: NDArray[np.int64],
    share: Numbers,
    starts: NDArray[np.int64],
    drawn: Numbers,
    step_h: Numbers,
    out_kw: NDArray[np.float32],  # [asset, step]
    out_held_kw: NDArray[np.float32],  # [product, asset, step]
    wear: Numbers,  # [class]
) -> None:
    """Write set-points and what is held for the rows from `first` to `end`; see `population.write_set_points`."""
    work, products = make_holding_workspace(step_h.shape[0], holding), holding.up.size
    classes = wear.size
    worth = np.zeros((products, step_h.shape[0]))
    change_kwh, held_kw = np.zeros(step_h.shape[0]), np.zeros((products, step_h.shape[0]))
    for place in range(first, end):
        row = rows[place]
        change_kwh[:] = 0.0
        held_kw[:] = 0.0
        kind, entry, last, passed = price_class[row], starts[group[row]], starts[group[row] + 1], 0.0
        while entry < last:
            part = share[entry]
            if drawn[place] >= 0.0:
                while entry + 1 < last and passed + share[entry] <= drawn[place]:
                    passed += share[entry]
                    entry += 1
                part, last = 1.0, entry
            asked = prices[of_group[entry]]
            for k in range(products):
                worth[k] = -asked[classes * (1 + k) + kind] * step_h
            respond_and_hold(assets, row, holding, asked[kind], ranked[of_group[entry], kind], worth, step_h, work)
            for step in range(assets.arrival_step[row], assets.departure_step[row]):
                change_kwh[step] += part * work.change_kwh[step]
                for k in range(products):
                    held_kw[k, step] += part * work.held_kw[k, step]
            entry += 1
        gain, give = 1.0 / assets.charge_efficiency[row], assets.discharge_efficiency[row]
        for step in range(assets.arrival_step[row], assets.departure_step[row]):
            kw = change_kwh[step] * (gain if change_kwh[step] > 0.0 else give) / step_h[step]
            out_kw[row, step] = kw
            if kw < 0.0:
                wear[kind] -= assets.wear_per_kwh[row] * kw * step_h[step]
        keep_deliverable(assets, row, holding, step_h, change_kwh, held_kw, work)
        for step in range(assets.arrival_step[row], assets.departure_step[row]):
            for k in range(products):
                out_held_kw[k, row, step] = held_kw[k, step]


@njit(nogil=True, cache=True, error_model="numpy")
def keep_deliverable(
    assets: AssetArrays,
    row: int,
    holding: Holding,
    step_h: Numbers,
    change_kwh: Numbers,  # [step]
    held_kw: Numbers,  # [product, step]
    work: HoldingWorkspace,
) -> None:
    """Scale what is held down to what can be delivered on top of these changes of energy."""
    first, end = assets.arrival_step[row], assets.departure_step[row]
    if end <= first:
        return
    lay_out_limits(assets, row, change_kwh, step_h, True, work.plain)
    lay_out_energy(assets, row, work)
    energy_kwh, stored = work.programme.energy, assets.energy_kwh[row]
    for step in range(first, end):
        stored += change_kwh[step]
        energy_kwh[step - first] = stored
    for step in range(first, end):
        for up in (True, False):
            part = min(
                deliverable_part(assets, row, holding, up, step, step_h, change_kwh, energy_kwh, held_kw, work), 1.0
            )
            for k in range(holding.up.size):
                if holding.up[k] == up:
                    held_kw[k, step] *= part


@njit(nogil=True, cache=True, error_model="numpy")
def keep_all_deliverable(
    assets: AssetArrays,
    holding: Holding,
    rows: NDArray[np.int64],
    step_h: Numbers,
    out_kw: NDArray[np.float32],  # [asset, step]
    out_held_kw: NDArray[np.float32],  # [product, asset, step]
) -> None:
    """The same for set-points that stand already, of some rows."""
    work, products = make_holding_workspace(step_h.shape[0], holding), holding.up.size
    change_kwh, held_kw = np.zeros(step_h.shape[0]), np.zeros((products, step_h.shape[0]))
    for row in rows:
        gain, loss = assets.charge_efficiency[row], 1.0 / assets.discharge_efficiency[row]
        for step in range(assets.arrival_step[row], assets.departure_step[row]):
            kw = out_kw[row, step]
            change_kwh[step] = kw * step_h[step] * (gain if kw > 0.0 else loss)
            for k in range(products):
                stays = step + holding.touched[k, step] <= assets.departure_step[row]
                held_kw[k, step] = out_held_kw[k, row, step] if stays and holding.may_hold[row, k] else 0.0
        keep_deliverable(assets, row, holding, step_h, change_kwh, held_kw, work)
        for step in range(assets.arrival_step[row], assets.departure_step[row]):
            for k in range(products):
                out_held_kw[k, row, step] = held_kw[k, step]
