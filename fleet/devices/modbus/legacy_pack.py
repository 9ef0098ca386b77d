"""A pack behind an inverter with the earlier SunSpec models: 101–103 (or 111–113) measure, 124 controls the storage.

Model 124 knows no set-point, only limits: the rates of charging and of discharging, in percent of `WChaMax`. A power is
forced by two limits of opposite sign: "charge at most x" and "discharge at most −x", that is charge at least x.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

from common.units import kw_to_watts, watts_to_kw
from fleet.devices.modbus.pack import (
    BANK,
    BANK_POINTS,
    BATTERY,
    BATTERY_POINTS,
    BatteryCondition,
    Values,
    condition_of,
    kwh,
    number,
    soc_of,
    utc_now,
)
from fleet.devices.modbus.sunspec import SunSpecError
from fleet.devices.modbus.unit import Plan, SunSpecUnit, Value, plan_blocks, read_points, write_points
from fleet.devices.modbus.wire import ModbusLink, Refused
from fleet.operations.telemetry import MeterReading

MEASUREMENTS = (103, 102, 101, 113, 112, 111)
SETTINGS, STORAGE_CONTROL = 121, 124
_RATES = ("OutWRte", "InWRte", "InOutWRte_WinTms", "InOutWRte_RvrtTms", "InOutWRte_RmpTms")
_CHARGE_AND_DISCHARGE = 0b11
# There is no heartbeat in these models: the set-point is given for so long and renewed with every beat.
_HELD_S = 30.0


@dataclass
class LegacyPackUnit:
    """A pack that is steered by model 124. `legacy_pack_of` makes one."""

    asset_id: int
    unit: SunSpecUnit
    measurement: int
    fast: Plan
    slow: Plan
    full_rate_w: float
    remote: bool = True
    state_of_health_fraction: float | None = None
    condition: BatteryCondition = field(default_factory=BatteryCondition)
    _standing: tuple[float, float] | None = None  # power in kW, until when on the loop's clock
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read_meter(self, link: ModbusLink, *, with_battery: bool) -> MeterReading:
        """Power, the register of energy delivered, and on request what the battery says of itself."""
        values = await read_points(link, self.unit, self.fast)
        if with_battery:
            values |= await read_points(link, self.unit, self.slow)
            self._take_battery(values)
        power_w = number(values.get((self.measurement, "W")))
        soc = soc_of(values, STORAGE_CONTROL, "ChaState")
        return MeterReading(
            asset_id=self.asset_id,
            measured_at=utc_now(),
            power_kw=None if power_w is None else 0.0 - watts_to_kw(power_w),
            export_kwh=kwh(values.get((self.measurement, "WH"))),
            soc_fraction=soc if soc is not None else soc_of(values, BATTERY),
            temperature_c=self.condition.temperature_c if with_battery else None,
        )

    def _take_battery(self, values: Values) -> None:
        health, control = number(values.get((BATTERY, "SoH"))), values.get((BATTERY, "LocRemCtl"))
        if health is not None:
            self.state_of_health_fraction = health / 100
        if control is not None:
            self.remote = control == 0
        self.condition = condition_of(values, self.unit, ((BANK, "ModTmpMax"), (self.measurement, "TmpCab")))

    async def set_power(self, link: ModbusLink, *, power_kw: float, fail_safe_kw: float, holds_for_s: float) -> None:
        """Set the power for a time, by limits that the inverter drops by itself within half a minute of silence.

        Raises:
            Refused: a fail-safe power other than 0; this inverter falls back to its own behaviour.
        """
        if fail_safe_kw != 0:
            raise Refused("The inverter has no fail-safe power but its own.", field="fail_safe_kw", remedy="Set 0.")
        async with self._writing:
            self._standing = (power_kw, asyncio.get_running_loop().time() + holds_for_s)
            await self._write(link)

    async def beat_heart(self, link: ModbusLink) -> None:
        """Renew the set-point while it holds."""
        async with self._writing:
            if self._standing is not None:
                await self._write(link)

    async def _write(self, link: ModbusLink) -> None:
        power_kw, until_s = self._standing or (0.0, 0.0)
        left_s = until_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            self._standing = None
            return
        percent = 100.0 * kw_to_watts(power_kw) / self.full_rate_w
        if abs(percent) > 100:
            raise Refused(
                f"{power_kw:g} kW is beyond the inverter's storage rate, {watts_to_kw(self.full_rate_w):g} kW."
            )
        rates: dict[str, Value] = {
            "OutWRte": -percent,
            "InWRte": percent,
            "InOutWRte_WinTms": 0,
            "InOutWRte_RvrtTms": max(math.ceil(min(left_s, _HELD_S)), 1),
            "InOutWRte_RmpTms": 0,
        }
        # the limits first: they have no effect before the mode says so, and at once where it said so before
        await write_points(link, self.unit, STORAGE_CONTROL, rates)
        await write_points(link, self.unit, STORAGE_CONTROL, {"StorCtl_Mod": _CHARGE_AND_DISCHARGE})


async def legacy_pack_of(link: ModbusLink, unit: SunSpecUnit, asset_id: int) -> LegacyPackUnit:
    """A pack from a unit whose models and scale factors are known.

    Raises:
        SunSpecError: it does not say its full rate, or has no revert timer and could not be left alone.
    """
    measurement = next(model_id for model_id in MEASUREMENTS if model_id in unit.models)
    plan = plan_blocks(unit, {STORAGE_CONTROL: ("WChaMax", "InOutWRte_RvrtTms")})
    known = await read_points(link, unit, plan)
    full_rate_w = number(known.get((STORAGE_CONTROL, "WChaMax")))
    if not full_rate_w:
        raise SunSpecError(f"Unit {unit.device_id} does not say its full storage rate.", field="WChaMax")
    if known.get((STORAGE_CONTROL, "InOutWRte_RvrtTms")) is None:
        raise SunSpecError(
            f"Unit {unit.device_id} has no revert timer: a dead gateway would leave it running.",
            field="InOutWRte_RvrtTms",
            remedy="Enable it in the inverter, or describe the inverter by a register profile with its own fail-safe.",
        )
    fast = plan_blocks(unit, {measurement: ("W", "WH")})
    slow = {STORAGE_CONTROL: ("ChaState",), measurement: ("TmpCab",), BATTERY: BATTERY_POINTS, BANK: BANK_POINTS}
    return LegacyPackUnit(asset_id, unit, measurement, fast, plan_blocks(unit, slow), full_rate_w)
