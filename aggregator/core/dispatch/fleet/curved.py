"""The cheapest response of an asset whose power depends on its energy: exact, by going backwards through its steps.

`response` first plans as if there were no curves. Where that breaks none it is the optimum. Else let V_t(e) be the least
cost from step t on with energy e at its start, and e' the energy at its end:

    V_t(e) = min over e' of  V_{t+1}(e') + cost_t(e' − e)
    cost_t(x) = price / charge_efficiency · x  for x ≥ 0,     (price − wear) · discharge_efficiency · x  for x < 0
    −drain_t(e') ≤ e' − e ≤ gain_t(e'),     least_t ≤ e' ≤ ceiling

with gain_t(e') = min over the lines of step_h · charge_efficiency · (a_k + b_k · e'), likewise drain_t. V_t is convex and
piecewise linear, and known by its bends and slopes alone. The best e' is one of two levels that do not depend on e, or as
near to it as the power allows: below the one the battery charges up to it, above the other it discharges down to it. In the
space of e, a bend of V_{t+1} below the levels moves to where flat-out charging just reaches it, e' − gain_t(e'), and one
above them to e' + drain_t(e').

Where burning energy pays and is allowed (for bounds only), the curves are left out of that step: the bound can only be lower.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.arrays import AssetArrays, Workspace, least_varies

Numbers = NDArray[np.float64]

_SAME_SLOPE, _SAME_KWH = 1e-13, 1e-11
_KW, _PER_KWH, _KNOT_KWH = 0, 1, 2


@njit(nogil=True, cache=True)
def gain_at_end(assets: AssetArrays, row: int, kwh_per_kw: float, most_kwh: float, energy_kwh: float) -> float:
    """Most that a battery can gain in a step at whose end it holds so much."""
    for line in range(assets.charging_lines.shape[1]):
        kw = assets.charging_lines[row, line, _KW] + assets.charging_lines[row, line, _PER_KWH] * energy_kwh
        most_kwh = min(most_kwh, kwh_per_kw * kw)
    return max(most_kwh, 0.0)


@njit(nogil=True, cache=True)
def gain_from_start(assets: AssetArrays, row: int, kwh_per_kw: float, most_kwh: float, energy_kwh: float) -> float:
    """Most that a battery can gain in a step at whose start it holds so much."""
    for line in range(assets.charging_lines.shape[1]):
        per_kwh = assets.charging_lines[row, line, _PER_KWH]
        kw = assets.charging_lines[row, line, _KW] + per_kwh * energy_kwh
        most_kwh = min(most_kwh, kwh_per_kw * kw / (1.0 - kwh_per_kw * per_kwh))
    return max(most_kwh, 0.0)


@njit(nogil=True, cache=True)
def drain_at_end(assets: AssetArrays, row: int, kwh_per_kw: float, most_kwh: float, energy_kwh: float) -> float:
    """Most that a battery can lose in a step at whose end it holds so much."""
    for line in range(assets.discharging_lines.shape[1]):
        kw = assets.discharging_lines[row, line, _KW] + assets.discharging_lines[row, line, _PER_KWH] * energy_kwh
        most_kwh = min(most_kwh, kwh_per_kw * kw)
    return max(most_kwh, 0.0)


@njit(nogil=True, cache=True)
def drain_from_start(assets: AssetArrays, row: int, kwh_per_kw: float, most_kwh: float, energy_kwh: float) -> float:
    """Most that a battery can lose in a step at whose start it holds so much."""
    for line in range(assets.discharging_lines.shape[1]):
        per_kwh = assets.discharging_lines[row, line, _PER_KWH]
        kw = assets.discharging_lines[row, line, _KW] + per_kwh * energy_kwh
        most_kwh = min(most_kwh, kwh_per_kw * kw / (1.0 + kwh_per_kw * per_kwh))
    return max(most_kwh, 0.0)


@njit(nogil=True, cache=True)
def kwh_per_kw_of_step(assets: AssetArrays, row: int, step: int, step_h: Numbers) -> tuple[float, float]:
    """Energy that a kW of charging brings, and a kW of discharging takes, in a step."""
    hours = step_h[step] * (assets.last_step_part[row] if step == assets.departure_step[row] - 1 else 1.0)
    return hours * assets.charge_efficiency[row], hours / assets.discharge_efficiency[row]


@njit(nogil=True, cache=True)
def reach_along_curves(assets: AssetArrays, step_h: Numbers) -> Numbers:  # [asset]
    """Most energy at departure, charging as hard as each battery takes from its arrival on."""
    reach_kwh = assets.energy_kwh.copy()
    for row in range(reach_kwh.shape[0]):
        for step in range(assets.arrival_step[row], assets.departure_step[row]):
            into, _ = kwh_per_kw_of_step(assets, row, step, step_h)
            gain_kwh = gain_from_start(assets, row, into, into * assets.charge_kw[row], reach_kwh[row])
            reach_kwh[row] = min(assets.ceiling_kwh[row], reach_kwh[row] + gain_kwh)
    return reach_kwh


@njit(nogil=True, cache=True)
def breaks_a_curve(assets: AssetArrays, row: int, step_h: Numbers, tolerance_kwh: float, work: Workspace) -> bool:
    """Whether the answer in the workspace charges or discharges more than the battery takes or gives."""
    energy_kwh = assets.energy_kwh[row]
    for step in range(assets.arrival_step[row], assets.departure_step[row]):
        charged_kwh, drained_kwh = work.charged_kwh[step], work.drained_kwh[step]
        energy_kwh += charged_kwh - drained_kwh
        into, out = kwh_per_kw_of_step(assets, row, step, step_h)
        if charged_kwh > gain_at_end(assets, row, into, work.gain_kwh[step], energy_kwh) + tolerance_kwh:
            return True
        if drained_kwh > drain_at_end(assets, row, out, work.loss_kwh[step], energy_kwh) + tolerance_kwh:
            return True
    return False


@njit(nogil=True, cache=True)
def respond_along_curves(
    assets: AssetArrays, row: int, price_per_kwh: Numbers, step_h: Numbers, work: Workspace
) -> None:
    """Write the cheapest `charged_kwh` and `drained_kwh`, from the limits that stand in the workspace."""
    first, end = assets.arrival_step[row], assets.departure_step[row]
    ceiling_kwh, floor_kwh, energy_kwh = assets.ceiling_kwh[row], assets.floor_kwh[row], assets.energy_kwh[row]
    varies = least_varies(assets, row)
    high_kwh, low_kwh = energy_kwh, energy_kwh
    for step in range(first, end):
        work.high_kwh[step], work.low_kwh[step] = high_kwh, low_kwh
        high_kwh = min(ceiling_kwh, high_kwh + work.gain_kwh[step])
        low_kwh = max(0.0, low_kwh - work.loss_kwh[step])
    bend, slope, other_bend, other_slope = work.bend_kwh[0], work.slope[0], work.bend_kwh[1], work.slope[1]
    bend[0], bend[1], slope[0] = min(assets.target_kwh[row], ceiling_kwh), ceiling_kwh, 0.0
    count = 2 if bend[0] < bend[1] - _SAME_KWH else 1
    for step in range(end - 1, first - 1, -1):
        worth_charged, worth_drained = _worth(assets, row, price_per_kwh[step])
        burning = work.loss_kwh[step] > 0.0 and worth_drained > worth_charged
        count = _insert_knots(assets, row, bend, slope, count)
        low, high = (-worth_drained, -worth_charged) if burning else (-worth_charged, -worth_drained)
        first_level, second_level = _level(bend, slope, count, low), count - 1
        if work.loss_kwh[step] > 0.0:
            second_level = _level(bend, slope, count, high)
        work.first_level_kwh[step], work.second_level_kwh[step] = bend[first_level], bend[second_level]
        if step == first:
            break
        into, out = kwh_per_kw_of_step(assets, row, step, step_h)
        gain_kwh, loss_kwh = work.gain_kwh[step], work.loss_kwh[step]
        if burning:
            count = _step_back_burning(
                bend, slope, count, first_level, second_level, low, high, gain_kwh, loss_kwh, other_bend, other_slope
            )
        else:
            count = _step_back(
                assets, row, bend, slope, count, first_level, second_level, low, high,
                into, out, gain_kwh, loss_kwh, other_bend, other_slope,
            )  # fmt: skip
        wanted_kwh = work.least_kwh[step - 1] if varies else floor_kwh
        lowest_kwh, highest_kwh = max(wanted_kwh, work.low_kwh[step]), min(ceiling_kwh, work.high_kwh[step])
        count = _cut(other_bend, other_slope, count, lowest_kwh, highest_kwh)
        bend, slope, other_bend, other_slope = other_bend, other_slope, bend, slope
    _walk(assets, row, price_per_kwh, step_h, work)


@njit(nogil=True, cache=True)
def _worth(assets: AssetArrays, row: int, price: float) -> tuple[float, float]:
    """What a kWh in the battery costs by charging, and brings by discharging."""
    charged = price / assets.charge_efficiency[row]
    return charged, (price - assets.wear_per_kwh[row]) * assets.discharge_efficiency[row]


@njit(nogil=True, cache=True)
def _level(bend: Numbers, slope: Numbers, count: int, least_slope: float) -> int:
    """The first bend from which on the slope is no less."""
    for place in range(count - 1):
        if slope[place] >= least_slope:
            return place
    return count - 1


@njit(nogil=True, cache=True)
def _insert_knots(assets: AssetArrays, row: int, bend: Numbers, slope: Numbers, count: int) -> int:
    """Mark where the curves pass from one line to the next."""
    for lines in (assets.charging_lines, assets.discharging_lines):
        for line in range(lines.shape[1]):
            knot_kwh = lines[row, line, _KNOT_KWH]
            if not bend[0] < knot_kwh < bend[count - 1]:
                continue
            place = count - 1
            while bend[place] > knot_kwh:
                place -= 1
            if knot_kwh - bend[place] <= _SAME_KWH or bend[place + 1] - knot_kwh <= _SAME_KWH:
                continue
            for later in range(count, place + 1, -1):
                bend[later], slope[later] = bend[later - 1], slope[later - 1]
            bend[place + 1], slope[place + 1] = knot_kwh, slope[place]
            count += 1
    return count


@njit(nogil=True, cache=True)
def _push(bend: Numbers, slope: Numbers, count: int, at_kwh: float, new_slope: float) -> int:
    """Add a bend; none where the line simply goes on, and none that rounding would put before the last one."""
    if count and abs(new_slope - slope[count - 1]) <= _SAME_SLOPE:
        return count
    if count and at_kwh <= bend[count - 1] + _SAME_KWH:
        slope[count - 1] = new_slope
        return count
    bend[count], slope[count] = at_kwh, new_slope
    return count + 1


@njit(nogil=True, cache=True)
def _end(bend: Numbers, slope: Numbers, count: int, at_kwh: float) -> int:
    """Add the last bend, after which there is nothing; none where rounding puts it at the one before."""
    if count and at_kwh <= bend[count - 1] + _SAME_KWH:
        return count
    bend[count], slope[count] = at_kwh, 0.0
    return count + 1


@njit(nogil=True, cache=True)
def _step_back(
    assets: AssetArrays,
    row: int,
    bend: Numbers,
    slope: Numbers,
    count: int,
    charge_to: int,
    drain_to: int,
    charging_slope: float,
    draining_slope: float,
    into: float,
    out: float,
    most_gain_kwh: float,
    most_loss_kwh: float,
    new_bend: Numbers,
    new_slope: Numbers,
) -> int:
    """From V_{t+1} to V_t where the asset does one thing at a time."""
    made = 0
    at_kwh = bend[0] - gain_at_end(assets, row, into, most_gain_kwh, bend[0])
    for place in range(charge_to):
        next_kwh = bend[place + 1] - gain_at_end(assets, row, into, most_gain_kwh, bend[place + 1])
        per_kwh = (bend[place + 1] - bend[place]) / (next_kwh - at_kwh)
        made = _push(new_bend, new_slope, made, at_kwh, (slope[place] - charging_slope) * per_kwh + charging_slope)
        at_kwh = next_kwh
    if at_kwh < bend[charge_to]:
        made = _push(new_bend, new_slope, made, at_kwh, charging_slope)
    for place in range(charge_to, drain_to):
        made = _push(new_bend, new_slope, made, bend[place], slope[place])
    at_kwh = bend[drain_to] + drain_at_end(assets, row, out, most_loss_kwh, bend[drain_to])
    if at_kwh > bend[drain_to]:
        made = _push(new_bend, new_slope, made, bend[drain_to], draining_slope)
    for place in range(drain_to, count - 1):
        next_kwh = bend[place + 1] + drain_at_end(assets, row, out, most_loss_kwh, bend[place + 1])
        per_kwh = (bend[place + 1] - bend[place]) / (next_kwh - at_kwh)
        made = _push(new_bend, new_slope, made, at_kwh, (slope[place] - draining_slope) * per_kwh + draining_slope)
        at_kwh = next_kwh
    return _end(new_bend, new_slope, made, at_kwh)


@njit(nogil=True, cache=True)
def _step_back_burning(
    bend: Numbers,
    slope: Numbers,
    count: int,
    first_level: int,
    second_level: int,
    low: float,
    high: float,
    gain_kwh: float,
    loss_kwh: float,
    new_bend: Numbers,
    new_slope: Numbers,
) -> int:
    """From V_{t+1} to V_t where charging and discharging at once pays: the sum of two ranges, sorted by slope."""
    made, shift_kwh = 0, -gain_kwh
    for place in range(count):
        if place == first_level:
            made = _push(new_bend, new_slope, made, bend[place] + shift_kwh, low)
            shift_kwh += loss_kwh
        if place == second_level:
            made = _push(new_bend, new_slope, made, bend[place] + shift_kwh, high)
            shift_kwh += gain_kwh
        if place < count - 1:
            made = _push(new_bend, new_slope, made, bend[place] + shift_kwh, slope[place])
    return _end(new_bend, new_slope, made, bend[count - 1] + shift_kwh)


@njit(nogil=True, cache=True)
def _cut(bend: Numbers, slope: Numbers, count: int, lowest_kwh: float, highest_kwh: float) -> int:
    """Keep what lies between two energies; what rounding leaves of nothing is a point."""
    highest_kwh = max(min(highest_kwh, bend[count - 1]), bend[0])
    lowest_kwh = min(max(lowest_kwh, bend[0]), highest_kwh)
    skipped = 0
    while skipped < count - 2 and bend[skipped + 1] <= lowest_kwh + _SAME_KWH:
        skipped += 1
    kept = 0
    for place in range(skipped, count):
        if bend[place] >= highest_kwh and kept:
            break
        bend[kept], slope[kept] = max(bend[place], lowest_kwh), slope[place]
        kept += 1
    if bend[kept - 1] < highest_kwh - _SAME_KWH:
        bend[kept] = highest_kwh
        kept += 1
    return kept


@njit(nogil=True, cache=True)
def _walk(assets: AssetArrays, row: int, price_per_kwh: Numbers, step_h: Numbers, work: Workspace) -> None:
    """Forwards: towards the level that each step asks for, as far as the power allows."""
    energy_kwh = assets.energy_kwh[row]
    for step in range(assets.arrival_step[row], assets.departure_step[row]):
        worth_charged, worth_drained = _worth(assets, row, price_per_kwh[step])
        gain_kwh, loss_kwh = work.gain_kwh[step], work.loss_kwh[step]
        first_kwh, second_kwh = work.first_level_kwh[step], work.second_level_kwh[step]
        charged_kwh, drained_kwh = 0.0, 0.0
        if loss_kwh > 0.0 and worth_drained > worth_charged:
            charged_kwh = min(gain_kwh, max(0.0, second_kwh + loss_kwh - energy_kwh))
            drained_kwh = min(loss_kwh, max(0.0, energy_kwh + gain_kwh - first_kwh))
        elif energy_kwh < first_kwh:
            into, _ = kwh_per_kw_of_step(assets, row, step, step_h)
            charged_kwh = min(first_kwh - energy_kwh, gain_from_start(assets, row, into, gain_kwh, energy_kwh))
        elif energy_kwh > second_kwh:
            _, out = kwh_per_kw_of_step(assets, row, step, step_h)
            drained_kwh = min(energy_kwh - second_kwh, drain_from_start(assets, row, out, loss_kwh, energy_kwh))
        work.charged_kwh[step], work.drained_kwh[step] = charged_kwh, drained_kwh
        energy_kwh += charged_kwh - drained_kwh
