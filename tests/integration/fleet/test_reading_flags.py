"""Meters that go back, jump, or stand in a wrong clock: what they say is kept, marked, and paid for by nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleet.core.metering import CLOCK_UNSURE, POWER_BEYOND_LIMITS, REGISTER_JUMPED, REGISTER_WENT_BACK
from fleet.models import Reading
from fleet.operations.telemetry import MeterReading, record_readings
from fleet.queries.state import metered_energy
from tests.integration.fleet.fleets import forget_readings, make_charger, make_inverter, make_meter, make_pack

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["evse", "pack", "meter"])
def asset_id(request: pytest.FixtureRequest, db: None) -> int:
    """One asset of every kind: a spike is a spike whatever told it."""
    forget_readings()
    if request.param == "evse":
        return make_charger().asset_id
    if request.param == "pack":
        return make_pack(make_inverter()).asset_id
    return make_meter(port=1502).asset_id


def record(asset_id: int, import_kwh: list[float], *, power_kw: float = 6.0, batches: bool = True) -> list[int]:
    """One reading a minute; returns their flags. `batches`: each in a batch of its own."""
    readings = [MeterReading(asset_id, NOW + timedelta(minutes=i), power_kw, kwh) for i, kwh in enumerate(import_kwh)]
    for group in [[reading] for reading in readings] if batches else [readings]:
        assert record_readings(readings=group, now=NOW + timedelta(hours=1)).stored == len(group)
    rows = Reading.objects.filter(asset_id=asset_id).order_by("measured_at")
    assert [row.import_kwh for row in rows] == import_kwh  # kept as they came
    return [row.flags for row in rows]


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize(
    ("import_kwh", "flags"),
    [
        ([100.0, 100.1, 100.2, 100.3, 100.4], [0, 0, 0, 0, 0]),
        ([100.0, 100.1, 99_000.0, 100.3, 100.4], [0, 0, REGISTER_JUMPED, 0, 0]),  # a spike
        ([100.0, 100.1, 0.0, 100.3, 100.4], [0, 0, REGISTER_WENT_BACK, 0, 0]),  # a drop
        ([100.0, 100.1, 3.0, 3.1, 3.2], [0, 0, REGISTER_WENT_BACK, 0, 0]),  # another meter
        ([100.0, 100.1, 70_000.0, 70_000.1, 70_000.2], [0, 0, REGISTER_JUMPED, 0, 0]),  # another meter
    ],
)
def test_rollbacks_and_spikes_are_kept_and_marked_once(
    asset_id: int, import_kwh: list[float], flags: list[int], batches: bool
) -> None:
    assert record(asset_id, import_kwh, batches=batches) == flags


@pytest.mark.parametrize("third", [99_000.0, 0.0])
def test_a_spike_changes_no_energy(asset_id: int, third: float) -> None:
    record(asset_id, [100.0, 100.1, third, 100.3, 100.4])
    energy = metered_energy(asset_ids=[asset_id], starts_at=NOW, ends_at=NOW + timedelta(minutes=4), slot_s=120)
    assert energy.complete.all()
    assert energy.net_kwh[0] == pytest.approx([0.2, 0.2], abs=1e-6)


@pytest.mark.parametrize("first_of_new", [3.0, 70_000.0])
def test_an_exchanged_meter_is_never_energy(asset_id: int, first_of_new: float) -> None:
    """Where the registers say nothing, the power does: 6 kW for a minute is 0.1 kWh."""
    new = [first_of_new + i / 10 for i in range(3)]
    record(asset_id, [100.0, 100.1, *new])
    energy = metered_energy(asset_ids=[asset_id], starts_at=NOW, ends_at=NOW + timedelta(minutes=4), slot_s=240)
    assert energy.net_kwh[0] == pytest.approx([0.4], abs=1e-6)


def test_a_power_that_cannot_be_is_marked(asset_id: int) -> None:
    assert record(asset_id, [100.0, 100.1], power_kw=90_000.0) == [POWER_BEYOND_LIMITS] * 2


def test_a_doubtful_clock_is_marked_and_not_used(asset_id: int) -> None:
    readings = [
        MeterReading(asset_id, NOW + timedelta(minutes=i), 6.0, 100 + i / 10, clock_unsure=True) for i in range(3)
    ]
    record_readings(readings=readings, now=NOW + timedelta(hours=1))
    assert set(Reading.objects.values_list("flags", flat=True)) == {CLOCK_UNSURE}
    energy = metered_energy(asset_ids=[asset_id], starts_at=NOW, ends_at=NOW + timedelta(minutes=2), slot_s=60)
    assert not energy.complete.any()
