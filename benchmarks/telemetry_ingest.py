"""Readings per second through `record_readings`, against binary COPY into the same table without any check.

    python -m benchmarks.telemetry_ingest [--readings 40000] [--batch 2000] [--assets 300] [--repeats 3]

Prints one JSON line. Uses a PostgreSQL and a Valkey of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aggregator.management.supervisor.servers import EmbeddedServers

if TYPE_CHECKING:
    from fleet.operations.telemetry import MeterReading


RAW_COPY = """
COPY fleet_reading (
    asset_id, measured_at, power_kw, import_kwh, export_kwh, soc_fraction, temperature_c, flags, received_at
) FROM STDIN (FORMAT BINARY)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=2_000)
    parser.add_argument("--assets", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    servers = EmbeddedServers(given={})
    servers.launch(("postgresql", "valkey"))
    try:
        servers.wait_ready()
        os.environ.update(servers.environment())
        os.environ["DJANGO_SETTINGS_MODULE"] = "aggregator.settings.test"
        print(json.dumps(measure(options)))
    finally:
        servers.stop()


def measure(options: argparse.Namespace) -> dict[str, float]:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from fleet.operations.telemetry import record_readings

    call_command("migrate", verbosity=0)
    asset_ids = make_assets(options.assets)
    call_command("upkeep_partitions")

    def batches(now: datetime) -> list[list[MeterReading]]:
        readings = readings_before(now, asset_ids, options.readings)
        return [readings[i : i + options.batch] for i in range(0, len(readings), options.batch)]

    def checked(batch: list[MeterReading], now: datetime) -> None:
        outcome = record_readings(readings=batch, now=now)
        assert outcome.stored == len(batch), outcome

    def raw(batch: list[MeterReading], now: datetime) -> None:
        with (
            connection.cursor() as cursor,
            cursor.copy(RAW_COPY) as copy,
        ):
            copy.set_types(["int8", "timestamptz", *["float8"] * 5, "int2", "timestamptz"])
            for r in batch:
                row = (r.asset_id, r.measured_at, r.power_kw, r.import_kwh, r.export_kwh, r.soc_fraction)
                copy.write_row((*row, r.temperature_c, 0, now))

    def repeats_again(batch: list[MeterReading], now: datetime) -> None:
        assert record_readings(readings=batch, now=now).duplicates == len(batch)

    rates: dict[str, list[float]] = {"checked": [], "raw": [], "duplicates": []}
    for _ in range(options.repeats):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE fleet_reading")
        now = datetime.now(UTC)
        rates["checked"].append(rate(checked, batches(now), now))
        rates["duplicates"].append(rate(repeats_again, batches(now), now))
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE fleet_reading")
        rates["raw"].append(rate(raw, batches(now), now))
    median = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "readings_per_s": round(median["checked"]),
        "duplicates_per_s": round(median["duplicates"]),
        "copy_rows_per_s": round(median["raw"]),
        "ratio_to_copy": round(median["checked"] / median["raw"], 3),
        "batch": options.batch,
        "assets": options.assets,
    }


def readings_before(now: datetime, asset_ids: list[int], count: int) -> list[MeterReading]:
    """A reading each millisecond, of one asset after the other."""
    from fleet.operations.telemetry import MeterReading

    return [
        MeterReading(
            asset_ids[i % len(asset_ids)],
            now - timedelta(milliseconds=count - i),
            power_kw=-5.0,
            import_kwh=100.0,
            export_kwh=50 + i / 1000,
            soc_fraction=0.5,
            temperature_c=25.0,
        )
        for i in range(count)
    ]


def rate(store: Callable, batches: list[list], now: datetime) -> float:
    started = time.perf_counter()
    for batch in batches:
        store(batch, now)
    return sum(len(batch) for batch in batches) / (time.perf_counter() - started)


def make_assets(count: int) -> list[int]:
    from fleet.models import Asset, AssetKind, GridNode, Region, Site

    region = Region.objects.create(code="B", name="B", country="JP", time_zone="Asia/Tokyo", currency="JPY")
    node = GridNode.objects.create(region=region, code="B", name="B")
    site = Site.objects.create(
        identity="B", name="B", kind="hub", grid_node=node, time_zone="UTC", import_limit_kw=1, export_limit_kw=1
    )
    assets = [Asset(identity=f"B-{i}", kind=AssetKind.METER, site=site) for i in range(count)]
    return [asset.pk for asset in Asset.objects.bulk_create(assets)]


if __name__ == "__main__":
    main()
