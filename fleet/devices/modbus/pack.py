"""A second-life pack as a SunSpec device (models 701, 704, 713, 714, 715, 802) and a meter (203): our units and signs.

SunSpec counts power of a DER positive when it generates or discharges; we count positive into the asset. A meter's
power is positive when it imports, as ours is. The sign changes here and in `legacy_pack.py`, nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

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
BANK = 803

Values = Mapping[tuple[int, str], Value]

_FAST = {AC_MEASUREMENT: ("W", "TotWhInj", "TotWhAbs")}
# What a battery model says of charge, health, cells and alarms, whichever control model stands beside it.
BATTERY_POINTS = ("SoC", "SoH", "LocRemCtl", "CellVMax", "CellVMin", "Evt1")
BANK_POINTS = ("ModTmpMax",)
_SLOW = {
    STORAGE: ("SoC", "SoH", "Sta"),
    DC_MEASUREMENT: ("Prt.0.Tmp",),
    DER_CONTROL: ("LocRemCtl",),
    AC_MEASUREMENT: ("TmpCab",),
    BATTERY: BATTERY_POINTS,
    BANK: BANK_POINTS,
}
_METER = {METER: ("W", "TotWhExp", "TotWhImp")}
_REMOTE = 0
# SunSpec 704: a revert timer of no seconds never runs out, so a set-point always gets at least one.
_LEAST_REVERT_S = 1
_STORAGE_ERROR = 2  # SunSpec 713, Sta


@dataclass(frozen=True, slots=True)
class BatteryCondition:
    """What a pack says of its cells: the hottest place (°C), the spread of its cell voltages (V), and its alarms by
    name; None for what it does not tell."""

    temperature_c: float | None = None
    cell_spread_v: float | None = None
    alarms: tuple[str, ...] = ()


class SteeredPack(Protocol):
    """A pack that was discovered, whatever its inverter speaks."""

    asset_id: int
    remote: bool
    condition: BatteryCondition
    state_of_health_fraction: float | None

    async def read_meter(self, link: ModbusLink, *, with_battery: bool) -> MeterReading:
        """Power and registers, and on request what the battery says of itself."""
        ...

    async def set_power(self, link: ModbusLink, *, power_kw: float, fail_safe_kw: float, holds_for_s: float) -> None:
        """Set the power (+ into the pack) for a time; after it the pack falls back by itself."""
        ...

    async def beat_heart(self, link: ModbusLink) -> None:
        """Show that somebody steers it."""
        ...


def kwh(value: Value) -> float | None:
    """A register of Wh in kWh."""
    return None if value is None else wh_to_kwh(float(value))


def number(value: Value) -> float | None:
    """A point's value as a number."""
    return None if value is None else float(value)


def condition_of(values: Values, unit: SunSpecUnit, temperatures: Iterable[tuple[int, str]]) -> BatteryCondition:
    """The battery's condition from the points that were read; of several temperatures the highest."""
    known = [value for key in temperatures if (value := number(values.get(key))) is not None]
    highest, lowest = (number(values.get((BATTERY, name))) for name in ("CellVMax", "CellVMin"))
    spread = None if highest is None or lowest is None else highest - lowest
    alarms: list[str] = []
    events = values.get((BATTERY, "Evt1"))
    if isinstance(events, int) and events:
        symbols = unit.models[BATTERY].model.point("Evt1").symbols
        alarms = [name for name, bit in symbols.items() if events >> bit & 1 and not name.endswith("WARNING")]
    if values.get((STORAGE, "Sta")) == _STORAGE_ERROR:
        alarms.append("STORAGE_ERROR")
    return BatteryCondition(max(known, default=None), spread, tuple(alarms))


@dataclass
class PackUnit:
    """A pack with the DER models (7xx). `pack_unit` makes one."""

    asset_id: int
    unit: SunSpecUnit
    fast: Plan
    slow: Plan
    heartbeat: int = 0
    remote: bool = True
    state_of_health_fraction: float | None = None
    condition: BatteryCondition = field(default_factory=BatteryCondition)

    async def read_meter(self, link: ModbusLink, *, with_battery: bool) -> MeterReading:
        """Power and registers, and on request what the battery says of itself (a second read)."""
        values = await read_points(link, self.unit, self.fast)
        if with_battery:
            values |= await read_points(link, self.unit, self.slow)
            self._take_battery(values)
        power_w = number(values.get((AC_MEASUREMENT, "W")))
        return MeterReading(
            asset_id=self.asset_id,
            measured_at=utc_now(),
            power_kw=None if power_w is None else 0.0 - watts_to_kw(power_w),
            import_kwh=kwh(values.get((AC_MEASUREMENT, "TotWhAbs"))),
            export_kwh=kwh(values.get((AC_MEASUREMENT, "TotWhInj"))),
            soc_fraction=soc_of(values, STORAGE if STORAGE in self.unit.models else BATTERY),
            temperature_c=self.condition.temperature_c if with_battery else None,
        )

    def _take_battery(self, values: Values) -> None:
        health = number(values.get((STORAGE if STORAGE in self.unit.models else BATTERY, "SoH")))
        if health is not None:
            self.state_of_health_fraction = health / 100
        control = values.get((DER_CONTROL, "LocRemCtl"), values.get((BATTERY, "LocRemCtl")))
        if control is not None:
            self.remote = control == _REMOTE
        cells = (DC_MEASUREMENT, "Prt.0.Tmp"), (BANK, "ModTmpMax")
        told = any(values.get(key) is not None for key in cells)
        # the cabinet's air stands in only for a device that says nothing of its cells
        self.condition = condition_of(values, self.unit, cells if told else ((AC_MEASUREMENT, "TmpCab"),))

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


def soc_of(values: Values, model_id: int, point_name: str = "SoC") -> float | None:
    """The state of charge as a fraction, from a point in percent."""
    percent = number(values.get((model_id, point_name)))
    return None if percent is None else percent / 100


def pack_of(unit: SunSpecUnit, asset_id: int) -> PackUnit:
    """A pack from a unit whose models and scale factors are known."""
    return PackUnit(asset_id, unit, plan_blocks(unit, _FAST), plan_blocks(unit, _SLOW))


@dataclass
class MeterUnit:
    """A meter that was discovered. `meter_unit` makes one."""

    asset_id: int
    unit: SunSpecUnit
    plan: Plan

    async def read_meter(self, link: ModbusLink, *, with_battery: bool = False) -> MeterReading:
        """Power and registers."""
        values = await read_points(link, self.unit, self.plan)
        power_w = number(values.get((METER, "W")))
        return MeterReading(
            asset_id=self.asset_id,
            measured_at=utc_now(),
            power_kw=None if power_w is None else watts_to_kw(power_w),
            import_kwh=kwh(values.get((METER, "TotWhImp"))),
            export_kwh=kwh(values.get((METER, "TotWhExp"))),
        )


async def meter_unit(link: ModbusLink, *, asset_id: int, device_id: int) -> MeterUnit:
    """Discover a meter. Raises ModbusFault; SunSpecError if the unit has no meter model."""
    unit = await discover(link, device_id)
    if METER not in unit.models:
        raise SunSpecError(f"Unit {device_id} has no SunSpec model {METER}.", field="device_id")
    await read_scale_factors(link, unit, (METER,))
    return MeterUnit(asset_id, unit, plan_blocks(unit, _METER))


def utc_now() -> datetime:
    """Now: a reading's instant is when its answer came."""
    return datetime.now(UTC)
