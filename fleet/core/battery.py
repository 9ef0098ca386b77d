"""The physics of a battery: what a step of power does to its energy, and how much power it takes or gives.

Every function works on single numbers and on arrays alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


def energy_after_step(
    energy_kwh: ArrayLike,
    power_kw: ArrayLike,
    *,
    step_h: ArrayLike,
    charge_efficiency: ArrayLike,
    discharge_efficiency: ArrayLike,
) -> Numbers:
    """Energy in the battery after a step at a constant power measured at the grid side.

    energy' = energy + step_h · (charge_efficiency · charge_kw − discharge_kw / discharge_efficiency)

    Args:
        energy_kwh: energy in the battery before the step.
        power_kw: set-point at the grid side, positive into the battery.
        step_h: length of the step in hours.
        charge_efficiency: part of the energy drawn that reaches the battery, in (0, 1].
        discharge_efficiency: part of the energy taken from the battery that reaches the grid, in (0, 1].
    """
    power = np.asarray(power_kw, dtype=np.float64)
    charge_kw, discharge_kw = np.maximum(power, 0.0), np.maximum(-power, 0.0)
    change_kw = np.asarray(charge_efficiency) * charge_kw - discharge_kw / np.asarray(discharge_efficiency)
    return np.asarray(energy_kwh) + np.asarray(step_h) * change_kw


def power_for_energy_change(
    change_kwh: ArrayLike,
    *,
    step_h: ArrayLike,
    charge_efficiency: ArrayLike,
    discharge_efficiency: ArrayLike,
) -> Numbers:
    """The power at the grid side that changes the energy in the battery by `change_kwh` within a step.

    The inverse of `energy_after_step`.
    """
    change_kw = np.asarray(change_kwh, dtype=np.float64) / np.asarray(step_h)
    return np.where(
        change_kw >= 0,
        change_kw / np.asarray(charge_efficiency),
        change_kw * np.asarray(discharge_efficiency),
    )


@dataclass(frozen=True, slots=True)
class ChargingCurve:
    """How the power that a battery accepts falls as it fills.

    Full power up to `taper_from_fraction`, then a straight line down to `full_power_fraction` of it when full: the
    constant-current and constant-voltage phases of a lithium cell, as chargers show them.

    Attributes:
        taper_from_fraction: state of charge from which the power falls, in (0, 1]; of one battery or of several.
        full_power_fraction: part of the full power that is still taken at 100 %, in (0, 1].
    """

    taper_from_fraction: ArrayLike = 1.0
    full_power_fraction: ArrayLike = 1.0

    def accepted_fraction(self, soc_fraction: ArrayLike) -> Numbers:
        """Part of the full charging power that is accepted at a state of charge; zero when full."""
        soc = np.asarray(soc_fraction, dtype=np.float64)
        start, full_part = np.asarray(self.taper_from_fraction), np.asarray(self.full_power_fraction)
        falling = 1.0 - (1.0 - full_part) * np.clip((soc - start) / np.maximum(1.0 - start, 1e-9), 0.0, 1.0)
        return np.where(soc >= 1.0, 0.0, falling)


def taper_points(
    *, taper_from_fraction: float, full_power_fraction: float, capacity_kwh: float, full_kw: float
) -> tuple[tuple[float, float], ...]:
    """The same curve as points (kWh, kW) of one battery, as `power_curves` takes them; none if its power never falls."""
    if taper_from_fraction >= 1.0 or full_power_fraction >= 1.0:
        return ()
    return (taper_from_fraction * capacity_kwh, full_kw), (capacity_kwh, full_power_fraction * full_kw)


def deliverable_power_kw(
    wanted_kw: ArrayLike,
    *,
    energy_kwh: ArrayLike,
    capacity_kwh: ArrayLike,
    floor_kwh: ArrayLike,
    charge_kw: ArrayLike,
    discharge_kw: ArrayLike,
    step_h: ArrayLike,
    charge_efficiency: ArrayLike,
    discharge_efficiency: ArrayLike,
    curve: ChargingCurve = ChargingCurve(),
) -> Numbers:
    """What a battery really does over a step when it is told `wanted_kw`.

    Bounded by the power limits, by the charging curve at the energy it starts with, and by the room that is left up to
    the capacity or down to the floor. A battery below its floor does not discharge.

    Args:
        wanted_kw: set-point at the grid side, positive into the battery.
        energy_kwh, capacity_kwh, floor_kwh: energy at the start of the step, its ceiling, and its floor.
        charge_kw, discharge_kw: largest power each way, never negative.
        step_h: length of the step in hours.
        charge_efficiency, discharge_efficiency: see `energy_after_step`.
        curve: how the power falls as the battery fills.
    """
    energy, capacity = (
        np.asarray(energy_kwh, dtype=np.float64),
        np.asarray(capacity_kwh, dtype=np.float64),
    )
    hours = np.asarray(step_h, dtype=np.float64)
    soc = np.divide(
        energy,
        capacity,
        out=np.ones(np.broadcast(energy, capacity).shape),
        where=capacity > 0,
    )
    room_kw = np.maximum(capacity - energy, 0.0) / (hours * np.asarray(charge_efficiency))
    most_in = np.minimum(np.asarray(charge_kw) * curve.accepted_fraction(soc), room_kw)
    spare_kw = np.maximum(energy - np.asarray(floor_kwh), 0.0) * np.asarray(discharge_efficiency) / hours
    most_out = np.minimum(np.asarray(discharge_kw), spare_kw)
    return np.clip(np.asarray(wanted_kw, dtype=np.float64), -most_out, most_in)
