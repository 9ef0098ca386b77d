"""What one OCPP gateway process carries: durable messages per CPU-second, answer times, a crowd that boots, idle stations.

    python -m benchmarks.ocpp_gateway [--stations 40] [--seconds 5] [--rounds 3] [--boots 1000] [--idle 5000]

Prints one JSON line. Uses a PostgreSQL and a Valkey of its own; the gateway is a process of its own and keeps its trace of
messages, as in operation. 0 boots or idle stations leave that part out. All stations are on loopback.

- `durable_msgs_per_cpu_s`: answered messages per second of processor time of the gateway process (all its threads; not
  PostgreSQL's), `--stations` stations flat out with the mix of `_ocpp_mix`, each asking again as soon as it is answered.
  A message is answered only after its commit; at the end the readings in the database are counted against the answers.
- `ratio_to_ocpp_package`: that, over the same figure of the PyPI package `ocpp`: the same stations and mix, in turn with
  ours, at a process whose handlers answer at once and store nothing (`_ocpp_package`: its router, validation and case
  conversion on the same websockets and uvloop). It has less to do than the gateway, so at equal duty the ratio would be
  larger.
- `p99_ms_at_100_per_s`: from the sending of a message, or its turn if its station still waits for an answer, to its answer,
  at 100 messages per second of the same mix.
- `boot_1000_s`: 1,000 stations that were connected lose their sockets and all connect and send BootNotification at once:
  until the last is accepted. `boot_dropped` counts refused or ended connections, until the gateway has configured all.
- `stations_per_gib`: stations that have booted and been configured and say nothing, over the whole resident memory of a
  fresh gateway process that holds them.

Of rounds, the median counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks._ocpp_crowd import measure_boots, measure_idle
from benchmarks._ocpp_mix import PROTOCOL, Load, open_stations
from benchmarks._stations import (
    GatewayProcess,
    PackageProcess,
    ServerProcess,
    close_all,
    raise_file_limit,
    register_stations,
    with_servers,
)

PACED_PER_S = 100
WARM_UP_S = 1.0


def p99_ms(latencies_s: list[float]) -> float:
    """The 99th percentile in milliseconds."""
    return 1000 * statistics.quantiles(latencies_s, n=100)[98]


async def flat_out(server: ServerProcess, load: Load, connections: dict[str, Any], seconds: float) -> dict[str, float]:
    """One round: messages per second of the server's processor and by the clock, and the 99th percentile."""
    cpu_s, began = server.cpu_s(), time.perf_counter()
    latencies_s = await load.flat_out(connections, seconds)
    used_s, wall_s = server.cpu_s() - cpu_s, time.perf_counter() - began
    return {"per_cpu_s": len(latencies_s) / used_s, "per_s": len(latencies_s) / wall_s, "p99_ms": p99_ms(latencies_s)}


async def measure_messages(
    gateway: GatewayProcess, package: PackageProcess, identities: list[str], options: argparse.Namespace
) -> dict[str, float]:
    """Our gateway and the package's router in turn."""
    load, package_load = Load(), Load()
    connections = await open_stations(gateway.url, identities)
    package_connections = await open_stations(package.url, identities)
    await load.flat_out(connections, WARM_UP_S)
    await package_load.flat_out(package_connections, WARM_UP_S)
    ours, theirs, paced_p99_ms = [], [], []
    for _ in range(options.rounds):
        ours.append(await flat_out(gateway, load, connections, options.seconds))
        theirs.append(await flat_out(package, package_load, package_connections, options.seconds))
        paced_p99_ms.append(p99_ms(await load.paced(connections, options.seconds, per_s=PACED_PER_S)))
    await close_all([*connections.values(), *package_connections.values()])
    per_cpu_s = statistics.median(found["per_cpu_s"] for found in ours)
    package_per_cpu_s = statistics.median(found["per_cpu_s"] for found in theirs)
    return {
        "durable_msgs_per_cpu_s": round(per_cpu_s),
        "ratio_to_ocpp_package": round(per_cpu_s / package_per_cpu_s, 1),
        "ocpp_package_msgs_per_cpu_s": round(package_per_cpu_s),
        "p99_ms_at_100_per_s": round(statistics.median(paced_p99_ms), 1),
        "msgs_per_s_flat_out": round(statistics.median(found["per_s"] for found in ours)),
        "p99_ms_flat_out": round(statistics.median(found["p99_ms"] for found in ours), 1),
        "stations": len(identities),
        "readings": load.readings,
    }


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Everything, one part after another, with a new gateway process for each."""
    from fleet.models import Reading

    identities = list(register_stations(max(options.stations, options.boots, options.idle), PROTOCOL))
    with GatewayProcess() as gateway, PackageProcess() as package:
        measured = uvloop.run(measure_messages(gateway, package, identities[: options.stations], options))
    stored = Reading.objects.count()
    if stored != measured["readings"]:
        raise SystemExit(f"{measured['readings']} readings were answered, {stored} are stored")
    if options.boots:
        with GatewayProcess() as gateway:
            measured |= uvloop.run(measure_boots(gateway, identities[: options.boots]))
    if options.idle:
        with GatewayProcess() as gateway:
            measured |= uvloop.run(measure_idle(gateway, identities[: options.idle]))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stations", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--boots", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=5000)
    options = parser.parse_args()
    raise_file_limit()
    print(json.dumps({"benchmark": Path(__file__).stem, **with_servers(lambda: measure(options))}))


if __name__ == "__main__":
    main()
