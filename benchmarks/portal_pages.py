"""Server time of the portal's pages with 10,000 vehicles: medians and 95th percentiles in milliseconds.

Run: python benchmarks/portal_pages.py [--cars 10000] [--repeat 30]
Starts PostgreSQL and Valkey of its own, seeds them in bulk, asks for each page through Django's whole stack (middleware,
session, templates) without a network, and prints one JSON line. The first two requests of a page are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

WARM_UP = 2
LIMIT_MS = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cars", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=30)
    arguments = parser.parse_args()

    from aggregator.management.supervisor.servers import EmbeddedServers

    servers = EmbeddedServers(given={"MQTT_URL": "mqtt://127.0.0.1:1"})
    try:
        servers.launch()
        servers.wait_ready()
        os.environ.update(servers.environment())
        os.environ["SECRET_KEY"] = secrets.token_urlsafe(50)
        os.environ["PLATFORM_RUN_DIR"] = str(servers.workspace.path / "run")
        os.environ["DJANGO_SETTINGS_MODULE"] = "aggregator.settings.test"
        print(json.dumps(measure(arguments.cars, arguments.repeat)))
    finally:
        servers.stop()


def measure(cars: int, repeat: int) -> dict[str, object]:
    """Seed, then time every page."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client
    from django.utils import timezone

    from tests.portal_world import make_world

    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    world = make_world(cars=cars, now=timezone.now(), packs=148)
    analyse()
    seeded_s = time.perf_counter() - started
    owner, operator, visitor = Client(), Client(), Client()
    owner.force_login(world.owner_user)
    operator.force_login(world.operator)
    car = world.vehicles[0].pk
    pages = {
        "/": (visitor, "/"),
        "/my/": (owner, "/my/"),
        "/my/ (fragment)": (owner, "/my/"),
        "/my/cars/<id>/goals/": (owner, f"/my/cars/{car}/goals/"),
        "/my/cars/<id>/plan/": (owner, f"/my/cars/{car}/plan/"),
        "/my/earnings/": (owner, "/my/earnings/"),
        "/my/consent/": (owner, "/my/consent/"),
        "/ops/": (operator, "/ops/"),
        "/ops/ (cold, no figures kept)": (operator, "/ops/"),
        "/ops/devices/": (operator, "/ops/devices/"),
        "/ops/devices/ (page far down)": (operator, f"/ops/devices/?after=CP-{cars - 200:05d}"),
        "/ops/devices/ (search)": (operator, "/ops/devices/?q=0042"),
        "/ops/devices/<id>/": (operator, "/ops/devices/CP-00003/"),
        "/ops/devices/<id>/ (trace)": (operator, "/ops/devices/CP-00003/?tab=trace"),
        "/ops/events/": (operator, "/ops/events/"),
        "/ops/events/<id>/": (operator, f"/ops/events/{world.settled.pk}/"),
    }
    results = {name: timed(client, address, name, repeat) for name, (client, address) in pages.items()}
    return {
        "benchmark": "portal_pages",
        "vehicles": cars,
        "seeded_s": round(seeded_s, 1),
        "limit_ms": LIMIT_MS,
        "pages": results,
        "worst_median_ms": max(result["median_ms"] for name, result in results.items() if "cold" not in name),
    }


def analyse() -> None:
    """What autovacuum would have done by the time a real portfolio has this size."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def timed(client, address: str, name: str, repeat: int) -> dict[str, float]:
    from django.core.cache import cache

    headers = {"HX-Request": "true"} if "fragment" in name else {}
    times_ms, cpu_ms, size = [], [], 0
    for _ in range(repeat + WARM_UP):
        if "cold" in name:
            cache.delete_many(["console:power", "console:public", "console:assets", "console:regions"])
        started, cpu_started = time.perf_counter(), time.process_time()
        response = client.get(address, headers=headers)
        times_ms.append(1000 * (time.perf_counter() - started))
        cpu_ms.append(1000 * (time.process_time() - cpu_started))
        if response.status_code != 200:
            raise SystemExit(f"{address} answered {response.status_code}")
        size = len(response.content)
    counted = sorted(times_ms[WARM_UP:])
    return {
        "median_ms": round(statistics.median(counted), 1),
        "p95_ms": round(counted[int(0.95 * (len(counted) - 1))], 1),
        # what this process computed: the rest is the database, and whatever else the machine was doing
        "cpu_median_ms": round(statistics.median(cpu_ms[WARM_UP:]), 1),
        "bytes": size,
    }


if __name__ == "__main__":
    main()
