"""A station of the twin and a small central system on one stage, with the differences of the versions put aside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fleet.twin.ocpp.client import BackOff
from fleet.twin.ocpp.program import ChargerProgram
from fleet.twin.world import parse_world
from tests.conformance.central_system import CentralSystem

PROTOCOLS = ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]
QUICK = BackOff(first_s=0.05, most_s=0.2, spread_s=0.05)
ROOT = Path(__file__).parent.parent.parent
each_version = pytest.mark.parametrize("protocol", PROTOCOLS)


def world(protocol: str, *, plug_in_s: float = 100_000.0) -> dict:
    two_way = protocol == "ocpp2.1"
    evse = {"number": 1, "max_charge_kw": 11, "max_discharge_kw": 10 if two_way else 0, "min_charge_kw": 4.14}
    return {
        "chargers": [
            {"identity": "CP", "password": "secret", "protocol": protocol, "meter_interval_s": 0.3, "evses": [evse]}
        ],
        "cars": [
            {
                "identity": "EV",
                "charger": "CP",
                "evse": 1,
                "id_token": "TOKEN",
                "battery_capacity_kwh": 60,
                "soc_fraction": 0.5,
                "max_charge_kw": 11,
                "max_discharge_kw": 10,
                "plug_in_s": plug_in_s,
                "departure_in_s": 200_000,
            }
        ],
    }


class Stage:
    """A station of the twin and its central system, with the differences of the versions put aside."""

    def __init__(self, protocol: str, central: CentralSystem, program: ChargerProgram) -> None:
        self.old = protocol == "ocpp1.6"
        self.protocol = protocol
        self.central = central
        self.program = program
        self.station = program.park.stations["CP"]
        self.station.start_offline_after_s = 0.3

    @property
    def evse(self) -> Any:
        return self.station.evses[1]

    async def do(self, what: str, **given: Any) -> dict:
        return await self.program.handlers()[what]({"station": "CP", **given})

    async def call(self, action: str, payload: dict) -> dict:
        return await self.central.call("CP", action, payload)

    async def until(self, condition: Callable[[], Any]) -> Any:
        return await self.central.wait_for(condition)

    async def booted(self) -> None:
        await self.until(lambda: self.station.online)

    async def charging(self) -> str:
        """A car is plugged in and charges; returns the transaction's identifier on the wire."""
        await self.booted()
        await self.do("plug_in", car="EV")
        await self.until(lambda: self.evse.power_kw > 10.9 and len(self.station.queue) == 0)
        return self.evse.transaction.wire_id

    def begun(self) -> list[dict]:
        return self.central.of("CP", "StartTransaction") if self.old else self.events("Started")

    def over(self) -> list[dict]:
        return self.central.of("CP", "StopTransaction") if self.old else self.events("Ended")

    def events(self, kind: str) -> list[dict]:
        return [event for event in self.central.of("CP", "TransactionEvent") if event["eventType"] == kind]

    def statuses(self) -> list[str]:
        name = "status" if self.old else "connectorStatus"
        return [payload[name] for payload in self.central.of("CP", "StatusNotification") if payload.get("connectorId")]

    async def set_profile(self, periods: list[dict], *, number: int = 7, unit: str = "W", **given: Any) -> dict:
        """SetChargingProfile of purpose TxProfile for the transaction that goes on."""
        schedule = {"chargingRateUnit": unit, "chargingSchedulePeriod": periods, "startSchedule": text_of(now())}
        wire_id = self.evse.transaction.wire_id
        profile = {
            "stackLevel": 1,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Absolute",
            "transactionId": int(wire_id) if self.old else wire_id,
            **given,
        }
        if self.old:
            profile |= {"chargingProfileId": number, "chargingSchedule": schedule}
            return await self.call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
        profile |= {"id": number, "chargingSchedule": [{"id": 1, **schedule}]}
        return await self.call("SetChargingProfile", {"evseId": 1, "chargingProfile": profile})


def now() -> datetime:
    return datetime.now(UTC)


def text_of(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@asynccontextmanager
async def staged(protocol: str, prepare: Callable[[CentralSystem], None] | None = None) -> AsyncIterator[Stage]:
    async with CentralSystem() as central:
        if prepare is not None:
            prepare(central)
        program = ChargerProgram(parse_world(world(protocol)), url=central.url, back_off=QUICK, start_spread_s=0.0)
        running = asyncio.create_task(program.run())
        try:
            stage = Stage(protocol, central, program)
            yield stage
            assert program.clients["CP"].all_violations() == []
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def play(
    protocol: str, story: Callable[[Stage], Awaitable[None]], prepare: Callable[[CentralSystem], None] | None = None
) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60), staged(protocol, prepare) as stage:
            await story(stage)

    uvloop.run(whole())
