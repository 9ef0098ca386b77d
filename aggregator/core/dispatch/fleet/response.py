"""The cheapest response of one asset to a price per step: exact, without a solver.

With x_t for the energy that the battery gains in step t, the asset solves

    min  Σ step_h · (price · (c − d) + wear · d)
    s.t. x_t = step_h · (charge_efficiency · c_t − d_t / discharge_efficiency),   0 ≤ c_t ≤ charge_kw,  0 ≤ d_t ≤ discharge_kw
         least_t ≤ energy + x_1 + … + x_t ≤ ceiling,   and at departure at least the target;
         from the step on by which the asset must be ready, least_t is the target too, as far as it can be reached.

Let q be what a kWh in the battery is worth. While no limit of the energy binds, q is the same in all steps, and

    charge    where  price / charge_efficiency < q,
    discharge where  (price − wear) · discharge_efficiency > q.

So one number decides a whole stretch, and raising it switches steps in an order that sorting the prices gives: the stretch
is filled until the energy at its end is right. If some limit is then crossed on the way, the limit that is crossed most is
met exactly in the optimum (van der Klauw, Gerards, Hurink 2017, "Resource allocation problems in decentralized energy
management", theorem on nested constraints); the stretch is cut there, and both halves are solved by themselves. Ties are
broken by the order of the steps throughout, which is the same as prices that differ by next to nothing.

Charging and discharging are independent in the linear programme: below a price of about −wear·η_c·η_d/(1 − η_c·η_d) it does
both at once and burns energy. `respond` does so too if it may (`burns`), which gives the programme's own lower bound; if it
may not, an asset does not discharge in such steps, and its response can be carried out.

Where an asset's power depends on its energy, and this answer would break that, `curved` gives the answer instead.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.arrays import AssetArrays, Workspace, least_varies
from aggregator.core.dispatch.fleet.curved import (
    breaks_a_curve,
    gain_from_start,
    kwh_per_kw_of_step,
    respond_along_curves,
)

Numbers = NDArray[np.float64]

_NEVER = 1e300
_RELATIVE_TOLERANCE = 1e-10


@njit(nogil=True, cache=True)
def respond(
    assets: AssetArrays,
    row: int,
    price_per_kwh: Numbers,  # [step]
    by_price: NDArray[np.int64],  # [step], the steps from the cheapest to the dearest
    step_h: Numbers,  # [step]
    burns: bool,
    work: Workspace,
) -> None:
    """Write the asset's cheapest `charged_kwh` and `drained_kwh` of its window into the workspace."""
    first, end = assets.arrival_step[row], assets.departure_step[row]
    if end <= first:
        return
    lay_out_limits(assets, row, price_per_kwh, step_h, burns, work)
    tolerance = _RELATIVE_TOLERANCE * max(1.0, assets.ceiling_kwh[row])
    stack = work.stretches
    stack[0, 0], stack[1, 0] = first, end
    stack[2, 0], stack[3, 0], stack[4, 0] = assets.energy_kwh[row], assets.target_kwh[row], 1.0
    depth = 1
    while depth > 0:
        depth -= 1
        start, stop = int(stack[0, depth]), int(stack[1, depth])
        from_kwh, to_kwh, may_end_higher = stack[2, depth], stack[3, depth], stack[4, depth] > 0.0
        _fill(assets, row, price_per_kwh, by_price, start, stop, to_kwh - from_kwh, may_end_higher, work)
        cut, bound_kwh = _worst_crossing(assets, row, start, stop, from_kwh, may_end_higher, tolerance, work)
        if cut < 0:
            continue
        stack[0, depth], stack[1, depth] = start, cut + 1
        stack[2, depth], stack[3, depth], stack[4, depth] = from_kwh, bound_kwh, 0.0
        depth += 1
        if cut + 1 < stop:
            stack[0, depth], stack[1, depth] = cut + 1, stop
            stack[2, depth], stack[3, depth], stack[4, depth] = bound_kwh, to_kwh, 1.0 if may_end_higher else 0.0
            depth += 1
    curved = assets.charging_lines.shape[1] + assets.discharging_lines.shape[1] > 0
    if curved and breaks_a_curve(assets, row, step_h, tolerance, work):
        respond_along_curves(assets, row, price_per_kwh, step_h, work)


