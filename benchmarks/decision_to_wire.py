"""From the commit of a decision to its frame at the stations: all of them are told a new schedule at once, again and again.

    python -m benchmarks.decision_to_wire [--stations 60] [--rounds 10]

Half the stations speak 2.1 and the rest 2.0.1. Each keeps sending meter values every 2 s, as in the demonstration. The
time is from the return of the transaction that queued the schedules to the arrival of SetChargingProfile at the station,
read by one clock. Prints one JSON line; goal: p99 below 250 ms. Uses a PostgreSQL and a Valkey of its own; the gateway is a
process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection

from benchmarks._stations import GatewayProcess, close_all, connect, register_stations, with_servers

PAUSE_S = 1.0
METER_EVERY_S = 2.0
PROTOCOLS = ("ocpp2.1", "ocpp2.0.1")


class Station:
    """Accepts every profile and notes when it came."""

    def __init__(self, identity: str, connection: ClientConnection) -> None:
        self.identity = identity
        self.connection = connection
        self.came_at: list[float] = []
        self.tasks = [asyncio.create_task(self.read()), asyncio.create_task(self.report())]

    async def read(self) -> None:
        async for raw in self.connection:
            frame = orjson.loads(raw)
            if frame[0] != 2:
                continue
            if frame[2] == "SetChargingProfile":
                self.came_at.append(time.monotonic())
                answer = [3, frame[1], {"status": "Accepted"}]
            else:
                answer = [4, frame[1], "NotImplemented", "", {}]
            await self.connection.send(orjson.dumps(answer), text=True)

    async def report(self) -> None:
        await asyncio.sleep(hash(self.identity) % 100 / 100 * METER_EVERY_S)
        number = 0
        while True:
            number += 1
            sample = {"value": 1000.0 + number, "measurand": "Power.Active.Import"}
            value = {"timestamp": datetime.now(UTC).isoformat(), "sampledValue": [sample]}
            payload = {"evseId": 1, "meterValue": [value]}
            await self.connection.send(orjson.dumps([2, f"m{number}", "MeterValues", payload]), text=True)
            await asyncio.sleep(METER_EVERY_S)


def decide(asset_ids: list[int], round_number: int) -> float:
    """Queue a schedule for every asset; the clock when that is committed."""
    from fleet.operations.commands import PowerSchedule, queue_schedules

    now = datetime.now(UTC)
    power_kw = (6.0 + round_number % 4, 5.0, 0.0)
    schedules = [
        PowerSchedule(asset_id, now, (0.0, 60.0, 120.0), power_kw, now + timedelta(minutes=5)) for asset_id in asset_ids
    ]
    queue_schedules(schedules=schedules, now=now)
    return time.monotonic()


async def drive(gateway: GatewayProcess, assets: dict[str, int], rounds: int) -> dict[str, float]:
    stations = [
        Station(identity, await connect(gateway.url, identity, PROTOCOLS[number % 2]))
        for number, identity in enumerate(assets)
    ]
    # past the configuration that follows a connection without a boot
    await asyncio.sleep(8)
    delays_s: list[float] = []
    missed = 0
    for number in range(rounds):
        for station in stations:
            station.came_at.clear()
        committed = await asyncio.to_thread(decide, list(assets.values()), number)
        await asyncio.sleep(PAUSE_S)
        delays_s += [station.came_at[0] - committed for station in stations if station.came_at]
        missed += sum(not station.came_at for station in stations)
    for station in stations:
        for task in station.tasks:
            task.cancel()
    await close_all([station.connection for station in stations])
    return {
        "decision_to_wire_p99_ms": round(1000 * statistics.quantiles(delays_s, n=100)[98], 1),
        "decision_to_wire_p50_ms": round(1000 * statistics.median(delays_s), 1),
        "stations": len(stations),
        "rounds": rounds,
        "missed": missed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()

    def measure() -> dict[str, float]:
        assets = register_stations(options.stations, PROTOCOLS[0])
        gateway = GatewayProcess()
        try:
            return uvloop.run(drive(gateway, assets, options.rounds))
        finally:
            gateway.stop()

    print(json.dumps({"benchmark": Path(__file__).stem, **with_servers(measure)}))


if __name__ == "__main__":
    main()
