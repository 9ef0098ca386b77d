"""How much power a battery takes when nearly full, and gives when nearly empty: concave curves over its energy.

A curve is a row of points (energy kWh, power kW), straight between them, for an asset without one NaN; shorter rows end in
NaN. The lines through neighbouring points, prolonged, bound the power together:

    charge_kw    ≤ a_k + b_k · energy  for every line k,  b_k ≤ 0, steeper from line to line
    discharge_kw ≤ a_k + b_k · energy  for every line k,  b_k ≥ 0, flatter from line to line

`energy` is that at the end of the time in which the power is held, where the limit is tightest: a power that keeps the lines
there can be held from the first moment to the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

_ROUNDING = 1e-9


def no_curves(count: int) -> Numbers:  # [asset, 0 points, 2]
    """For assets that have none."""
    return np.full((count, 0, 2), np.nan)


def charging_fault(points: Numbers, capacity_kwh: Numbers) -> tuple[NDArray[np.bool_], str]:
    """Which charging curves cannot be used, and what they should be."""
    slope = _slopes(points)
    bad = _malformed(points) | (slope > _ROUNDING).any(axis=1) | _not_concave(slope)
    bad |= _value(points, capacity_kwh) < -_ROUNDING
    return bad, "energies that rise, powers that never rise and fall ever faster, and not below 0 kW up to the capacity"


def discharging_fault(points: Numbers) -> tuple[NDArray[np.bool_], str]:
    """Which discharging curves cannot be used, and what they should be."""
    slope = _slopes(points)
    bad = _malformed(points) | (slope < -_ROUNDING).any(axis=1) | _not_concave(slope)
    bad |= _value(points, np.zeros(points.shape[0])) < -_ROUNDING
    return bad, "energies that rise, powers that never fall and rise ever slower, and not below 0 kW down to empty"


def charging_lines(points: Numbers, ceiling_kwh: Numbers) -> Numbers:  # [asset, line, 2]
    """The lines (a_k, b_k) of charging curves; (∞, 0) where there is none.

    A battery that arrives so much fuller than full that its curve lies below zero does not charge at all: the limit
    "nothing above, something below" is not concave.
    """
    lines = _lines(points)
    if lines.shape[1]:
        lines[most_kw(lines, ceiling_kwh) < -_ROUNDING] = 0.0
    return lines


def discharging_lines(points: Numbers) -> Numbers:  # [asset, line, 2]
    """The lines (a_k, b_k) of discharging curves; (∞, 0) where there is none."""
    return _lines(points)


def most_kw(lines: Numbers, energy_kwh: Numbers) -> Numbers:  # [asset, …]
    """Most power at some energies, [asset] or [asset, step]: min over the lines; infinite without lines."""
    energy = np.asarray(energy_kwh, dtype=np.float64)
    least = np.full(energy.shape, np.inf)
    for line in np.moveaxis(lines, 1, 0):
        shape = (-1, *([1] * (energy.ndim - 1)))
        np.minimum(least, line[:, 0].reshape(shape) + line[:, 1].reshape(shape) * energy, out=least)
    return least


def most_held_kw(lines: Numbers, energy_kwh: Numbers, kwh_per_kw: Numbers) -> Numbers:  # [asset]
    """Most power that can be held while each kW of it changes the energy by so many kWh (negative: discharging).

    p ≤ a + b · (energy + kwh_per_kw · p)   ⟺   p ≤ (a + b · energy) / (1 − b · kwh_per_kw)
    """
    least = np.full(np.shape(energy_kwh), np.inf)
    for line in np.moveaxis(lines, 1, 0):
        held_kw = (line[:, 0] + line[:, 1] * energy_kwh) / (1.0 - line[:, 1] * kwh_per_kw)
        np.minimum(least, held_kw, out=least)
    return np.maximum(least, 0.0)


def curve_points(rows: Sequence[Sequence[tuple[float, float]]]) -> Numbers | None:  # [asset, point, 2]
    """Points of every asset, nothing for one without a curve, as one array; None if no asset has a curve."""
    if not any(rows):
        return None
    points = np.full((len(rows), max(len(row) for row in rows), 2), np.nan)
    for number, row in enumerate(rows):
        if row:
            points[number, : len(row)] = row
    return points


def _slopes(points: Numbers) -> Numbers:  # [asset, line]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.diff(points[:, :, 1], axis=1) / np.diff(points[:, :, 0], axis=1))


def _malformed(points: Numbers) -> NDArray[np.bool_]:
    """A single point, a gap among the points, energies that do not rise, or powers below zero."""
    given: NDArray[np.bool_] = np.isfinite(points)
    known: NDArray[np.bool_] = np.logical_and.reduce(given, axis=2)
    count = known.sum(axis=1)
    half_known = (np.logical_or.reduce(given, axis=2) & ~known).any(axis=1)
    gap = (known[:, 1:] & ~known[:, :-1]).any(axis=1)
    falls = (np.diff(points[:, :, 0], axis=1) <= 0).any(axis=1)
    negative = (points[:, :, 1] < 0).any(axis=1)
    return np.asarray(half_known | gap | falls | negative | (count == 1))


def _not_concave(slope: Numbers) -> NDArray[np.bool_]:
    return np.asarray((np.diff(slope, axis=1) > _ROUNDING).any(axis=1))


def _lines(points: Numbers) -> Numbers:
    slope = _slopes(points)
    known = np.isfinite(slope)
    per_kwh = np.where(known, slope, 0.0)
    kw = np.where(known, points[:, : slope.shape[1], 1] - per_kwh * points[:, : slope.shape[1], 0], np.inf)
    return np.stack([kw, per_kwh], axis=2)


def _value(points: Numbers, energy_kwh: Numbers) -> Numbers:
    return most_kw(_lines(points), energy_kwh)
