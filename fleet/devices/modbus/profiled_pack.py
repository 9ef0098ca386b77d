"""A pack behind an inverter without SunSpec, read and steered as its profile says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from fleet.devices.modbus.pack import BatteryCondition, utc_now
from fleet.devices.modbus.profile import Measurement, RegisterProfile
from fleet.devices.modbus.sunspec import MAX_BLOCK_REGISTERS, SunSpecError
from fleet.devices.modbus.wire import ModbusLink, Refused
from fleet.operations.telemetry import MeterReading

_FAST = ("power", "import_energy", "export_energy")
# Registers that lie closer than this are cheaper to read together; devices may refuse to be read across a gap.
_NEAR = 1


@dataclass
class ProfiledPack:
    """A pack that was found to be what its profile describes. `profiled_pack` makes one."""

    asset_id: int
    device_id: int
    profile: RegisterProfile
    remote: bool = True
    state_of_health_fraction: float | None = None
    condition: BatteryCondition = field(default_factory=BatteryCondition)
    _standing: tuple[float, float] | None = None  # power in kW, until when on the loop's clock
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read_meter(self, link: ModbusLink, *, with_battery: bool) -> MeterReading:
        """Power and registers, and on request what the battery says of itself."""
        names = [name for name in self.profile.measurements if with_battery or name in _FAST]
        found = await self._read(link, names)
        if with_battery:
            self._take_battery(found)
        return MeterReading(
            asset_id=self.asset_id,
            measured_at=utc_now(),
            power_kw=found.get("power"),
            import_kwh=found.get("import_energy"),
            export_kwh=found.get("export_energy"),
            soc_fraction=found.get("soc"),
            temperature_c=found.get("temperature"),
        )

    def _take_battery(self, found: dict[str, float | None]) -> None:
        self.state_of_health_fraction = found.get("state_of_health")
        highest, lowest = found.get("cell_voltage_max"), found.get("cell_voltage_min")
        spread = None if highest is None or lowest is None else highest - lowest
        alarms = ("ALARM",) if found.get("alarm") else ()
        self.condition = BatteryCondition(found.get("temperature"), spread, alarms)

    async def _read(self, link: ModbusLink, names: Sequence[str]) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        for table, group in _groups([(name, self.profile.measurements[name]) for name in names]):
            start = group[0][1].register.address
            last = group[-1][1].register
            registers = await link.read(self.device_id, start, last.address + last.count - start, table=table)
            for name, measurement in group:
                at = measurement.register.address - start
                found[name] = measurement.read(registers[at : at + measurement.register.count])
        return found

    async def set_power(self, link: ModbusLink, *, power_kw: float, fail_safe_kw: float, holds_for_s: float) -> None:
        """Set the power for a time; it is renewed with every heartbeat and falls away soon after the last.

        Raises:
            Refused: a fail-safe power other than 0; such a device knows none but its own.
            InvalidProfile: the power does not fit the register.
        """
        if fail_safe_kw != 0:
            raise Refused("The inverter has no fail-safe power but its own.", field="fail_safe_kw", remedy="Set 0.")
        async with self._writing:
            self._standing = (power_kw, asyncio.get_running_loop().time() + holds_for_s)
            await self._write(link)

    async def beat_heart(self, link: ModbusLink) -> None:
        """Renew the set-point while it holds; when its time is over, set 0 once."""
        async with self._writing:
            if self._standing is not None:
                await self._write(link)

    async def _write(self, link: ModbusLink) -> None:
        power_kw, until_s = self._standing or (0.0, 0.0)
        left_s = until_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            power_kw, self._standing = 0.0, None
        hold_s = max(min(left_s, self.profile.falls_back_after_s), 1.0)
        for write in self.profile.writes:
            await link.write(self.device_id, write.register.address, write.registers(power_kw, hold_s))


async def profiled_pack(link: ModbusLink, profile: RegisterProfile, *, asset_id: int, device_id: int) -> ProfiledPack:
    """Make sure that a unit is what the profile describes.

    Raises:
        ModbusFault: the unit cannot be read.
        SunSpecError: a register that identifies it holds something else, or it measures no power.
    """
    pack = ProfiledPack(asset_id, device_id, profile)
    for register, expected in profile.identify:
        value = register.decode(await link.read(device_id, register.address, register.count, table=register.table))
        if value not in expected:
            raise SunSpecError(
                f"Unit {device_id} is no {profile.name}: register {register.address} holds {value}.",
                field="device_id",
                remedy="Check the unit identifier and the profile.",
            )
    await pack.read_meter(link, with_battery=True)
    return pack


def _groups(
    wanted: Sequence[tuple[str, Measurement]],
) -> list[tuple[str, list[tuple[str, Measurement]]]]:
    """Measurements by table, neighbours together, each group at most one read."""
    groups: list[tuple[str, list[tuple[str, Measurement]]]] = []
    for item in sorted(wanted, key=lambda pair: (pair[1].register.table, pair[1].register.address)):
        register = item[1].register
        if groups and groups[-1][0] == register.table:
            first, last = groups[-1][1][0][1].register, groups[-1][1][-1][1].register
            gap = register.address - (last.address + last.count)
            if gap < _NEAR and register.address + register.count - first.address <= MAX_BLOCK_REGISTERS:
                groups[-1][1].append(item)
                continue
        groups.append((register.table, [item]))
    return groups
