"""Meter readings as numbers: what is wrong with one, and how much energy lies between two instants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.units import SECONDS_PER_HOUR

# Bits of `Reading.flags`. A flagged reading is kept as it came and not used for settlement.
REGISTER_WENT_BACK = 1
POWER_BEYOND_LIMITS = 2
REGISTER_JUMPED = 4
CLOCK_UNSURE = 8

# Meters and converters overshoot: a set-point at the limit is not a fault.
_POWER_TOLERANCE_FRACTION = 0.10
_POWER_TOLERANCE_KW = 0.5
# Registers pass through floats on their way; a thousandth of a watt-hour back is no step back.
REGISTER_TOLERANCE_KWH = 1e-6
# Some registers count in whole kilowatt-hours, and some clocks are a little off.
_REGISTER_STEP_KWH = 1.0
# of an asset whose largest power is not known; finite, because no time at all times it is nothing
NO_LIMIT_KW = 1e12


def most_energy_kwh(seconds: NDArray[np.float64] | float, largest_kw: NDArray[np.float64] | float) -> Any:
    """How far a register can have moved in a time: at 110 % of the largest power, and by a step of a coarse register."""
    return largest_kw * (1 + _POWER_TOLERANCE_FRACTION) * seconds / SECONDS_PER_HOUR + _REGISTER_STEP_KWH


def register_flag(
    value_kwh: float, at_s: float, *, before: Sequence[tuple[float, float]], largest_kw: float | None
) -> int:
    """What is wrong with a register's value: it went back, or moved further than it can have; 0 for nothing.

    Args:
        before: earlier values with their instants (kWh, s): the last one, and the last one that was sound. A value that
            follows from either is sound: after an exchange of the meter one reading is flagged, not all, and after a
            spike none but the spike.
        largest_kw: None where it is not known.
    """
    flag = 0
    for earlier_kwh, earlier_s in before:
        if value_kwh < earlier_kwh - REGISTER_TOLERANCE_KWH:
            flag = REGISTER_WENT_BACK
        elif largest_kw is not None and value_kwh - earlier_kwh > most_energy_kwh(at_s - earlier_s, largest_kw):
            flag = REGISTER_JUMPED
        else:
            return 0
    return flag


def power_is_beyond_limits(power_kw: float, *, max_charge_kw: float, max_discharge_kw: float) -> bool:
    """Whether a signed power is more than an asset can do: over its limit by more than 10 % plus 0.5 kW."""
    limit_kw = max_charge_kw if power_kw > 0 else max_discharge_kw
    return abs(power_kw) > limit_kw * (1 + _POWER_TOLERANCE_FRACTION) + _POWER_TOLERANCE_KW


@dataclass(frozen=True, eq=False)
class SlotEnergy:
    """Energy of one asset per slot; `net_kwh` is 0 where `complete` is False."""

    net_kwh: NDArray[np.float64]  # [slot]
    complete: NDArray[np.bool_]  # [slot]


def energy_in_slots(
    *,
    measured_s: NDArray[np.float64],
    import_kwh: NDArray[np.float64],
    export_kwh: NDArray[np.float64],
    power_kw: NDArray[np.float64],
    boundary_s: NDArray[np.float64],
    longest_gap_s: float,
    largest_kw: float = NO_LIMIT_KW,
) -> SlotEnergy:
    """Energy into the asset in each slot, positive for import.

    From the registers (import − export) interpolated linearly at the slots' boundaries; where a boundary has no two
    register values around it within `longest_gap_s`, or a register went back or jumped within the slot, from the
    trapezoids of the power, if that is without such gaps.

    Args:
        measured_s: seconds on any clock, strictly increasing  # [reading]
        import_kwh, export_kwh: registers, NaN where the reading has none; one of the two may be missing throughout, then
            it counts as 0  # [reading]
        power_kw: signed power, NaN where the reading has none  # [reading]
        boundary_s: the slots' starts and the last one's end, on the same clock, strictly increasing  # [slot + 1]
        longest_gap_s: readings further apart than this say nothing about the time between them.
        largest_kw: what the asset can draw or give; a register that moved further than that was exchanged.
    """
    by_register = _from_register(measured_s, import_kwh, export_kwh, boundary_s, longest_gap_s, largest_kw)
    if by_register.complete.all():
        return by_register
    by_power = _from_power(measured_s, power_kw, boundary_s, longest_gap_s)
    net_kwh = np.where(by_register.complete, by_register.net_kwh, by_power.net_kwh)
    complete = by_register.complete | by_power.complete
    return SlotEnergy(np.where(complete, net_kwh, 0.0), complete)


def _from_register(
    measured_s: NDArray[np.float64],
    import_kwh: NDArray[np.float64],
    export_kwh: NDArray[np.float64],
    boundary_s: NDArray[np.float64],
    longest_gap_s: float,
    largest_kw: float,
) -> SlotEnergy:
    imported = np.zeros_like(import_kwh) if np.isnan(import_kwh).all() else import_kwh
    exported = np.zeros_like(export_kwh) if np.isnan(export_kwh).all() else export_kwh
    neither = np.isnan(import_kwh) & np.isnan(export_kwh)
    known = ~(np.isnan(imported) | np.isnan(exported) | neither)
    times, values = measured_s[known], (imported - exported)[known]
    if times.size == 0:
        return _nothing(boundary_s)
    # a register that went back or jumped was exchanged or reset: what lies before says nothing about what lies after
    broken = _broken(np.diff(times), np.diff(imported[known]), np.diff(exported[known]), largest_kw)
    breaks = np.concatenate(([0], np.cumsum(broken)))
    before, after = _neighbours(times, boundary_s)
    inside = (before >= 0) & (after < times.size)
    gap_s = times[np.minimum(after, times.size - 1)] - times[np.maximum(before, 0)]
    certain = inside & (gap_s <= longest_gap_s)
    first, last = np.maximum(before[:-1], 0), np.minimum(after[1:], times.size - 1)
    complete = certain[:-1] & certain[1:] & (breaks[first] == breaks[last])
    return SlotEnergy(np.where(complete, np.diff(np.interp(boundary_s, times, values)), 0.0), complete)


def _from_power(
    measured_s: NDArray[np.float64],
    power_kw: NDArray[np.float64],
    boundary_s: NDArray[np.float64],
    longest_gap_s: float,
) -> SlotEnergy:
    known = ~np.isnan(power_kw)
    times, values = measured_s[known], power_kw[known]
    if times.size == 0:
        return _nothing(boundary_s)
    before, after = _neighbours(times, boundary_s)
    inside = (before[:-1] >= 0) & (after[1:] < times.size)
    # gaps that are too long, counted up to each reading: a slot is whole if none lies between its outer readings
    too_long = np.concatenate(([0], np.cumsum(np.diff(times) > longest_gap_s)))
    first, last = np.maximum(before[:-1], 0), np.minimum(after[1:], times.size - 1)
    complete = inside & (too_long[last] == too_long[first])

    corners = np.union1d(times, boundary_s)
    heights = np.interp(corners, times, values)
    areas = np.diff(corners) * (heights[1:] + heights[:-1]) / 2 / SECONDS_PER_HOUR
    cumulative = np.concatenate(([0.0], np.cumsum(areas)))
    net_kwh = np.diff(cumulative[np.searchsorted(corners, boundary_s)])
    return SlotEnergy(np.where(complete, net_kwh, 0.0), complete)


def _broken(
    seconds: NDArray[np.float64],
    import_kwh: NDArray[np.float64],
    export_kwh: NDArray[np.float64],
    largest_kw: NDArray[np.float64] | float,
) -> NDArray[np.bool_]:
    """Where registers moved between two readings as they cannot have: backwards, or too far."""
    went_back = np.minimum(import_kwh, export_kwh) < -REGISTER_TOLERANCE_KWH
    jumped: NDArray[np.bool_] = np.maximum(import_kwh, export_kwh) > most_energy_kwh(seconds, largest_kw)
    return went_back | jumped


def _neighbours(
    times: NDArray[np.float64], boundary_s: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the last reading not after, and the first not before, each boundary; −1 and size where none is."""
    return np.searchsorted(times, boundary_s, side="right") - 1, np.searchsorted(times, boundary_s, side="left")