@njit(nogil=True, cache=True)
def lay_out_limits(
    assets: AssetArrays, row: int, price_per_kwh: Numbers, step_h: Numbers, burns: bool, work: Workspace
) -> None:
    first, end = assets.arrival_step[row], assets.departure_step[row]
    gain_kw = assets.charge_efficiency[row] * assets.charge_kw[row]
    loss_kw = assets.discharge_kw[row] / assets.discharge_efficiency[row]
    for step in range(first, end):
        work.gain_kwh[step] = step_h[step] * gain_kw
        work.loss_kwh[step] = step_h[step] * loss_kw
    if assets.discharge_part.shape[0] > 0:
        for step in range(first, end):
            work.loss_kwh[step] *= assets.discharge_part[row, step]
    if loss_kw > 0.0 and not burns:
        wear, charge_efficiency = assets.wear_per_kwh[row], assets.charge_efficiency[row]
        for step in range(first, end):
            price = price_per_kwh[step]
            if price < 0.0 and price / charge_efficiency < (price - wear) * assets.discharge_efficiency[row]:
                work.loss_kwh[step] = 0.0
    work.gain_kwh[end - 1] *= assets.last_step_part[row]
    work.loss_kwh[end - 1] *= assets.last_step_part[row]
    if least_varies(assets, row):
        reach_kwh, milestones = assets.energy_kwh[row], assets.milestone_kwh.shape[0] > 0
        ready_from = assets.ready_step[row] - 1 if assets.ready_step[row] < end else end
        for step in range(first, end):
            into, _ = kwh_per_kw_of_step(assets, row, step, step_h)
            gained_kwh = gain_from_start(assets, row, into, work.gain_kwh[step], reach_kwh)
            reach_kwh = min(reach_kwh + gained_kwh, assets.ceiling_kwh[row])
            least_kwh = assets.floor_kwh[row]
            if milestones and assets.milestone_kwh[row, step] > least_kwh:
                least_kwh = assets.milestone_kwh[row, step]
            if step >= ready_from:
                least_kwh = max(least_kwh, assets.target_kwh[row])
            work.least_kwh[step] = min(least_kwh, reach_kwh)


@njit(nogil=True, cache=True)
def _fill(
    assets: AssetArrays,
    row: int,
    price_per_kwh: Numbers,
    by_price: NDArray[np.int64],
    start: int,
    stop: int,
    wanted_kwh: float,
    may_end_higher: bool,
    work: Workspace,
) -> None:
    """Switch steps in the order of their worth, from all discharging towards all charging, until the gain is `wanted_kwh`.

    Where the stretch may end higher, a kWh left over is worth nothing: whatever pays for itself is switched as well.
    """
    inside, count = work.inside, 0
    for position in range(by_price.shape[0]):
        inside[count] = by_price[position]  # without a branch: which steps are inside is as good as random here
        count += (by_price[position] >= start) & (by_price[position] < stop)
    two_way = assets.discharge_kw[row] > 0.0
    gained_kwh = 0.0
    if two_way:
        for step in range(start, stop):
            gained_kwh -= work.loss_kwh[step]
    per_charged, per_rested = 1.0 / assets.charge_efficiency[row], assets.discharge_efficiency[row]
    wear = assets.wear_per_kwh[row]
    charging, resting = 0, 0 if two_way else count  # steps switched so far: to charging, and away from discharging
    charge_worth = price_per_kwh[inside[0]] * per_charged
    rest_worth = (price_per_kwh[inside[0]] - wear) * per_rested if two_way else _NEVER
    partly, part, rests = -1, 0.0, False
    while charging + resting < 2 * count:
        rests = rest_worth <= charge_worth
        step = inside[resting] if rests else inside[charging]
        more_kwh = work.loss_kwh[step] if rests else work.gain_kwh[step]
        if gained_kwh + more_kwh >= wanted_kwh and (not may_end_higher or min(rest_worth, charge_worth) >= 0.0):
            if gained_kwh < wanted_kwh:
                partly, part = step, (wanted_kwh - gained_kwh) / more_kwh
            break
        gained_kwh += more_kwh
        if rests:
            resting += 1
            rest_worth = (price_per_kwh[inside[resting]] - wear) * per_rested if resting < count else _NEVER
        else:
            charging += 1
            charge_worth = price_per_kwh[inside[charging]] * per_charged if charging < count else _NEVER
    for position in range(count):
        step = inside[position]
        work.charged_kwh[step] = work.gain_kwh[step] if position < charging else 0.0
        work.drained_kwh[step] = work.loss_kwh[step] if position >= resting else 0.0
    if partly >= 0 and rests:
        work.drained_kwh[partly] = (1.0 - part) * work.loss_kwh[partly]
    elif partly >= 0:
        work.charged_kwh[partly] = part * work.gain_kwh[partly]


@njit(nogil=True, cache=True)
def _worst_crossing(
    assets: AssetArrays,
    row: int,
    start: int,
    stop: int,
    from_kwh: float,
    may_end_higher: bool,
    tolerance_kwh: float,
    work: Workspace,
) -> tuple[int, float]:
    """The step at whose end a limit of the energy is crossed most, and that limit; (−1, 0) if none is crossed."""
    ceiling_kwh, floor_kwh = assets.ceiling_kwh[row], assets.floor_kwh[row]
    varies = least_varies(assets, row)
    energy_kwh, worst_kwh, cut, bound_kwh = from_kwh, tolerance_kwh, -1, 0.0
    for step in range(start, stop if may_end_higher else stop - 1):
        energy_kwh += work.charged_kwh[step] - work.drained_kwh[step]
        least_kwh = work.least_kwh[step] if varies else floor_kwh
        if energy_kwh - ceiling_kwh > worst_kwh:
            worst_kwh, cut, bound_kwh = energy_kwh - ceiling_kwh, step, ceiling_kwh
        if least_kwh - energy_kwh > worst_kwh:
            worst_kwh, cut, bound_kwh = least_kwh - energy_kwh, step, least_kwh
    return cut, bound_kwh
