"""Settling a whole day of many assets at 15 minutes: from stored readings to balanced, sealed books.

    python benchmarks/settlement_day.py [--assets 100000]

Prints one line of JSON. 96 slots, a reading of every asset at every quarter of an hour, stored in the order of time as they
come, an owner each. `growth_mib` is what the memory grew by while settling, beyond what the results themselves take.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._stations import with_servers
from benchmarks.settlement import make_fleet, timed

DAY = datetime(2026, 11, 24, tzinfo=UTC)
SLOTS, SLOT_S = 96, 900


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=100_000)
    assets = parser.parse_args().assets
    print(json.dumps(with_servers(lambda: measure(assets))))


def measure(assets: int) -> dict[str, Any]:
    from aggregator.models import LedgerEntry
    from aggregator.operations.settlements import settle_event
    from aggregator.queries.chain import check_chain
    from aggregator.queries.ledger import ledger_is_balanced

    asset_ids = make_fleet(assets)
    stored, store_wall_s, _ = timed(lambda: make_readings(asset_ids))
    event_id = make_event(asset_ids)
    before_mib = peak_mib()
    first, wall_s, cpu_s = timed(lambda: settle_event(event_id=event_id, now=DAY + timedelta(days=1, minutes=1)))
    after_mib = peak_mib()
    again, again_wall_s, _ = timed(lambda: settle_event(event_id=event_id, now=DAY + timedelta(days=1, hours=1)))
    # every asset went from 6 kW before the day to 2 kW
    assert abs(float(first.delivered_kwh) - assets * 4.0 * 24) < 1e-2 and again.settlement_id == first.settlement_id
    assert ledger_is_balanced() and check_chain().faults == ()
    return {
        "benchmark": "settlement_day",
        "assets": assets,
        "slots": SLOTS,
        "readings": stored,
        "ledger_entries": LedgerEntry.objects.count(),
        "store_wall_s": round(store_wall_s, 1),
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "again_wall_s": round(again_wall_s, 2),
        "peak_before_mib": before_mib,
        "peak_after_mib": after_mib,
        "growth_mib": after_mib - before_mib,
        "payment": str(first.payment),
    }


def peak_mib() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def make_readings(asset_ids: list[int]) -> int:
    """As gateways leave them: one instant after another, all assets each time."""
    from django.db import connection

    from fleet.operations.retention import ensure_partitions

    ensure_partitions(now=DAY)
    stored = 0
    with connection.cursor() as cursor:
        for number in range(-2, SLOTS + 1):
            at = DAY + timedelta(seconds=number * SLOT_S)
            kwh = 1000.0 + (1.5 * number if number < 0 else 0.5 * number)
            cursor.execute(
                "INSERT INTO fleet_reading (asset_id, measured_at, power_kw, import_kwh, export_kwh, flags, received_at)"
                " SELECT asset_id, %s, %s, %s, %s, 0, %s FROM unnest(%s::bigint[]) AS asset_id",
                [at, 6.0 if number < 0 else 2.0, kwh, 0.0, at, asset_ids],
            )
            stored += cursor.rowcount
        cursor.execute("ANALYZE fleet_reading")
    return stored


def make_event(asset_ids: list[int]) -> int:
    from grid.operations.events import mark_planned, record_event
    from grid.operations.programmes import ProgrammeTerms, register_programme

    register_programme(
        region_code="default",
        terms=ProgrammeTerms(
            code="whole-day",
            name="A day at 15 minutes",
            effective_from=DAY - timedelta(days=30),
            max_kw=1e9,
            notice_s=0,
            slot_s=SLOT_S,
            max_duration_s=SLOTS * SLOT_S,
            energy_price_per_kwh=Decimal("0.30"),
            missed_price_per_kwh=Decimal("0.45"),
            baseline_window_s=900,
            source="this benchmark",
        ),
    )
    event = record_event(
        requested_by="grid-co",
        idempotency_key="benchmark",
        programme_code="whole-day",
        direction="reduce",
        target_kw=len(asset_ids) * 4.0,
        starts_at=DAY,
        ends_at=DAY + timedelta(seconds=SLOTS * SLOT_S),
        now=DAY - timedelta(hours=1),
    ).event
    mark_planned(event_id=event.event_id, participants=asset_ids, baseline_kw=None, now=DAY - timedelta(minutes=30))
    return event.event_id


if __name__ == "__main__":
    main()