def _nothing(boundary_s: NDArray[np.float64]) -> SlotEnergy:
    slots = boundary_s.size - 1
    return SlotEnergy(np.zeros(slots), np.zeros(slots, dtype=np.bool_))


def energy_of_many(
    *,
    asset: NDArray[np.intp],
    measured_s: NDArray[np.float64],
    import_kwh: NDArray[np.float64],
    export_kwh: NDArray[np.float64],
    power_kw: NDArray[np.float64],
    assets: int,
    boundary_s: NDArray[np.float64],
    longest_gap_s: float,
    largest_kw: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:  # [asset, slot], [asset, slot]
    """`energy_in_slots` of many assets at once: (net_kwh, complete).

    Where the registers of an asset prove every slot, which is the rule, no loop over assets is needed: readings and
    boundaries are compared in one order, by asset and then by time. The others are worked out one by one.

    Args:
        asset: which row of the result each reading belongs to, ascending, and by time within an asset  # [reading]
        measured_s, import_kwh, export_kwh, power_kw: as for `energy_in_slots`  # [reading]
        assets: number of rows of the result.
        largest_kw: what each asset can draw or give; None for no limit  # [asset]
    """
    largest = np.full(assets, NO_LIMIT_KW) if largest_kw is None else largest_kw
    slots = boundary_s.size - 1
    net_kwh, complete = np.zeros((assets, slots)), np.zeros((assets, slots), dtype=np.bool_)
    if measured_s.size == 0:
        return net_kwh, complete
    starts = np.flatnonzero(np.diff(asset, prepend=-1))
    of_reading = np.repeat(np.arange(starts.size), np.diff(starts, append=asset.size))
    imported = _zero_where_never_said(import_kwh, starts, of_reading)
    exported = _zero_where_never_said(export_kwh, starts, of_reading)
    known = ~(np.isnan(imported) | np.isnan(exported) | (np.isnan(import_kwh) & np.isnan(export_kwh)))
    if known.any():
        net_kwh, complete = _registers_of_many(
            asset[known], measured_s[known], imported[known], exported[known], largest, boundary_s, longest_gap_s
        )
    ends = np.append(starts[1:], asset.size)
    for start, end in zip(starts, ends, strict=True):
        row = asset[start]
        if not complete[row].all():
            alone = energy_in_slots(
                measured_s=measured_s[start:end],
                import_kwh=import_kwh[start:end],
                export_kwh=export_kwh[start:end],
                power_kw=power_kw[start:end],
                boundary_s=boundary_s,
                longest_gap_s=longest_gap_s,
                largest_kw=float(largest[row]),
            )
            net_kwh[row], complete[row] = alone.net_kwh, alone.complete
    return net_kwh, complete


def _zero_where_never_said(
    register_kwh: NDArray[np.float64], starts: NDArray[np.intp], of_reading: NDArray[np.intp]
) -> NDArray[np.float64]:  # [reading]
    never = np.logical_and.reduceat(np.isnan(register_kwh), starts)
    return np.where(never[of_reading], 0.0, register_kwh)


def _registers_of_many(
    asset: NDArray[np.intp],
    times: NDArray[np.float64],
    imported: NDArray[np.float64],
    exported: NDArray[np.float64],
    largest_kw: NDArray[np.float64],
    boundary_s: NDArray[np.float64],
    longest_gap_s: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`_from_register` of many assets; every reading given has a value."""
    assets = largest_kw.size
    # whole microseconds, as clocks are kept: the sum of an asset's place and a time must not lose digits
    origin_s = min(times.min(), boundary_s[0])
    span_us = round(float(max(times.max(), boundary_s[-1]) - origin_s) * 1e6) + 2
    key = asset * span_us + np.rint((times - origin_s) * 1e6).astype(np.int64)
    wanted = np.arange(assets)[:, None] * span_us + np.rint((boundary_s - origin_s) * 1e6).astype(np.int64)
    before = np.searchsorted(key, wanted.ravel(), side="right").reshape(wanted.shape) - 1
    after = np.searchsorted(key, wanted.ravel(), side="left").reshape(wanted.shape)
    low, high = np.maximum(before, 0), np.minimum(after, times.size - 1)
    rows = np.arange(assets)[:, None]
    inside = (before >= 0) & (after < times.size) & (asset[low] == rows) & (asset[high] == rows)
    gap_s = times[high] - times[low]
    certain = inside & (gap_s <= longest_gap_s)
    same_asset = np.diff(asset) == 0
    broken = same_asset & _broken(np.diff(times), np.diff(imported), np.diff(exported), largest_kw[asset[1:]])
    breaks = np.concatenate(([0], np.cumsum(broken)))
    complete = certain[:, :-1] & certain[:, 1:] & (breaks[low[:, :-1]] == breaks[high[:, 1:]])
    values = imported - exported
    slope = np.divide(values[high] - values[low], gap_s, out=np.zeros(wanted.shape), where=gap_s > 0)
    at_boundary = slope * (boundary_s - times[low]) + values[low]
    return np.where(complete, np.diff(at_boundary, axis=1), 0.0), complete
