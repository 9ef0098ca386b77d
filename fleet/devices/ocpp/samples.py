"""Sampled values of any version -> readings in the platform's units and signs.

Import is positive, export negative; phases are summed where no total is given; current times voltage stands in for power
where no power is given (230 V where no voltage is either).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from fleet.devices.ocpp.instants import read_instant
from fleet.operations.telemetry import MeterReading

DEFAULT_MEASURAND = "Energy.Active.Import.Register"
EXPORT_REGISTER = "Energy.Active.Export.Register"
IMPORT_POWER, EXPORT_POWER = "Power.Active.Import", "Power.Active.Export"
IMPORT_CURRENT, EXPORT_CURRENT, VOLTAGE = "Current.Import", "Current.Export", "Voltage"
SOC, TEMPERATURE, SETPOINT = "SoC", "Temperature", "Power.Active.Setpoint"
# 2.1: what the car shows its driver
SHOWN_SOC = "Display.PresentSOC"
NOMINAL_VOLTAGE_V = 230.0

READ = frozenset(
    {
        DEFAULT_MEASURAND,
        EXPORT_REGISTER,
        IMPORT_POWER,
        EXPORT_POWER,
        IMPORT_CURRENT,
        EXPORT_CURRENT,
        VOLTAGE,
        SOC,
        SHOWN_SOC,
        TEMPERATURE,
        SETPOINT,
    }
)
# Where a station measures what passes to the car. What is measured elsewhere is another quantity, but for these.
_OUTLET = ("Outlet", None)
_MEASURED_ANYWHERE = frozenset({SOC, SHOWN_SOC, TEMPERATURE})
_PER_KILO = {"Wh": 1000.0, "kWh": 1.0, "W": 1000.0, "kW": 1.0, "MW": 0.001, "MWh": 0.001}
_DEFAULT_UNIT = {
    DEFAULT_MEASURAND: "Wh",
    EXPORT_REGISTER: "Wh",
    IMPORT_POWER: "W",
    EXPORT_POWER: "W",
    SETPOINT: "W",
}
# L1-N and L1 are the same phase; a voltage between two phases is none of a phase.
_PHASE = {"L1": "L1", "L2": "L2", "L3": "L3", "L1-N": "L1", "L2-N": "L2", "L3-N": "L3"}
_TOTAL = ""

Values = dict[str, dict[str, float]]  # measurand -> phase ("" for the total) -> value in our unit


def read_meter_values(meter_values: Iterable[dict[str, Any]], *, asset_id: int, version: str) -> list[MeterReading]:
    """The readings in a list of meter values, one per instant; instants without anything of use are left out.

    Raises:
        PayloadError: a timestamp is none.
    """
    readings = []
    for meter_value in meter_values:
        values = _collect(meter_value["sampledValue"])
        if not values:
            continue
        reading = MeterReading(
            asset_id,
            read_instant(meter_value["timestamp"], field="meterValue.timestamp", version=version),
            _power_kw(values),
            _summed(values, DEFAULT_MEASURAND),
            _summed(values, EXPORT_REGISTER),
            _soc_fraction(values),
            _first(values, TEMPERATURE),
            _summed(values, SETPOINT),
        )
        if (
            reading.power_kw is not None
            or reading.import_kwh is not None
            or reading.export_kwh is not None
            or reading.soc_fraction is not None
            or reading.temperature_c is not None
            or reading.setpoint_kw is not None
        ):
            readings.append(reading)
    return readings


def first_import_kwh(readings: Sequence[MeterReading]) -> float | None:
    """The earliest import register."""
    known = [(reading.measured_at, reading.import_kwh) for reading in readings if reading.import_kwh is not None]
    return min(known)[1] if known else None


def last_import_kwh(readings: Sequence[MeterReading]) -> float | None:
    """The latest import register."""
    known = [(reading.measured_at, reading.import_kwh) for reading in readings if reading.import_kwh is not None]
    return max(known)[1] if known else None


def last_soc_fraction(readings: Sequence[MeterReading]) -> float | None:
    """The latest state of charge."""
    known = [(reading.measured_at, reading.soc_fraction) for reading in readings if reading.soc_fraction is not None]
    return max(known)[1] if known else None


def _collect(samples: Iterable[dict[str, Any]]) -> Values:
    values: Values = {}
    for sample in samples:
        measurand = sample.get("measurand", DEFAULT_MEASURAND)
        if measurand not in READ or sample.get("format") == "SignedData":
            continue
        if sample.get("location") not in _OUTLET and measurand not in _MEASURED_ANYWHERE:
            continue
        phase = sample.get("phase")
        where = _TOTAL if phase is None else _PHASE.get(phase)
        value = _value(sample, measurand)
        if where is not None and value is not None:
            values.setdefault(measurand, {})[where] = value
    return values


def _value(sample: dict[str, Any], measurand: str) -> float | None:
    """The sample in kW, kWh, A, V, percent or °C; None if it is no finite number or of a unit that does not fit."""
    try:
        value = float(sample["value"])
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    unit = sample.get("unit")
    described = sample.get("unitOfMeasure")
    if described is not None:
        unit = described.get("unit", unit)
        multiplier = described.get("multiplier", 0)
        if multiplier:
            if abs(multiplier) > 12:
                return None
            value *= 10.0**multiplier
    default = _DEFAULT_UNIT.get(measurand)
    if default is not None:
        per_kilo = _PER_KILO.get(unit or default)
        return None if per_kilo is None else value / per_kilo
    if measurand == TEMPERATURE:
        return _celsius(value, unit)
    return value


def _celsius(value: float, unit: str | None) -> float:
    if unit == "Fahrenheit":
        return (value - 32) / 1.8
    return value - 273.15 if unit in ("K", "Kelvin") else value


def _summed(values: Values, measurand: str) -> float | None:
    phases = values.get(measurand)
    if phases is None:
        return None
    total = phases.get(_TOTAL)
    return sum(phases.values()) if total is None else total


def _first(values: Values, measurand: str) -> float | None:
    phases = values.get(measurand)
    return None if phases is None else next(iter(phases.values()))


def _soc_fraction(values: Values) -> float | None:
    percent = _first(values, SOC)
    if percent is None:
        percent = _first(values, SHOWN_SOC)
    return None if percent is None else percent / 100


def _power_kw(values: Values) -> float | None:
    imported, exported = _summed(values, IMPORT_POWER), _summed(values, EXPORT_POWER)
    if imported is None and exported is None:
        imported, exported = _apparent_kw(values, IMPORT_CURRENT), _apparent_kw(values, EXPORT_CURRENT)
        if imported is None and exported is None:
            return None
    return (imported or 0.0) - (exported or 0.0)


def _apparent_kw(values: Values, measurand: str) -> float | None:
    """Current times voltage, phase by phase. A single current without a phase is that of one phase."""
    currents = values.get(measurand)
    if currents is None:
        return None
    per_phase = {phase: value for phase, value in currents.items() if phase != _TOTAL} or currents
    voltages = values.get(VOLTAGE, {})
    fallback = voltages.get(_TOTAL, next(iter(voltages.values()), NOMINAL_VOLTAGE_V))
    return sum(current * voltages.get(phase, fallback) for phase, current in per_phase.items()) / 1000
