"""A second-life pack as a SunSpec device (models 701, 704, 713, 714, 715, 802) and a meter (203): our units and signs.

SunSpec counts power of a DER positive when it generates or discharges; we count positive into the asset. A meter's
power is positive when it imports, as ours is. The sign changes here and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

from common.units import kw_to_watts, watts_to_kw, wh_to_kwh
from fleet.devices.modbus.sunspec import SunSpecError
from fleet.devices.modbus.unit import (
    Plan,
    SunSpecUnit,
    Value,
    discover,
    plan_blocks,
    read_points,
    read_scale_factors,
    write_points,
)
from fleet.devices.modbus.wire import ModbusLink
from fleet.operations.telemetry import MeterReading

AC_MEASUREMENT, CONTROLS, STORAGE, DC_MEASUREMENT, DER_CONTROL, BATTERY, METER = 701, 704, 713, 714, 715, 802, 203

_FAST = {AC_MEASUREMENT: ("W", "TotWhInj", "TotWhAbs")}
_SLOW = {STORAGE: ("SoC", "SoH"), DC_MEASUREMENT: ("Prt.0.Tmp",), DER_CONTROL: ("LocRemCtl",)}
# Devices without the storage model may have the older battery model.
_SLOW_LEGACY = {BATTERY: ("SoC", "SoH", "LocRemCtl"), AC_MEASUREMENT: ("TmpCab",)}
_METER = {METER: ("W", "TotWhExp", "TotWhImp")}
_REMOTE = 0
# SunSpec 704: a revert timer of no seconds never runs out, so a set-point always gets at least one.
_LEAST_REVERT_S = 1


def _kwh(value: Value) -> float | None:
    return None if value is None else wh_to_kwh(float(value))


def _number(value: Value) -> float | None:
    return None if value is None else float(value)


@dataclass
class PackUnit:
    """A pack that was discovered. `pack_unit` makes one."""

    asset_id: int
    unit: SunSpecUnit
    fast: Plan
    slow: Plan
    heartbeat: int = 0
    remote: bool = True
    state_of_health_fraction: float | None = field(default=None)

    async def read_meter(self, link: ModbusLink, *, with_battery: bool) -> MeterReading:
        """Power and registers, and on request what the battery says of itself (a second read)."""
        values = await read_points(link, self.unit, self.fast)
        if with_battery:
            values |= await read_points(link, self.unit, self.slow)
        power_w = _number(values.get((AC_MEASUREMENT, "W")))
        return MeterReading(
            asset_id=self.asset_id,
            measured_at=_utc_now(),
            power_kw=None if power_w is None else 0.0 - watts_to_kw(power_w),
            import_kwh=_kwh(values.get((AC_MEASUREMENT, "TotWhAbs"))),
            export_kwh=_kwh(values.get((AC_MEASUREMENT, "TotWhInj"))),
            soc_fraction=self._battery(values),
            temperature_c=self._temperature(values),
        )

    def _battery(self, values: dict[tuple[int, str], Value]) -> float | None:
        model = STORAGE if STORAGE in self.unit.models else BATTERY
        percent = _number(values.get((model, "SoC")))
        health = _number(values.get((model, "SoH")))
        if health is not None:
            self.state_of_health_fraction = health / 100
        control = values.get((DER_CONTROL, "LocRemCtl"), values.get((BATTERY, "LocRemCtl")))
        if control is not None:
            self.remote = control == _REMOTE
        return None if percent is None else percent / 100

    @staticmethod
    def _temperature(values: dict[tuple[int, str], Value]) -> float | None:
        cell = _number(values.get((DC_MEASUREMENT, "Prt.0.Tmp")))
        return cell if cell is not None else _number(values.get((AC_MEASUREMENT, "TmpCab")))

    async def set_power(self, link: ModbusLink, *, power_kw: float, fail_safe_kw: float, holds_for_s: float) -> None:
        """Set the power for a time; the pack itself goes to its fail-safe power when the time is over.

        One write: set-point, power after reversal, and the timer, so that no half of it can take effect.
        """
        await write_points(
            link,
            self.unit,
            CONTROLS,
            {
                "WSetEna": "ENABLED",
                "WSetMod": "WATTS",
                "WSet": -kw_to_watts(power_kw),
                "WSetRvrt": -kw_to_watts(fail_safe_kw),
                "WSetPct": 0,  # not used in this mode, but they lie in between
                "WSetPctRvrt": 0,
                "WSetEnaRvrt": "ENABLED",
                "WSetRvrtTms": max(math.ceil(holds_for_s), _LEAST_REVERT_S),
            },
        )

    async def beat_heart(self, link: ModbusLink) -> None:
        """Tell the pack that somebody steers it; when this stops, it goes to its fail-safe power."""
        self.heartbeat = (self.heartbeat + 1) % 0x10000
        if self.unit.has(DER_CONTROL, "ControllerHb"):
            await write_points(link, self.unit, DER_CONTROL, {"ControllerHb": self.heartbeat})
        elif self.unit.has(BATTERY, "CtrlHb"):
            await write_points(link, self.unit, BATTERY, {"CtrlHb": self.heartbeat})


async def pack_unit(link: ModbusLink, *, asset_id: int, device_id: int) -> PackUnit:
    """Discover a pack. Raises ModbusFault; SunSpecError if the unit is no pack that can be read and steered."""
    unit = await discover(link, device_id)
    for needed in (AC_MEASUREMENT, CONTROLS):
        if needed not in unit.models:
            raise SunSpecError(f"Unit {device_id} has no SunSpec model {needed}.", field="device_id")
    await read_scale_factors(link, unit, (AC_MEASUREMENT, CONTROLS, STORAGE, DC_MEASUREMENT, BATTERY))
    slow = _SLOW if STORAGE in unit.models else _SLOW_LEGACY
    return PackUnit(asset_id, unit, plan_blocks(unit, _FAST), plan_blocks(unit, slow))


@dataclass
class MeterUnit:
    """A meter that was discovered. `meter_unit` makes one."""

    asset_id: int
    unit: SunSpecUnit
    plan: Plan

    async def read_meter(self, link: ModbusLink, *, with_battery: bool = False) -> MeterReading:
        """Power and registers."""
        values = await read_points(link, self.unit, self.plan)
        power_w = _number(values.get((METER, "W")))
        return MeterReading(
            asset_id=self.asset_id,
            measured_at=_utc_now(),
            power_kw=None if power_w is None else watts_to_kw(power_w),
            import_kwh=_kwh(values.get((METER, "TotWhImp"))),
            export_kwh=_kwh(values.get((METER, "TotWhExp"))),
        )


async def meter_unit(link: ModbusLink, *, asset_id: int, device_id: int) -> MeterUnit:
    """Discover a meter. Raises ModbusFault; SunSpecError if the unit has no meter model."""
    unit = await discover(link, device_id)
    if METER not in unit.models:
        raise SunSpecError(f"Unit {device_id} has no SunSpec model {METER}.", field="device_id")
    await read_scale_factors(link, unit, (METER,))
    return MeterUnit(asset_id, unit, plan_blocks(unit, _METER))


def _utc_now() -> datetime:
    return datetime.now(UTC)
