"""Meter readings as OCPP's sampled values. Here, and nowhere else in the twin, a sign becomes Import or Export."""

from __future__ import annotations

from collections.abc import Iterable

from common.units import kw_to_watts
from fleet.twin.evse import VOLTAGE_V
from fleet.twin.meter import MeterReading
from fleet.twin.transactions import TransactionEvent

ONE_WAY = ("Energy.Active.Import.Register", "Power.Active.Import", "Current.Import", "SoC")
TWO_WAY = (
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "Power.Active.Import",
    "Power.Active.Export",
    "SoC",
)
KNOWN = (*TWO_WAY, "Current.Import", "Current.Export", "Power.Offered", "Voltage")
# 2.1 only
SETPOINT = "Power.Active.Setpoint"


def sampled(reading: MeterReading, measurands: Iterable[str]) -> list[tuple[str, float, str]]:
    """Measurand, value and unit of all that is asked for and can be told."""
    imports, exports = max(reading.power_kw, 0.0), max(-reading.power_kw, 0.0)
    values: dict[str, tuple[float | None, str]] = {
        "Energy.Active.Import.Register": (reading.import_wh, "Wh"),
        "Energy.Active.Export.Register": (reading.export_wh, "Wh"),
        "Power.Active.Import": (kw_to_watts(imports), "W"),
        "Power.Active.Export": (kw_to_watts(exports), "W"),
        "Current.Import": (reading.current_a if reading.power_kw >= 0 else 0.0, "A"),
        "Current.Export": (reading.current_a if reading.power_kw < 0 else 0.0, "A"),
        "Power.Offered": (kw_to_watts(reading.offered_kw), "W"),
        SETPOINT: (None if reading.setpoint_kw is None else kw_to_watts(reading.setpoint_kw), "W"),
        "SoC": (None if reading.soc_fraction is None else 100.0 * reading.soc_fraction, "Percent"),
        "Voltage": (VOLTAGE_V, "V"),
    }
    told = ((measurand, *values[measurand]) for measurand in measurands if measurand in values)
    return [(measurand, round(value, 2), unit) for measurand, value, unit in told if value is not None]


def context_of(event: TransactionEvent) -> str:
    """Why a reading was taken."""
    if event.kind == "started":
        return "Transaction.Begin"
    if event.kind == "ended":
        return "Transaction.End"
    if event.trigger == "Trigger":
        return "Trigger"
    return "Sample.Periodic" if event.is_sample else "Other"
