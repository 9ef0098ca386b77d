"""Readings: stored once each, flagged or refused where they are wrong, and shown as the latest state."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from common.errors import InvalidInput
from fleet.core.metering import POWER_BEYOND_LIMITS, REGISTER_WENT_BACK
from fleet.models import ChargingSession, Pack, Reading
from fleet.operations.telemetry import MeterReading, record_readings
from fleet.queries import state
from fleet.queries.state import latest_states, metered_energy, redis_client
from tests.integration.fleet.fleets import forget_readings, make_charger, make_inverter, make_pack, make_vehicle

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def pack(db: None) -> Pack:
    forget_readings()
    return make_pack(make_inverter())


def seconds(offset_s: float) -> datetime:
    return NOW + timedelta(seconds=offset_s)


def test_a_batch_sent_twice_is_stored_once(pack: Pack) -> None:
    batch = [MeterReading(pack.asset_id, seconds(-i), power_kw=5.0, import_kwh=100 - i) for i in range(10)]
    first = record_readings(readings=batch, now=NOW)
    again = record_readings(readings=[*batch, MeterReading(pack.asset_id, seconds(1), power_kw=6.0)], now=NOW)
    assert (first.stored, first.duplicates) == (10, 0)
    assert (again.stored, again.duplicates) == (1, 10)
    assert Reading.objects.filter(asset_id=pack.asset_id).count() == 11


def test_a_reading_twice_in_one_batch_counts_as_duplicate(pack: Pack) -> None:
    reading = MeterReading(pack.asset_id, NOW, power_kw=5.0)
    outcome = record_readings(readings=[reading, reading], now=NOW)
    assert (outcome.stored, outcome.duplicates) == (1, 1)


def test_two_writers_of_the_same_batch_at_once_neither_fail_nor_double(pack: Pack) -> None:
    batch = [MeterReading(pack.asset_id, seconds(-i), power_kw=5.0) for i in range(500)]
    outcomes = []

    def store(readings: list[MeterReading]) -> None:
        outcomes.append(record_readings(readings=readings, now=NOW))
        connection.close()

    threads = [threading.Thread(target=store, args=(part,)) for part in (batch, batch[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcome.stored for outcome in outcomes) == 500
    assert sum(outcome.duplicates for outcome in outcomes) == 500


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"asset_id": 999_999_999}, "asset_id"),
        ({"measured_at": NOW + timedelta(seconds=61)}, "measured_at"),
        ({"measured_at": NOW - timedelta(days=4000)}, "measured_at"),
        ({"measured_at": NOW.replace(tzinfo=None)}, "measured_at"),
        ({"power_kw": float("nan")}, "power_kw"),
        ({"import_kwh": float("inf")}, "import_kwh"),
        ({"soc_fraction": 80.0}, "soc_fraction"),
        ({"power_kw": None}, "power_kw"),
    ],
)
def test_what_cannot_be_true_is_refused_by_field_and_the_rest_is_stored(pack: Pack, change: dict, field: str) -> None:
    sound = MeterReading(pack.asset_id, seconds(-1), power_kw=1.0)
    wrong = MeterReading(**({"asset_id": pack.asset_id, "measured_at": NOW, "power_kw": 1.0} | change))
    outcome = record_readings(readings=[wrong, sound], now=NOW)
    assert outcome.stored == 1
    assert [refused.reading for refused in outcome.refused] == [wrong]
    assert outcome.refused[0].reason.startswith(field + ":")


def test_a_register_that_goes_back_is_kept_and_flagged_within_and_across_batches(pack: Pack) -> None:
    def read(offset_s: float, import_kwh: float) -> MeterReading:
        return MeterReading(pack.asset_id, seconds(offset_s), import_kwh=import_kwh)

    record_readings(readings=[read(0, 100), read(1, 40), read(2, 101)], now=NOW)
    record_readings(readings=[read(3, 39), read(4, 102)], now=NOW)
    flags = list(Reading.objects.order_by("measured_at").values_list("flags", flat=True))
    assert flags == [0, REGISTER_WENT_BACK, 0, REGISTER_WENT_BACK, 0]


def test_an_exchanged_meter_is_flagged_once_and_its_energy_comes_from_power(pack: Pack) -> None:
    registers = [100 + i / 360 for i in range(8)] + [i / 360 for i in range(8)]
    readings = [
        MeterReading(pack.asset_id, seconds(i), power_kw=10.0, import_kwh=register, export_kwh=0.0)
        for i, register in enumerate(registers)
    ]
    record_readings(readings=readings, now=seconds(20))
    flags = list(Reading.objects.order_by("measured_at").values_list("flags", flat=True))
    assert [index for index, flag in enumerate(flags) if flag] == [8]
    energy = metered_energy(asset_ids=[pack.asset_id], starts_at=NOW, ends_at=seconds(15), slot_s=5)
    assert energy.complete.all()
    assert energy.net_kwh[0] == pytest.approx([10 * 5 / 3600] * 3)


def test_power_beyond_the_asset_is_kept_and_flagged(pack: Pack) -> None:
    powers = [20.0, 22.4, 22.6, -20.0, -60.0]
    record_readings(
        readings=[MeterReading(pack.asset_id, seconds(i), power_kw=p) for i, p in enumerate(powers)], now=NOW
    )
    flags = list(Reading.objects.order_by("measured_at").values_list("flags", flat=True))
    assert flags == [0, 0, POWER_BEYOND_LIMITS, 0, POWER_BEYOND_LIMITS]


def test_the_newest_measurement_of_every_field_wins_in_whatever_order_readings_come(pack: Pack) -> None:
    asset_id = pack.asset_id
    record_readings(readings=[MeterReading(asset_id, seconds(10), power_kw=3.0)], now=NOW)
    record_readings(readings=[MeterReading(asset_id, seconds(5), power_kw=-9.0, soc_fraction=0.6)], now=NOW)
    shown = latest_states([asset_id])[asset_id]
    assert (shown.measured_at, shown.power_kw, shown.soc_fraction) == (seconds(10), 3.0, 0.6)
    record_readings(readings=[MeterReading(asset_id, seconds(10) + state.FIELD_MEMORY, power_kw=4.0)], now=seconds(200))
    assert latest_states([asset_id])[asset_id].soc_fraction is None


def test_an_empty_redis_falls_back_to_the_readings(pack: Pack) -> None:
    now = datetime.now(UTC)
    record_readings(
        readings=[MeterReading(pack.asset_id, now - timedelta(seconds=i), power_kw=7.0 - i) for i in range(3)], now=now
    )
    redis_client().flushdb()
    assert latest_states([pack.asset_id, 999_999_999])[pack.asset_id].power_kw == 7.0


def test_readings_are_stored_while_redis_is_away(
    pack: Pack, settings: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    redis_client.cache_clear()
    try:
        now = datetime.now(UTC)
        assert record_readings(readings=[MeterReading(pack.asset_id, now, power_kw=2.0)], now=now).stored == 1
        assert latest_states([pack.asset_id])[pack.asset_id].power_kw == 2.0
    finally:
        redis_client.cache_clear()
    assert "are not shown" in caplog.text


def test_rows_of_packs_and_of_the_car_at_an_evse_follow(pack: Pack) -> None:
    evse, vehicle = make_charger(), make_vehicle()
    ChargingSession.objects.create(
        charger=evse.charger, evse=evse, vehicle=vehicle, transaction_id="1", started_at=seconds(-60)
    )
    readings = [
        MeterReading(pack.asset_id, NOW, soc_fraction=0.41, temperature_c=29.0),
        MeterReading(evse.asset_id, NOW, soc_fraction=0.77),
    ]
    record_readings(readings=readings, now=NOW)
    pack.refresh_from_db()
    vehicle.refresh_from_db()
    assert (pack.soc_fraction, pack.soc_measured_at, pack.temperature_c) == (0.41, NOW, 29.0)
    assert (vehicle.soc_fraction, vehicle.soc_measured_at) == (0.77, NOW)
    pack.asset.refresh_from_db()
    assert pack.asset.last_seen_at == NOW


def test_energy_comes_from_registers_leaves_flagged_readings_out_and_is_repeatable(pack: Pack) -> None:
    readings = [
        MeterReading(
            pack.asset_id, seconds(2 * i), power_kw=-18.0, import_kwh=50.0, export_kwh=10 + 18.0 * 2 * i / 3600
        )
        for i in range(40)
    ]
    readings.append(MeterReading(pack.asset_id, seconds(31), power_kw=900.0, import_kwh=50.0, export_kwh=3.0))
    record_readings(readings=readings, now=seconds(80))
    energy = metered_energy(asset_ids=[999, pack.asset_id], starts_at=NOW, ends_at=seconds(75), slot_s=15)
    assert energy.net_kwh.shape == (2, 5)
    assert energy.complete.tolist() == [[False] * 5, [True] * 5]
    assert energy.net_kwh[1] == pytest.approx([-0.075] * 5)
    again = metered_energy(asset_ids=[999, pack.asset_id], starts_at=NOW, ends_at=seconds(75), slot_s=15)
    assert again.evidence_sha256 == energy.evidence_sha256
    record_readings(readings=[MeterReading(pack.asset_id, seconds(33), power_kw=-1.0)], now=seconds(80))
    later = metered_energy(asset_ids=[999, pack.asset_id], starts_at=NOW, ends_at=seconds(75), slot_s=15)
    assert later.evidence_sha256 != energy.evidence_sha256


def test_an_empty_interval_is_an_error_that_names_the_field(pack: Pack) -> None:
    with pytest.raises(InvalidInput, match="ends_at"):
        metered_energy(asset_ids=[pack.asset_id], starts_at=NOW, ends_at=NOW, slot_s=15)
