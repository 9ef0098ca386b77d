"""The energy meter of an EVSE: two registers that only grow, and what it shows at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.units import kwh_to_wh, seconds_to_hours

RESOLUTION_WH = 0.1


@dataclass(frozen=True, slots=True)
class MeterReading:
    """What the meter and the car show at an instant of the station's own time. Power is positive into the car."""

    measured_at: datetime
    power_kw: float
    import_wh: float
    export_wh: float
    soc_fraction: float | None
    offered_kw: float
    setpoint_kw: float | None
    current_a: float
    operation_mode: str = "ChargingOnly"


class EnergyMeter:
    """Counts the energy each way in Wh, and shows it in steps of `resolution_wh`, never ahead of what has flowed."""

    def __init__(self, resolution_wh: float = RESOLUTION_WH) -> None:
        self.resolution_wh = resolution_wh
        self.import_wh = 0.0
        self.export_wh = 0.0
        self._shown: tuple[float, float, float] | None = None

    def count(self, power_kw: float, step_s: float) -> None:
        """Add a step at a constant power."""
        energy_wh = kwh_to_wh(power_kw * seconds_to_hours(step_s))
        if energy_wh >= 0:
            self.import_wh += energy_wh
        else:
            self.export_wh -= energy_wh

    def stick(self, power_kw: float) -> None:
        """Keep showing what it shows now; it goes on counting behind the display."""
        if self._shown is None:
            self._shown = (power_kw, self.import_wh, self.export_wh)

    def release(self) -> None:
        """Show the truth again."""
        self._shown = None

    def shown(self, power_kw: float) -> tuple[float, float, float]:
        """Power, import and export as displayed, when `power_kw` flows in truth."""
        power, imported, exported = self._shown or (power_kw, self.import_wh, self.export_wh)
        return power, self._displayed(imported), self._displayed(exported)

    def _displayed(self, energy_wh: float) -> float:
        return round(energy_wh // self.resolution_wh * self.resolution_wh, 1)
