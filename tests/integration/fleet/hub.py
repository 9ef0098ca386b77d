"""A simulated hub over real sockets, for tests: its rows in the database, and a gateway that may be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fleet.devices.modbus.server import ModbusGateway
from fleet.models import DeviceCommand, MeterRole, Pack
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.twin.modbus.plant import PackFault, Plant
from fleet.twin.world import parse_world
from tests.integration.fleet.fleets import forget_readings, make_inverter, make_meter, make_pack
from tests.integration.fleet.loops import LoopThread, free_port

PACKS = 3


class Hub:
    """A simulated hub, its rows in the database, and a gateway that may be killed and started again."""

    def __init__(self, *, framing: str = "tcp", dialect: str = "sunspec", register_profile: str = "") -> None:
        self.framing, self.dialect = framing, dialect
        forget_readings()
        self.loop = LoopThread()
        self.port, self.meter_port = free_port(), free_port()
        inverter = make_inverter(port=self.port, framing=framing, register_profile=register_profile)
        self.packs = [make_pack(inverter, number=i + 1, device_id=i + 2) for i in range(PACKS)]
        self.meter = make_meter(port=self.meter_port, role=MeterRole.LOAD)
        self.plant = self.loop.call(self._plant())
        self.stop_gateway = self.start_gateway()

    async def _plant(self) -> Plant:
        world = parse_world(
            {
                "inverters": [
                    {
                        "identity": "INV-1",
                        "host": "127.0.0.1",
                        "port": self.port,
                        "framing": self.framing,
                        "dialect": self.dialect,
                        "max_charge_kw": 750,
                        "max_discharge_kw": 750,
                        "packs": [
                            {
                                "identity": f"PACK-{i + 1:03d}",
                                "device_id": i + 2,
                                "nameplate_kwh": 24,
                                "soc_fraction": 0.6,
                                "max_charge_kw": 20,
                                "max_discharge_kw": 20,
                            }
                            for i in range(PACKS)
                        ],
                    }
                ],
                "meters": [
                    {"identity": "M", "role": "load", "host": "127.0.0.1", "port": self.meter_port, "peak_kw": 900}
                ],
            }
        )
        plant = Plant(world, hour=lambda: 20.5)
        await plant.listen()
        self._ticking = asyncio.create_task(plant.run(asyncio.Event()))
        return plant

    def start_gateway(self) -> Callable[[], None]:
        return self.loop.start(ModbusGateway(identity="test-modbus").run)

    def fault(self, **faults: PackFault) -> None:
        self.loop.loop.call_soon_threadsafe(
            self.plant.set_faults, {name.replace("_", "-"): fault for name, fault in faults.items()}
        )

    def power_kw(self, pack: Pack) -> float:
        """What the pack really does."""
        index = self.packs.index(pack)
        return float(self.plant.inverters[0].bank.power_kw[index])

    def close(self) -> None:
        self._ticking.cancel()
        self.loop.close()


def tell(asset_id: int, *power_kw: float, every_s: float = 1.0, valid_s: float = 60.0, starts_in_s: float = 0.0) -> int:
    """Queue a schedule; returns the command's id."""
    now = datetime.now(UTC)
    starts_at = now + timedelta(seconds=starts_in_s)
    offsets = tuple(every_s * i for i in range(len(power_kw)))
    schedule = PowerSchedule(asset_id, starts_at, offsets, power_kw, starts_at + timedelta(seconds=valid_s))
    queue_schedules(schedules=[schedule], now=now)
    return DeviceCommand.objects.filter(asset_id=asset_id).latest("sequence").pk
