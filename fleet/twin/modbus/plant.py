"""The simulated hub: a Modbus server per inverter and per meter, one clock, and faults on demand."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer

from common.errors import InvalidInput
from fleet.twin.modbus.foreign_units import EssUnit
from fleet.twin.modbus.legacy_units import LegacyPackUnit
from fleet.twin.modbus.units import InverterUnit, MeterUnit, PackUnit
from fleet.twin.pack import SOUND_CELL_SPREAD_V, PackBank, SiteMeter
from fleet.twin.world import World, WorldInverter, WorldMeter

logger = logging.getLogger(__name__)

TICK_S = 0.2
FAULTS_EVERY_S = 1.0


class PackFault(StrEnum):
    """What can be made to go wrong with a pack."""

    SILENT = "silent"  # the unit no longer answers, the inverter in front of it says so
    TRIPPED = "tripped"  # its breaker is open: no power, and it says so
    STUCK = "stuck"  # takes set-points and does not follow them
    LOCAL = "local"  # somebody at the cabinet has taken control: writes are refused
    GARBLED = "garbled"  # every answer is damaged on its way
    HOT = "hot"  # cells are so hot that it gives and takes nothing
    BUSY = "busy"  # takes no write for the time being, and says so
    ALARM = "alarm"  # its battery management raises an alarm
    SPREAD = "spread"  # one cell is far below the others


SimulatedPack = PackUnit | LegacyPackUnit | EssUnit


class SimulatedInverter:
    """One inverter with its packs behind one TCP port."""

    def __init__(self, world: WorldInverter, *, clock: Callable[[], float], seed: int) -> None:
        self.world = world
        self.bank = PackBank(world.packs, now_s=clock(), noise_seed=seed)
        self.packs: dict[str, SimulatedPack] = {
            pack.identity: _pack(world, index, self.bank, clock) for index, pack in enumerate(world.packs)
        }
        self._own = None if world.dialect == "victron_ess" else InverterUnit(world, self.bank)
        self._garbled: set[int] = set()
        self._server: ModbusTcpServer | None = None

    async def listen(self) -> None:
        """Answer on the inverter's port. Raises InvalidInput if the port cannot be had."""
        world = self.world
        devices = [] if self._own is None else [self._own.device(world.device_id)]
        devices += [self.packs[pack.identity].device(pack.device_id) for pack in world.packs]
        address = (world.host, world.port)
        framer = FramerType.RTU if world.framing == "rtu_over_tcp" else FramerType.SOCKET
        server = ModbusTcpServer(devices, framer=framer, address=address, trace_packet=self._on_packet)
        self._server = await _listen(server, address)

    async def close(self) -> None:
        """Stop answering and cut all connections."""
        if self._server is not None:
            await self._server.shutdown()

    def set_fault(self, identity: str, fault: PackFault | None) -> None:
        """Begin a fault of a pack, or end whatever it has."""
        unit = self.packs[identity]
        index = self.bank.identities.index(identity)
        device_id = self.world.packs[index].device_id
        unit.silent = fault == PackFault.SILENT
        unit.local = fault == PackFault.LOCAL
        unit.busy = fault == PackFault.BUSY
        self.bank.tripped[index] = fault == PackFault.TRIPPED
        self.bank.stuck[index] = fault == PackFault.STUCK
        self.bank.alarmed[index] = fault == PackFault.ALARM
        self.bank.cell_spread_v[index] = 0.6 if fault == PackFault.SPREAD else SOUND_CELL_SPREAD_V
        self._garbled.discard(device_id)
        if fault == PackFault.GARBLED:
            self._garbled.add(device_id)
        if fault == PackFault.HOT:
            self.bank.temperature_c[index] = 70.0

    def _on_packet(self, sending: bool, packet: bytes) -> bytes:
        """Damage the answers of garbled units: the length in the header no longer fits, and the data are noise."""
        if self.world.framing == "rtu_over_tcp":
            spoilt = sending and len(packet) > 4 and packet[0] in self._garbled
            return packet[:1] + bytes(byte ^ 0xA5 for byte in packet[1:]) if spoilt else packet
        if not sending or len(packet) < 9 or packet[6] not in self._garbled:
            return packet
        return packet[:7] + bytes(byte ^ 0xA5 for byte in packet[7:-2])


def _pack(world: WorldInverter, index: int, bank: PackBank, clock: Callable[[], float]) -> SimulatedPack:
    pack = world.packs[index]
    if world.dialect == "victron_ess":
        return EssUnit(bank, index, clock=clock)
    make = LegacyPackUnit if world.dialect == "sunspec_legacy" else PackUnit
    return make(pack, bank, index, clock=clock, base_address=world.base_address)


