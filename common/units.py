"""Conversions between the units that the outside world uses and ours (kW, kWh, fraction, second)."""

from __future__ import annotations

SECONDS_PER_HOUR = 3600.0
WATTS_PER_KILOWATT = 1000.0


def watts_to_kw(power_w: float) -> float:
    """Convert watts to kilowatts."""
    return power_w / WATTS_PER_KILOWATT


def kw_to_watts(power_kw: float) -> float:
    """Convert kilowatts to watts."""
    return power_kw * WATTS_PER_KILOWATT


def wh_to_kwh(energy_wh: float) -> float:
    """Convert watt-hours to kilowatt-hours."""
    return energy_wh / WATTS_PER_KILOWATT


def kwh_to_wh(energy_kwh: float) -> float:
    """Convert kilowatt-hours to watt-hours."""
    return energy_kwh * WATTS_PER_KILOWATT


def seconds_to_hours(duration_s: float) -> float:
    """Convert seconds to hours."""
    return duration_s / SECONDS_PER_HOUR


def amperes_to_kw(current_a: float, *, voltage_v: float = 230.0, phases: int = 1) -> float:
    """Active power of a balanced AC connection at unity power factor, phase-to-neutral voltage."""
    return current_a * voltage_v * phases / WATTS_PER_KILOWATT


def kw_to_amperes(power_kw: float, *, voltage_v: float = 230.0, phases: int = 1) -> float:
    """Current per phase of a balanced AC connection at unity power factor, phase-to-neutral voltage."""
    return power_kw * WATTS_PER_KILOWATT / (voltage_v * phases)
