"""Settling one event of many assets: from stored readings to balanced books, and settling it again.

    python benchmarks/settlement.py [--assets 10000]

Prints one line of JSON. Eight slots of 15 minutes, a reading of every asset every five minutes, an owner each.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._stations import with_servers

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
START = NOW + timedelta(hours=1)
SLOTS, SLOT_S, READING_EVERY_S = 8, 900, 300
BEFORE_KW, DURING_KW = 7.4, -3.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=10_000)
    assets = parser.parse_args().assets
    print(json.dumps(with_servers(lambda: measure(assets))))


def measure(assets: int) -> dict[str, Any]:
    from aggregator.models import LedgerEntry
    from aggregator.operations.settlements import settle_event
    from aggregator.queries.ledger import ledger_is_balanced

    asset_ids = make_fleet(assets)
    readings = make_readings(asset_ids)
    event_id = make_event(asset_ids)
    ends_at = START + timedelta(seconds=SLOTS * SLOT_S)
    first, first_wall_s, first_cpu_s = timed(
        lambda: settle_event(event_id=event_id, now=ends_at + timedelta(minutes=1))
    )
    again, again_wall_s, _ = timed(lambda: settle_event(event_id=event_id, now=ends_at + timedelta(hours=1)))
    expected_kwh = assets * (BEFORE_KW - DURING_KW) * SLOTS * SLOT_S / 3600
    assert abs(float(first.delivered_kwh) - expected_kwh) < 1e-3 and again.settlement_id == first.settlement_id
    assert ledger_is_balanced()
    return {
        "benchmark": "settlement",
        "assets": assets,
        "slots": SLOTS,
        "readings": readings,
        "ledger_entries": LedgerEntry.objects.count(),
        "wall_s": round(first_wall_s, 3),
        "cpu_s": round(first_cpu_s, 3),
        "again_wall_s": round(again_wall_s, 3),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "payment": str(first.payment),
    }


def timed(action: Any) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def make_fleet(count: int) -> list[int]:
    from fleet.models import (
        Asset,
        AssetKind,
        Charger,
        ChargingSession,
        Evse,
        Owner,
        Site,
        Vehicle,
        VehicleModel,
    )
    from fleet.operations.assets import register_default_place
    from grid.operations.programmes import register_shipped_programmes

    register_default_place()
    register_shipped_programmes(region_code="default", now=NOW)
    site = Site.objects.get()
    numbers = range(count)
    model = VehicleModel.objects.create(
        make="Any", name="Car", battery_capacity_kwh=60, max_charge_kw=11, max_discharge_kw=11
    )
    owners = Owner.objects.bulk_create([Owner(identity=f"OWN-{n:06d}", name="Owner") for n in numbers])
    vehicles = Vehicle.objects.bulk_create(
        [
            Vehicle(identity=f"EV-{n:06d}", label="Car", owner=owners[n], model=model, battery_capacity_kwh=60)
            for n in numbers
        ]
    )
    assets = Asset.objects.bulk_create(
        [Asset(identity=f"CP-{n:06d}/1", kind=AssetKind.EVSE, site=site) for n in numbers]
    )
    chargers = Charger.objects.bulk_create(
        [Charger(identity=f"CP-{n:06d}", site=site, protocol="ocpp2.1", password_hash="none") for n in numbers]
    )
    evses = Evse.objects.bulk_create(
        [Evse(asset=assets[n], charger=chargers[n], number=1, max_charge_kw=11, max_discharge_kw=11) for n in numbers]
    )
    ChargingSession.objects.bulk_create(
        [
            ChargingSession(
                charger=chargers[n],
                evse=evses[n],
                vehicle=vehicles[n],
                transaction_id=f"T-{n}",
                started_at=NOW - timedelta(hours=8),
            )
            for n in numbers
        ]
    )
    return [asset.pk for asset in assets]


def make_readings(asset_ids: list[int]) -> int:
    from fleet.operations.telemetry import MeterReading, record_readings

    first = START - timedelta(minutes=30)
    count = int((SLOTS * SLOT_S + 3600) / READING_EVERY_S) + 1
    stored = 0
    for begin in range(0, len(asset_ids), 500):
        batch = []
        for asset_id in asset_ids[begin : begin + 500]:
            import_kwh, export_kwh = 1000.0, 200.0
            for number in range(count):
                at = first + timedelta(seconds=number * READING_EVERY_S)
                power_kw = BEFORE_KW if at < START else DURING_KW
                batch.append(MeterReading(asset_id, at, power_kw, import_kwh, export_kwh))
                energy_kwh = power_kw * READING_EVERY_S / 3600
                import_kwh += max(energy_kwh, 0.0)
                export_kwh += max(-energy_kwh, 0.0)
        stored += record_readings(readings=batch, now=first + timedelta(hours=6)).stored
    return stored


def make_event(asset_ids: list[int]) -> int:
    from grid.operations.events import mark_planned, record_event

    target_kw = min(100_000.0, len(asset_ids) * (BEFORE_KW - DURING_KW))
    event = record_event(
        requested_by="grid-co",
        idempotency_key="benchmark",
        programme_code="utility-dr",
        direction="reduce",
        target_kw=float(Decimal(str(target_kw))),
        starts_at=START,
        ends_at=START + timedelta(seconds=SLOTS * SLOT_S),
        now=NOW,
    ).event
    mark_planned(event_id=event.event_id, participants=asset_ids, baseline_kw=None, now=NOW)
    return event.event_id


if __name__ == "__main__":
    main()
