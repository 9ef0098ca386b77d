"""Crowds of OCPP stations at one gateway: all lose their connection and come back at once; and many that stay silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from benchmarks._ocpp_mix import PROTOCOL
from benchmarks._stations import GatewayProcess, close_all, connect

BOOT = b'[2,"boot","BootNotification",{"reason":"PowerUp","chargingStation":{"vendorName":"V","model":"M"}}]'
AT_ONCE = 100
# Nothing has been asked of any station for so long: the gateway has configured all.
QUIET_S = 5.0
LONGEST_SETTLING_S = 120.0
RETRY_S = 1.0


class CrowdStation:
    """Connects, boots, refuses what it is asked afterwards as not implemented, and notes when it is dropped."""

    def __init__(self, url: str, identity: str, local_address: str) -> None:
        self.url, self.identity, self.local_address = url, identity, local_address
        self.accepted = asyncio.Event()
        self.asked_at = 0.0
        self.drops = 0
        self.connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None

    async def come(self) -> None:
        """Connect and boot; whoever is refused or dropped tries again, which counts as a drop."""
        self.accepted.clear()
        while not self.accepted.is_set():
            try:
                self.connection = await connect(self.url, self.identity, PROTOCOL, local_address=self.local_address)
                await self.connection.send(BOOT, text=True)
                self._reading = asyncio.create_task(self._read(self.connection))
                answered = asyncio.create_task(self.accepted.wait())
                await asyncio.wait((answered, self._reading), return_when=asyncio.FIRST_COMPLETED)
                answered.cancel()
            except (OSError, ConnectionClosed, InvalidHandshake):
                pass
            if not self.accepted.is_set():
                self.drops += 1
                await asyncio.sleep(RETRY_S)

    async def _read(self, connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for raw in connection:
                self.asked_at = time.monotonic()
                frame = orjson.loads(raw)
                if frame[0] == 2:
                    await connection.send(orjson.dumps([4, frame[1], "NotImplemented", "", {}]), text=True)
                elif frame[1] == "boot" and frame[2]["status"] == "Accepted":
                    self.accepted.set()

    @property
    def is_there(self) -> bool:
        """Accepted, and its socket still open."""
        return self.accepted.is_set() and self._reading is not None and not self._reading.done()

    async def lose_connection(self) -> None:
        """Go away without a word, as after a failure of power or network."""
        if self.connection is not None and self._reading is not None:
            self.connection.transport.abort()
            await self._reading


async def gather_crowd(gateway: GatewayProcess, identities: Sequence[str]) -> list[CrowdStation]:
    """Stations that have come one after another and have been configured. Loopback addresses are shared among them."""
    crowd = [
        CrowdStation(gateway.url, identity, f"127.0.0.{1 + number % 16}") for number, identity in enumerate(identities)
    ]
    room = asyncio.Semaphore(AT_ONCE)

    async def come(station: CrowdStation) -> None:
        async with room:
            await station.come()

    await asyncio.gather(*(come(station) for station in crowd))
    await settle(crowd)
    return crowd


async def settle(crowd: Sequence[CrowdStation]) -> None:
    """Wait until the gateway has asked all that it wants to know."""
    deadline = time.monotonic() + LONGEST_SETTLING_S
    while time.monotonic() < min(deadline, max(station.asked_at for station in crowd) + QUIET_S):
        await asyncio.sleep(0.5)


async def measure_boots(gateway: GatewayProcess, identities: Sequence[str]) -> dict[str, float]:
    """All stations lose their connection and come back at once: s until the last is accepted, and who was dropped."""
    crowd = await gather_crowd(gateway, identities)
    await asyncio.gather(*(station.lose_connection() for station in crowd))
    for station in crowd:
        station.drops = 0
    cpu_s, began = gateway.cpu_s(), time.perf_counter()
    await asyncio.gather(*(station.come() for station in crowd))
    took_s = time.perf_counter() - began
    await settle(crowd)
    dropped = sum(station.drops + (not station.is_there) for station in crowd)
    used_s = gateway.cpu_s() - cpu_s
    await close_all([station.connection for station in crowd if station.connection is not None])
    return {
        f"boot_{len(crowd)}_s": round(took_s, 2),
        "boot_dropped": dropped,
        "boot_and_configure_cpu_s": round(used_s, 2),
    }


async def measure_idle(gateway: GatewayProcess, identities: Sequence[str]) -> dict[str, float]:
    """Memory of a whole gateway process that holds so many silent stations, per GiB."""
    empty_mib = gateway.resident_mib()
    crowd = await gather_crowd(gateway, identities)
    held = sum(station.is_there for station in crowd)
    full_mib = gateway.resident_mib()
    await close_all([station.connection for station in crowd if station.connection is not None])
    return {
        "stations_per_gib": round(held / (full_mib / 1024)),
        "idle_stations": held,
        "gateway_mib": round(full_mib),
        "kib_per_idle_station": round(1024 * (full_mib - empty_mib) / held, 1),
    }
