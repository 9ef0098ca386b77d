"""Durable OCPP messages per CPU-second of one gateway, and how long an answer takes at 100 messages per second.

    python -m benchmarks.ocpp_gateway [--stations 40] [--seconds 8] [--boots 0]

The mix is that of OCPP 2.0.1 stations: 20 % Heartbeat, 40 % MeterValues, 40 % TransactionEvent, of about 1 kB. Every
message is answered after its commit only; afterwards the readings in the database are counted. Prints one JSON line.
Uses a PostgreSQL and a Valkey of its own; the gateway is a process of its own, the trace of messages is on.
`--boots 1000` measures besides how long so many stations take to connect and boot at once.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import uvloop

from benchmarks._stations import GatewayProcess, ask, close_all, connect, register_stations, with_servers

PROTOCOL = "ocpp2.0.1"
MARK = "2000-01-01T00:00:00.000000Z"
# in this order, over and over: 20 % Heartbeat, 40 % MeterValues, 40 % TransactionEvent
MIX = ("MeterValues", "TransactionEvent", "Heartbeat", "TransactionEvent", "MeterValues")
PACED_PER_S = 100


def sampled(measurand: str, unit: str, value: float, **more: str) -> dict[str, object]:
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
        instant = (self.began_at + timedelta(microseconds=100 * number)).isoformat(timespec="microseconds")
        payload = made[action].replace(MARK.encode(), instant.replace("+00:00", "Z").encode())
        return b'[2,"%d","%s",%s]' % (number, action.encode(), payload)

    async def ask_once(self, connection, action: str, made: dict[str, bytes]) -> None:
        began = time.perf_counter()
        async with self.turns[connection]:
            answer = await ask(connection, self.frame(action, made, next(self.numbers)))
        assert answer.startswith(b"[3,"), answer
        self.latency_s.append(time.perf_counter() - began)
        self.readings += action != "Heartbeat"

    async def flat_out(self, connection, identity: str, until: float) -> None:
        made = templates(identity)
        for action in itertools.cycle(MIX):
            if time.perf_counter() >= until:
                return
            await self.ask_once(connection, action, made)

    async def paced(self, connections: dict[str, object], seconds: float) -> None:
        made = {identity: templates(identity) for identity in connections}
        stations, actions = itertools.cycle(connections), itertools.cycle(MIX)
        began, running = time.perf_counter(), []
        for turn in range(int(seconds * PACED_PER_S)):
            await asyncio.sleep(max(0.0, began + turn / PACED_PER_S - time.perf_counter()))
            identity = next(stations)
            running.append(asyncio.create_task(self.ask_once(connections[identity], next(actions), made[identity])))
        await asyncio.gather(*running)


async def open_stations(url: str, identities: list[str]) -> dict[str, object]:
    """Connect stations and begin a transaction at each."""
    connections = {identity: await connect(url, identity, PROTOCOL) for identity in identities}
    for identity, connection in connections.items():
        start = orjson.loads(templates(identity)["TransactionEvent"])
        start |= {"eventType": "Started", "seqNo": 0, "timestamp": datetime.now(UTC).isoformat()}
        del start["meterValue"]
        assert (await ask(connection, orjson.dumps([2, "s", "TransactionEvent", start]))).startswith(b"[3,")
    return connections


async def boot_all(url: str, identities: list[str]) -> float:
    """Seconds until so many stations that all begin at once are connected and booted; a refused one tries again."""
    boot = b'[2,"b","BootNotification",{"reason":"PowerUp","chargingStation":{"vendorName":"V","model":"M"}}]'
    connections = []

    async def boot_one(identity: str) -> None:
        connection = await connect(url, identity, PROTOCOL)
        assert b'"Accepted"' in await ask(connection, boot)
        connections.append(connection)

    began = time.perf_counter()
    await asyncio.gather(*(boot_one(identity) for identity in identities))
    took_s = time.perf_counter() - began
    await close_all(connections)
    return took_s


async def drive(gateway: GatewayProcess, identities: list[str], options: argparse.Namespace) -> dict[str, float]:
    connections = await open_stations(gateway.url, identities[: options.stations])
    load = Load()
    await asyncio.gather(
        *(load.flat_out(c, identity, time.perf_counter() + 1.0) for identity, c in connections.items())
    )
    load.latency_s.clear()
    cpu_s, began = gateway.cpu_s(), time.perf_counter()
    until = began + options.seconds
    await asyncio.gather(*(load.flat_out(c, identity, until) for identity, c in connections.items()))
    wall_s, used_s, answered = time.perf_counter() - began, gateway.cpu_s() - cpu_s, len(load.latency_s)
    flat_out_p99_s = statistics.quantiles(load.latency_s, n=100)[98]
    load.latency_s.clear()
    await load.paced(connections, options.seconds)
    paced_p99_s = statistics.quantiles(load.latency_s, n=100)[98]
    await close_all(list(connections.values()))
    measured = {
        "durable_msgs_per_cpu_s": round(answered / used_s),
        "p99_ms_at_100_per_s": round(1000 * paced_p99_s, 1),
        "msgs_per_s_flat_out": round(answered / wall_s),
        "p99_ms_flat_out": round(1000 * flat_out_p99_s, 1),
        "stations": options.stations,
        "readings": load.readings,
    }
    if options.boots:
        measured["boot_all_s"] = round(await boot_all(gateway.url, identities[: options.boots]), 2)
        measured["boots"] = options.boots
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--boots", type=int, default=0)
    options = parser.parse_args()

    def measure() -> dict[str, float]:
        from fleet.models import Reading

        stations = register_stations(max(options.stations, options.boots), PROTOCOL)
        gateway = GatewayProcess()
        try:
            measured = uvloop.run(drive(gateway, list(stations), options))
        finally:
            gateway.stop()
        stored = Reading.objects.count()
        if stored != measured["readings"]:
            raise SystemExit(f"{measured['readings']} readings were answered, {stored} are stored")
        return measured

    print(json.dumps({"benchmark": Path(__file__).stem, **with_servers(measure)}))


if __name__ == "__main__":
    main()
