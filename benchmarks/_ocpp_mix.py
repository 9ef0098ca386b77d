"""What OCPP 2.0.1 stations say all day: 20 % Heartbeat, 40 % MeterValues, 40 % TransactionEvent, of about 1 kB."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import orjson
from websockets.asyncio.client import ClientConnection

from benchmarks._stations import ask, connect

PROTOCOL = "ocpp2.0.1"
MARK = "2000-01-01T00:00:00.000000Z"
# in this order, over and over
MIX = ("MeterValues", "TransactionEvent", "Heartbeat", "TransactionEvent", "MeterValues")


def sampled(measurand: str, unit: str, value: float, **more: str) -> dict[str, object]:
    """A sampled value as a station with every optional field filled writes it."""
    return {
        "value": value,
        "context": "Sample.Periodic",
        "measurand": measurand,
        "location": "Outlet",
        "unitOfMeasure": {"unit": unit},
        **more,
    }


METER_VALUE = {
    "timestamp": MARK,
    "sampledValue": [
        sampled("Energy.Active.Import.Register", "Wh", 123456.7),
        *(sampled("Power.Active.Import", "W", 3600.0, phase=phase) for phase in ("L1", "L2", "L3")),
        *(sampled("Current.Import", "A", 15.7, phase=phase) for phase in ("L1", "L2")),
        {"value": 54.0, "measurand": "SoC", "unitOfMeasure": {"unit": "Percent"}},
    ],
}


def templates(identity: str) -> dict[str, bytes]:
    """Payloads with a mark where the instant goes, about 1 kB but for the Heartbeat."""
    event = {
        "eventType": "Updated",
        "timestamp": MARK,
        "triggerReason": "MeterValuePeriodic",
        "seqNo": 1,
        "transactionInfo": {"transactionId": f"TX-{identity}", "chargingState": "Charging"},
        "evse": {"id": 1, "connectorId": 1},
        "meterValue": [METER_VALUE],
    }
    return {
        "MeterValues": orjson.dumps({"evseId": 1, "meterValue": [METER_VALUE]}),
        "TransactionEvent": orjson.dumps(event),
        "Heartbeat": b"{}",
    }


class Load:
    """Stations that ask, wait for the answer, and ask again."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        # every reading has an instant of its own, so that all can be counted afterwards
        self.began_at = datetime.now(UTC) - timedelta(hours=1)
        self.readings = 0
        self.latency_s: list[float] = []
        # a station has one call under way; the time that the next one waits for it counts
        self.turns: dict[object, asyncio.Lock] = defaultdict(asyncio.Lock)

    def frame(self, action: str, made: dict[str, bytes], number: int) -> bytes:
        """A CALL with an instant that no other has."""
        instant = (self.began_at + timedelta(microseconds=100 * number)).isoformat(timespec="microseconds")
        payload = made[action].replace(MARK.encode(), instant.replace("+00:00", "Z").encode())
        return b'[2,"%d","%s",%s]' % (number, action.encode(), payload)

    async def ask_once(self, connection: ClientConnection, action: str, made: dict[str, bytes]) -> None:
        """Send one message when its station is free, and note how long its answer took."""
        began = time.perf_counter()
        async with self.turns[connection]:
            answer = await ask(connection, self.frame(action, made, next(self.numbers)))
        assert answer.startswith(b"[3,"), answer
        self.latency_s.append(time.perf_counter() - began)
        self.readings += action != "Heartbeat"

    async def flat_out(self, connections: Mapping[str, ClientConnection], seconds: float) -> list[float]:
        """Every station asks as soon as it is answered. Returns the latencies, s."""
        until = time.perf_counter() + seconds

        async def keep_asking(connection: ClientConnection, identity: str) -> None:
            made = templates(identity)
            for action in itertools.cycle(MIX):
                if time.perf_counter() >= until:
                    return
                await self.ask_once(connection, action, made)

        await asyncio.gather(*(keep_asking(connection, identity) for identity, connection in connections.items()))
        return self._take_latencies()

    async def paced(self, connections: Mapping[str, ClientConnection], seconds: float, *, per_s: float) -> list[float]:
        """All stations together ask so many times a second. Returns the latencies, s."""
        made = {identity: templates(identity) for identity in connections}
        stations, actions = itertools.cycle(connections), itertools.cycle(MIX)
        began, running = time.perf_counter(), []
        for turn in range(int(seconds * per_s)):
            await asyncio.sleep(max(0.0, began + turn / per_s - time.perf_counter()))
            identity = next(stations)
            running.append(asyncio.create_task(self.ask_once(connections[identity], next(actions), made[identity])))
        await asyncio.gather(*running)
        return self._take_latencies()

    def _take_latencies(self) -> list[float]:
        taken, self.latency_s = self.latency_s, []
        return taken


async def open_stations(url: str, identities: list[str]) -> dict[str, ClientConnection]:
    """Connect stations and begin a transaction at each."""
    connections = {identity: await connect(url, identity, PROTOCOL) for identity in identities}
    for identity, connection in connections.items():
        start = orjson.loads(templates(identity)["TransactionEvent"])
        start |= {"eventType": "Started", "seqNo": 0, "timestamp": datetime.now(UTC).isoformat()}
        del start["meterValue"]
        assert (await ask(connection, orjson.dumps([2, "s", "TransactionEvent", start]))).startswith(b"[3,")
    return connections
