"""Partitions: made ahead, filled with what came too early for them, dropped when old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from fleet.models import Pack, Reading
from fleet.operations.retention import MESSAGES, drop_old_partitions, ensure_partitions
from fleet.operations.telemetry import MeterReading, record_readings
from tests.integration.fleet.fleets import make_inverter, make_pack

# a year of its own, so that nothing here meets the days of other tests
NOW = datetime(2031, 5, 10, 12, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def pack(db: None) -> Pack:
    return make_pack(make_inverter())


def partition_of(asset_id: int) -> dict[datetime, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT measured_at, tableoid::regclass::text FROM fleet_reading WHERE asset_id = %s", [asset_id]
        )
        return dict(cursor.fetchall())


def read(pack: Pack, at: datetime) -> MeterReading:
    return MeterReading(pack.asset_id, at, power_kw=1.0)


def test_days_are_made_once_and_take_over_what_came_before_them(pack: Pack) -> None:
    record_readings(readings=[read(pack, NOW)], now=NOW)
    assert set(partition_of(pack.asset_id).values()) == {"fleet_reading_default"}
    made = ensure_partitions(now=NOW, days_ahead=2)
    assert len(made) == 8  # yesterday to the day after tomorrow, of two tables
    assert ensure_partitions(now=NOW, days_ahead=2) == []
    record_readings(readings=[read(pack, NOW + timedelta(days=1)), read(pack, NOW)], now=NOW + timedelta(days=1))
    assert partition_of(pack.asset_id) == {
        NOW: "fleet_reading_20310510",
        NOW + timedelta(days=1): "fleet_reading_20310511",
    }


def test_old_days_go_with_their_rows_and_newer_ones_stay(pack: Pack) -> None:
    ensure_partitions(now=NOW, days_ahead=0)
    forgotten = NOW - timedelta(days=40)
    record_readings(readings=[read(pack, NOW), read(pack, forgotten)], now=NOW)
    assert drop_old_partitions(now=NOW + timedelta(days=30), keep_days=30) == [
        "fleet_reading_20310509",
        "fleet_device_message_20310509",
    ]
    assert list(Reading.objects.filter(asset_id=pack.asset_id).values_list("measured_at", flat=True)) == [NOW]


def test_the_trace_may_be_kept_for_less_long_than_readings(pack: Pack) -> None:
    ensure_partitions(now=NOW, days_ahead=0)
    dropped = drop_old_partitions(now=NOW + timedelta(days=30), keep_days=10, tables=[MESSAGES])
    assert dropped == ["fleet_device_message_20310509", "fleet_device_message_20310510"]
    record_readings(readings=[read(pack, NOW)], now=NOW)
    assert partition_of(pack.asset_id) == {NOW: "fleet_reading_20310510"}


def test_nothing_is_dropped_by_a_retention_of_no_days(pack: Pack) -> None:
    with pytest.raises(ValueError, match="keep_days"):
        drop_old_partitions(now=NOW, keep_days=0)


def test_the_command_makes_the_days_of_now(pack: Pack) -> None:
    call_command("upkeep_partitions")
    now = datetime.now(UTC)
    record_readings(readings=[read(pack, now)], now=now)
    assert partition_of(pack.asset_id)[now] == f"fleet_reading_{now:%Y%m%d}"