class SimulatedMeter:
    """A meter of the site behind a TCP port of its own."""

    def __init__(self, world: WorldMeter, *, clock: Callable[[], float], seed: int) -> None:
        self.world = world
        self.meter = SiteMeter(role=world.role, peak_kw=world.peak_kw, now_s=clock(), seed=seed)
        self._server: ModbusTcpServer | None = None

    async def listen(self) -> None:
        """Answer on the meter's port. Raises InvalidInput if the port cannot be had."""
        unit = MeterUnit(self.world, self.meter)
        address = (self.world.host, self.world.port)
        server = ModbusTcpServer([unit.device(self.world.device_id)], address=address)
        self._server = await _listen(server, address)

    async def close(self) -> None:
        """Stop answering and cut all connections."""
        if self._server is not None:
            await self._server.shutdown()


class Plant:
    """All inverters, packs and meters of a world."""

    def __init__(
        self,
        world: World,
        *,
        hour: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hour` gives the hour of the site's local day, 0 to 24; `clock` gives seconds."""
        self._clock, self._hour = clock, hour
        self.inverters = [
            SimulatedInverter(inverter, clock=clock, seed=world.seed * 1000 + number)
            for number, inverter in enumerate(world.inverters)
        ]
        self.meters = [
            SimulatedMeter(meter, clock=clock, seed=world.seed * 1000 + 500 + number)
            for number, meter in enumerate(world.meters)
        ]

    @property
    def _parts(self) -> list[SimulatedInverter | SimulatedMeter]:
        return [*self.inverters, *self.meters]

    @property
    def pack_count(self) -> int:
        return sum(len(inverter.packs) for inverter in self.inverters)

    async def listen(self) -> None:
        """Answer on every port."""
        for part in self._parts:
            await part.listen()

    async def close(self) -> None:
        """Stop answering."""
        for part in self._parts:
            await part.close()

    def advance(self) -> None:
        """Let the time that has passed take its effect."""
        now_s = self._clock()
        for inverter in self.inverters:
            inverter.bank.advance(now_s)
        for meter in self.meters:
            meter.meter.advance(now_s, hour=self._hour())

    async def run(self, stop: asyncio.Event) -> None:
        """Advance five times a second until `stop`."""
        while not stop.is_set():
            self.advance()
            await asyncio.sleep(TICK_S)

    def set_faults(self, faults: Mapping[str, PackFault]) -> None:
        """Give exactly these packs these faults; all others have none.

        Raises:
            InvalidInput: there is no pack of that name.
        """
        known = {identity for inverter in self.inverters for identity in inverter.packs}
        for identity in faults.keys() - known:
            raise InvalidInput(f"there is no pack {identity!r}.", field="faults", remedy="Use a name of the world.")
        for inverter in self.inverters:
            for identity in inverter.packs:
                inverter.set_fault(identity, faults.get(identity))


async def _listen(server: ModbusTcpServer, address: tuple[str, int]) -> ModbusTcpServer:
    try:
        await server.serve_forever(background=True)
    except RuntimeError as error:
        raise InvalidInput(
            f"nothing can listen on {address[0]}:{address[1]}.",
            field="--world",
            remedy="Is another twin running? Stop it, or write the world with other ports.",
        ) from error
    return server


def read_faults(path: Path) -> dict[str, PackFault]:
    """Read a file such as `{"PACK-003": "silent"}`; no file, no faults.

    Raises:
        InvalidInput: the file is no such object, or a fault has another name.
    """
    if not path.exists():
        return {}
    try:
        return {str(identity): PackFault(name) for identity, name in json.loads(path.read_text()).items()}
    except (ValueError, AttributeError) as error:
        raise InvalidInput(
            f"{path} is not a list of faults: {error}.",
            field="--faults",
            remedy=f'Write {{"PACK-001": "silent"}}; the faults are {", ".join(PackFault)}.',
        ) from error


async def follow_faults(plant: Plant, path: Path, stop: asyncio.Event) -> None:
    """Take over the file of faults whenever it has changed, until `stop`. A wrong file is complained of and left."""
    seen: object = None
    while not stop.is_set():
        status = path.stat() if path.exists() else None
        version = (status.st_mtime_ns, status.st_size) if status else None
        if version != seen:
            seen = version
            try:
                plant.set_faults(read_faults(path))
            except InvalidInput as error:
                logger.error("%s", error)
        await asyncio.sleep(FAULTS_EVERY_S)


def hour_of(now: datetime) -> float:
    """The hour of a local instant's day, with its fraction."""
    return now.hour + now.minute / 60 + now.second / 3600
