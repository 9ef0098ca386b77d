"""A hub of 148 packs behind 4 inverters, polled once a second by one gateway process, while set-points are delivered.

    python -m benchmarks.modbus_gateway [--packs 148] [--inverters 4] [--seconds 20] [--rounds 5]

Prints one JSON line: how much of a processor gateway and twin use, how complete the second-by-second readings are, and
how long a round over the packs of an inverter and a decision from its commit to the wire take. Uses a PostgreSQL and a Valkey of its own; gateway and twin are
processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from aggregator.management.supervisor.servers import EmbeddedServers

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=int, default=148)
    parser.add_argument("--inverters", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    servers = EmbeddedServers(given={})
    servers.launch(("postgresql", "valkey"))
    try:
        servers.wait_ready()
        os.environ.update(servers.environment())
        os.environ["DJANGO_SETTINGS_MODULE"] = "aggregator.settings.test"
        os.environ["PLATFORM_RUN_DIR"] = str(servers.workspace.path)
        print(json.dumps(measure(options, servers.workspace.path)))
    finally:
        servers.stop()


def measure(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("upkeep_partitions")
    asset_ids = make_hub(options, folder / "world.json")
    processes = {name: start(name) for name in ("twin_packs", "modbus_gateway")}
    try:
        wait_until_found(len(asset_ids))
        time.sleep(2)
        used = cpu_seconds(processes)
        started_at = datetime.now(UTC)
        time.sleep(options.seconds)
        elapsed_s = (datetime.now(UTC) - started_at).total_seconds()
        share = {name: (after - used[name]) / elapsed_s for name, after in cpu_seconds(processes).items()}
        latencies = deliver(asset_ids, options.rounds)
        return {
            "packs": len(asset_ids),
            "inverters": options.inverters,
            "gateway_cpu_fraction": round(share["modbus_gateway"], 3),
            "twin_cpu_fraction": round(share["twin_packs"], 3),
            "readings_per_pack_per_s": round(readings_since(started_at, elapsed_s) / len(asset_ids), 3),
            **cycles(started_at, elapsed_s),
            "decision_to_wire_ms_p50": round(statistics.median(latencies), 1),
            "decision_to_wire_ms_p99": round(statistics.quantiles(latencies, n=100)[98], 1),
            "decisions": len(latencies),
        }
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(10)


def make_hub(options: argparse.Namespace, world_path: Path) -> list[int]:
    from fleet.models import Asset, AssetKind, GridNode, Inverter, Pack, Region, Site

    region = Region.objects.create(code="B", name="B", country="JP", time_zone="Asia/Tokyo", currency="JPY")
    node = GridNode.objects.create(region=region, code="B", name="B")
    site = Site.objects.create(
        identity="B", name="B", kind="hub", grid_node=node, time_zone="UTC", import_limit_kw=1, export_limit_kw=1
    )
    limits = {"max_charge_kw": 20, "max_discharge_kw": 20}
    world: dict[str, list] = {"inverters": []}
    asset_ids = []
    for number in range(options.inverters):
        port = free_port()
        address = {"identity": f"INV-{number}", "host": "127.0.0.1", "port": port}
        inverter = Inverter.objects.create(**address, site=site, max_charge_kw=750, max_discharge_kw=750)
        packs = []
        for index in range(number, options.packs, options.inverters):
            identity, device_id = f"PACK-{index:03d}", 2 + index // options.inverters
            asset = Asset.objects.create(identity=identity, kind=AssetKind.PACK, site=site)
            Pack.objects.create(
                asset=asset, inverter=inverter, device_id=device_id, origin="B", nameplate_kwh=24, **limits
            )
            packs.append({"identity": identity, "device_id": device_id, "nameplate_kwh": 24, **limits})
            asset_ids.append(asset.pk)
        world["inverters"].append({**address, "max_charge_kw": 750, "max_discharge_kw": 750, "packs": packs})
    world_path.write_text(json.dumps(world))
    return asset_ids


def deliver(asset_ids: list[int], rounds: int) -> list[float]:
    """Decide for every pack at once, several times; milliseconds from commit to wire of every decision."""
    from fleet.models import DeviceCommand
    from fleet.operations.commands import PowerSchedule, queue_schedules

    latencies: list[float] = []
    for number in range(rounds):
        now = datetime.now(UTC)
        until = now + timedelta(minutes=5)
        schedules = [PowerSchedule(asset_id, now, (0.0,), (-5.0 - number,), until) for asset_id in asset_ids]
        queue_schedules(schedules=schedules, now=now, grid_event_id=number)
        committed_at = datetime.now(UTC)
        time.sleep(3)
        sent = DeviceCommand.objects.filter(grid_event_id=number, state="confirmed").values_list("sent_at", flat=True)
        assert len(sent) == len(asset_ids), f"{len(sent)} of {len(asset_ids)} set-points were confirmed"
        latencies += [1000 * (at - committed_at).total_seconds() for at in sent]
    return latencies


def start(command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", command], cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def cpu_seconds(processes: dict[str, subprocess.Popen[bytes]]) -> dict[str, float]:
    times = {name: psutil.Process(process.pid).cpu_times() for name, process in processes.items()}
    return {name: spent.user + spent.system for name, spent in times.items()}


def wait_until_found(count: int) -> None:
    from fleet.models import Asset

    deadline = time.monotonic() + 60
    while Asset.objects.filter(connected=True).count() < count:
        if time.monotonic() > deadline:
            raise SystemExit("the packs were not found within 60 s")
        time.sleep(0.2)


def readings_since(started_at: datetime, elapsed_s: float) -> float:
    from fleet.models import Reading

    until = started_at + timedelta(seconds=elapsed_s)
    return Reading.objects.filter(measured_at__gte=started_at, measured_at__lt=until).count() / elapsed_s


def cycles(started_at: datetime, elapsed_s: float) -> dict[str, float]:
    """How long a round over all packs behind an inverter takes, from the first one's reading to the last one's, and how
    far apart the readings of one pack are."""
    import numpy as np

    from fleet.models import Pack, Reading

    until = started_at + timedelta(seconds=elapsed_s)
    times: dict[int, list[float]] = {}
    for asset_id, at in Reading.objects.filter(measured_at__gte=started_at, measured_at__lt=until).values_list(
        "asset_id", "measured_at"
    ):
        times.setdefault(asset_id, []).append(at.timestamp())
    rounds_ms: list[float] = []
    for inverter_id in set(Pack.objects.values_list("inverter_id", flat=True)):
        behind = list(
            Pack.objects.filter(inverter_id=inverter_id).order_by("device_id").values_list("asset_id", flat=True)
        )
        first, last = np.sort(times[behind[0]]), np.sort(times[behind[-1]])
        begun = np.searchsorted(first, last, side="right") - 1
        rounds_ms += (1000 * (last[begun >= 0] - first[begun[begun >= 0]])).tolist()
    apart_ms = np.concatenate([1000 * np.diff(np.sort(of_one)) for of_one in times.values()])
    return {
        "round_ms_p50": round(float(np.percentile(rounds_ms, 50)), 1),
        "round_ms_p99": round(float(np.percentile(rounds_ms, 99)), 1),
        "reading_interval_ms_p50": round(float(np.percentile(apart_ms, 50)), 1),
        "reading_interval_ms_p99": round(float(np.percentile(apart_ms, 99)), 1),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
