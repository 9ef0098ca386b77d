"""What the simulated stations cost: CPU and memory of `twin_chargers` with 60 cars charging and a reading every 2 s.

They talk to a central system that only says yes, in a process of its own. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psutil
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

REPOSITORY = Path(__file__).resolve().parents[1]
PROTOCOLS = ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]
STATIONS = int(os.environ.get("BENCH_STATIONS", "60"))
METER_INTERVAL_S = 2
SETTLE_S, MEASURE_S = 8.0, 15.0
ACCEPTED = {"status": "Accepted"}


def answer(protocol: str | None, action: str) -> dict[str, Any]:
    """What a central system that agrees with everything says."""
    now = datetime.now(UTC).isoformat()
    if action == "Authorize" and protocol != "ocpp1.6":
        return {"idTokenInfo": ACCEPTED, **({"allowedEnergyTransfer": ["AC_BPT"]} if protocol == "ocpp2.1" else {})}
    answers: dict[str, dict[str, Any]] = {
        "Authorize": {"idTagInfo": ACCEPTED},
        "BootNotification": {"currentTime": now, "interval": 300, **ACCEPTED},
        "Heartbeat": {"currentTime": now},
        "NotifyEVChargingNeeds": ACCEPTED,
        "StartTransaction": {"transactionId": 1, "idTagInfo": ACCEPTED},
    }
    return answers.get(action, {})


async def agree() -> None:
    """Serve until killed; the port is printed."""

    async def talk(socket: ServerConnection) -> None:
        try:
            async for frame in socket:
                message = orjson.loads(frame)
                if message[0] == 2:
                    await socket.send(orjson.dumps([3, message[1], answer(socket.subprotocol, message[2])]).decode())
        except ConnectionClosed:
            pass

    async with serve(talk, "127.0.0.1", 0, subprotocols=PROTOCOLS, compression=None) as server:  # type: ignore[arg-type]
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


def world() -> dict[str, Any]:
    """Stations of the three versions in equal parts, each with a car that comes at once."""
    chargers, cars = [], []
    for number in range(STATIONS):
        protocol = PROTOCOLS[number % len(PROTOCOLS)]
        discharge_kw = 11 if protocol == "ocpp2.1" else 0
        evse = {"number": 1, "max_charge_kw": 11, "max_discharge_kw": discharge_kw, "min_charge_kw": 4.14}
        charger = {"identity": f"CP-{number}", "password": "benchmark", "protocol": protocol, "evses": [evse]}
        chargers.append({**charger, "meter_interval_s": METER_INTERVAL_S})
        car = {"identity": f"EV-{number}", "charger": f"CP-{number}", "evse": 1, "id_token": f"T{number}"}
        cars.append({**car, "battery_capacity_kwh": 60, "soc_fraction": 0.5, "max_charge_kw": 11})
    return {"chargers": chargers, "cars": cars}


def measure(folder: Path) -> dict[str, Any]:
    """Run the command against the agreeing central system and look at what it takes."""
    (folder / "world.json").write_text(json.dumps(world()))
    central = subprocess.Popen([sys.executable, __file__, "agree"], stdout=subprocess.PIPE, text=True)
    assert central.stdout is not None
    url = f"ws://127.0.0.1:{central.stdout.readline().strip()}"
    command = [sys.executable, "manage.py", "twin_chargers", "--world", str(folder / "world.json"), "--url", url]
    journal = folder / "acknowledged.jsonl"
    twin = subprocess.Popen(
        [*command, "--journal", str(journal)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "aggregator.settings.test"},
    )
    try:
        assert twin.stdout is not None
        twin.stdout.readline()
        time.sleep(SETTLE_S)
        process = psutil.Process(twin.pid)
        before, told, begun = process.cpu_times(), len(journal.read_bytes().splitlines()), time.monotonic()
        time.sleep(MEASURE_S)
        after, later, ended = process.cpu_times(), len(journal.read_bytes().splitlines()), time.monotonic()
        busy_s = after.user + after.system - before.user - before.system
        return {
            "benchmark": "twin_stations",
            "stations": STATIONS,
            "meter_interval_s": METER_INTERVAL_S,
            "acknowledged_per_s": round((later - told) / (ended - begun), 1),
            "cpu_percent_of_a_core": round(100 * busy_s / (ended - begun), 2),
            "memory_mib": process.memory_info().rss >> 20,
        }
    finally:
        for each in (twin, central):
            each.terminate()
            each.wait(10)


if __name__ == "__main__":
    if sys.argv[1:] == ["agree"]:
        asyncio.run(agree())
    else:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(measure(Path(name))))
