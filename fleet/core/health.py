"""How much a pack still holds, from what its meter counted and what its state of charge says, with an uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.units import SECONDS_PER_HOUR

Numbers = NDArray[np.float64]

# A meter of class 1, and a battery management whose state of charge is right to a hundredth at either end of a sweep.
METER_ERROR_FRACTION = 0.01
SOC_ERROR_FRACTION = 0.01
# Readings further apart than this leave a hole in the energy.
LONGEST_GAP_S = 120.0
# Sweeps shorter than this say more about the error of the state of charge than about the capacity.
LEAST_SWEEP_FRACTION = 0.1
# How far the energy may turn back within a sweep, as a part of its whole range: noise, not a new direction.
_TURN_FRACTION = 0.01


@dataclass(frozen=True, slots=True)
class CapacityEstimate:
    """`capacity_kwh` with its standard error; `span_fraction` is the longest sweep of state of charge behind it."""

    capacity_kwh: float
    standard_error_kwh: float
    sweeps: int
    span_fraction: float


def estimate_capacity(
    *,
    measured_s: Numbers,  # [reading]
    power_kw: Numbers,  # [reading]
    soc_fraction: Numbers,  # [reading]
    charge_efficiency: float,
    discharge_efficiency: float,
) -> CapacityEstimate | None:
    """Capacity of a battery from full or partial cycles; None where no sweep is long enough.

    The energy at the meter is turned into energy in the battery, E = ∫ η_c·p⁺ − p⁻/η_d dt (trapezoids), and cut into
    sweeps in which the energy goes one way (the energy, because it is smoother than the state of charge, and turning
    points picked by a noisy value would lie too far apart). Each sweep gives y = ΔE with error σ_y (the meter's) and x = ΔSoC
    with error σ_x (twice the error of a reading, in quadrature). The capacity is the slope of y over x through the
    origin, by total least squares, which takes the error of x as seriously as that of y:

        minimise over C   Σ (y − C·x)² / (σ_y² + C²·σ_x²)

    and its standard error follows from the curvature there, var C = 2 / (d²/dC²). G. L. Plett, "Recursive approximate
    weighted total least squares estimation of battery cell total capacity", Journal of Power Sources 196 (2011) 2319.

    A battery management that derives its state of charge from the capacity that it believes in makes the estimate
    believe it too; a test from full to empty, where voltages decide, is free of that.

    Args:
        measured_s: seconds on any clock, strictly increasing.
        power_kw: positive into the battery, NaN where a reading has none.
        soc_fraction: NaN where a reading has none.
    """
    sweeps = _sweeps(measured_s, power_kw, soc_fraction, charge_efficiency, discharge_efficiency)
    if not sweeps:
        return None
    span = np.array([abs(soc) for soc, _ in sweeps])
    energy = np.array([abs(energy) for _, energy in sweeps])
    if energy.min() <= 0:
        return None
    soc_error = math.sqrt(2.0) * SOC_ERROR_FRACTION
    capacity = _slope(span, energy, soc_error, float(METER_ERROR_FRACTION * energy.mean()))
    error = _standard_error(span, energy, soc_error, METER_ERROR_FRACTION * energy, capacity)
    return CapacityEstimate(capacity, error, len(sweeps), float(span.max()))


def _sweeps(
    measured_s: Numbers, power_kw: Numbers, soc_fraction: Numbers, charge_efficiency: float, discharge_efficiency: float
) -> list[tuple[float, float]]:
    """(ΔSoC, ΔE in kWh) of every sweep that is long enough and has no hole."""
    known = ~np.isnan(power_kw)
    times, powers, socs = measured_s[known], power_kw[known], soc_fraction[known]
    if times.size < 2:
        return []
    inside_kw = np.where(powers >= 0, powers * charge_efficiency, powers / discharge_efficiency)
    steps_s = np.diff(times)
    energy = np.concatenate(([0.0], np.cumsum((inside_kw[1:] + inside_kw[:-1]) / 2 * steps_s / SECONDS_PER_HOUR)))
    holes = np.concatenate(([0], np.cumsum(steps_s > LONGEST_GAP_S)))
    told = ~np.isnan(socs)
    socs, energy, holes = socs[told], energy[told], holes[told]
    found = []
    for start, end in _monotone_pieces(energy, holes):
        change = float(socs[end] - socs[start])
        if abs(change) >= LEAST_SWEEP_FRACTION:
            found.append((change, float(energy[end] - energy[start])))
    return found


def _monotone_pieces(energy: Numbers, holes: NDArray[np.intp]) -> list[tuple[int, int]]:
    """First and last index of every stretch in which the energy goes one way, up to noise."""
    pieces: list[tuple[int, int]] = []
    noise = _TURN_FRACTION * float(np.ptp(energy)) if energy.size else 0.0
    start = turning = 0
    for index in range(1, energy.size):
        direction = np.sign(energy[turning] - energy[start])
        if holes[index] != holes[index - 1]:
            pieces.append((start, turning))
            start = turning = index
        elif direction == 0 or (energy[index] - energy[turning]) * direction >= 0:
            turning = index
        elif abs(energy[index] - energy[turning]) > noise:
            pieces.append((start, turning))
            start, turning = turning, index
    if energy.size:
        pieces.append((start, turning))
    return pieces


def _slope(x: Numbers, y: Numbers, x_error: float, y_error: float) -> float:
    """Total least squares through the origin for errors that are the same in every sweep: the root of a quadratic."""
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    difference = x_error**2 * yy - y_error**2 * xx
    return (difference + math.sqrt(difference**2 + 4 * x_error**2 * y_error**2 * xy**2)) / (2 * x_error**2 * xy)


def _standard_error(x: Numbers, y: Numbers, x_error: float, y_error: Numbers, slope: float) -> float:
    """From the curvature of the sum of squares, by central differences; never below what the readings' own scatter says."""

    def squares(at: float) -> float:
        return float((((y - at * x) ** 2) / (y_error**2 + at**2 * x_error**2)).sum())

    step = 1e-3 * slope
    curvature = (squares(slope + step) - 2 * squares(slope) + squares(slope - step)) / step**2
    scatter = max(squares(slope) / max(x.size - 1, 1), 1.0)
    return math.sqrt(2.0 / curvature * scatter) if curvature > 0 else math.inf


@dataclass(frozen=True, slots=True)
class TestPhase:
    """One phase of a capacity test: power (kW, + into the pack) for so many seconds."""

    __test__ = False

    power_kw: float
    seconds: float


def plan_capacity_test(
    *,
    capacity_kwh: float,
    energy_kwh: float,
    floor_kwh: float,
    test_kw: float,
    charge_efficiency: float,
    discharge_efficiency: float,
    rest_s: float = 600.0,
    margin_fraction: float = 0.1,
) -> tuple[TestPhase, ...]:
    """The phases of a test: to full, rest, to the floor, rest, and back to the energy that the pack began with.

    Each phase of power lasts as long as the energy takes at that power, and a tenth longer, because the capacity is what
    is not known; the pack itself stops where it is full or at its floor. Rest lets voltages settle.
    """
    to_full_s = _seconds((capacity_kwh - energy_kwh) / charge_efficiency, test_kw, margin_fraction)
    to_floor_s = _seconds((capacity_kwh - floor_kwh) * discharge_efficiency, test_kw, margin_fraction)
    back_s = _seconds(max(energy_kwh - floor_kwh, 0.0) / charge_efficiency, test_kw, 0.0)
    return (
        TestPhase(test_kw, to_full_s),
        TestPhase(0.0, rest_s),
        TestPhase(-test_kw, to_floor_s),
        TestPhase(0.0, rest_s),
        TestPhase(test_kw, back_s),
    )


def _seconds(energy_kwh: float, power_kw: float, margin_fraction: float) -> float:
    return math.ceil(energy_kwh / power_kw * SECONDS_PER_HOUR * (1.0 + margin_fraction))
