"""A used pack's way: taken in by the rules of the day, tested within safe limits, its health kept from what it did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from common.errors import InvalidInput
from fleet.core.pack_intake import PackInspection
from fleet.models import (
    Asset,
    CapacityTest,
    CapacityTestState,
    Consent,
    DeviceCommand,
    Owner,
    Pack,
    PackHealthRecord,
    PackIntake,
    PackIntakeRule,
    Site,
)
from fleet.operations.assets import AlreadyRegistered, PackSpecification, intake_pack
from fleet.operations.capacity_tests import (
    TestNotPossible,
    cancel_capacity_test,
    finish_capacity_tests,
    record_health_from_use,
    start_capacity_test,
)
from fleet.operations.pack_conditions import ReportedCondition, record_pack_conditions
from fleet.operations.telemetry import MeterReading, record_readings
from fleet.queries.assets import fleet_snapshot
from fleet.twin.pack import PackBank
from fleet.twin.world import WorldPack
from tests.integration.fleet.fleets import forget_readings, make_inverter, make_pack

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
INSPECTION = PackInspection(24, 19.2, date(2016, 5, 1), 0.03, 1.4, 2000, False)


@pytest.fixture
def packs(db: None) -> list[Pack]:
    forget_readings()
    inverter = make_inverter()
    packs = [make_pack(inverter, number=i + 1, device_id=i + 2) for i in range(4)]
    Pack.objects.update(soc_fraction=0.6, soc_measured_at=NOW, charge_efficiency=0.94, discharge_efficiency=0.94)
    Asset.objects.update(connected=True)
    return packs


def take_in(identity: str, inspection: PackInspection, **change: Any) -> Any:
    arguments: dict[str, Any] = {
        "identity": identity,
        "inverter_identity": "INV-1",
        "device_id": 40,
        "inspection": inspection,
        "specification": PackSpecification(origin="hatchback 2016", serial_number="SN-9"),
        "inspected_by": "bench 2",
        "now": NOW,
    }
    return intake_pack(**{**arguments, **change})


def test_a_pack_is_taken_with_the_health_that_was_tested(packs: list[Pack]) -> None:
    outcome = take_in("PACK-100", INSPECTION)
    pack = Pack.objects.get(asset__identity="PACK-100")
    assert (outcome.grade.verdict, pack.max_charge_kw) == ("accept", 20.0)
    assert pack.state_of_health_fraction == pytest.approx(0.8)
    assert (pack.intake.verdict, pack.history.get().note) == ("accept", "intake: accept")


def test_a_weak_pack_is_taken_with_less_power_and_a_sick_one_is_kept_as_refused(packs: list[Pack]) -> None:
    take_in("PACK-101", replace(INSPECTION, tested_kwh=16.0))
    assert Pack.objects.get(asset__identity="PACK-101").max_discharge_kw == pytest.approx(12.0)
    refused = take_in("PACK-102", replace(INSPECTION, insulation_ohm_per_v=100.0), device_id=41)
    assert refused.pack is None
    assert not Asset.objects.filter(identity="PACK-102").exists()
    row = PackIntake.objects.get(identity="PACK-102")
    assert [reason["finding"] for reason in row.reasons] == ["insulation_ohm_per_v"]
    take_in("PACK-102", INSPECTION, device_id=41)  # repaired, it comes again
    assert PackIntake.objects.filter(identity="PACK-102").count() == 2


def test_the_rule_of_the_day_decides(packs: list[Pack]) -> None:
    take_in("PACK-103", INSPECTION)
    shipped = PackIntakeRule.objects.get()
    tomorrow = PackIntakeRule.objects.get(pk=shipped.pk)
    tomorrow.pk, tomorrow.valid_from = None, date(2026, 11, 25)
    tomorrow.refuse_below_health = tomorrow.derate_below_health = 0.9
    tomorrow.save()
    assert take_in("PACK-104", INSPECTION, device_id=41).grade.verdict == "accept"
    later = take_in("PACK-105", INSPECTION, device_id=42, now=NOW + timedelta(days=1))
    assert (later.grade.verdict, later.rule_from) == ("refuse", date(2026, 11, 25))


@pytest.mark.parametrize(
    ("inspection", "field"),
    [
        (replace(INSPECTION, tested_kwh=240.0), "tested_kwh"),
        (replace(INSPECTION, nameplate_kwh=0.0), "nameplate_kwh"),
        (replace(INSPECTION, cell_spread_v=float("nan")), "cell_spread_v"),
        (replace(INSPECTION, manufactured_on=date(2027, 1, 1)), "manufactured_on"),
    ],
)
def test_impossible_figures_are_named(packs: list[Pack], inspection: PackInspection, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        take_in("PACK-106", inspection)
    assert caught.value.field == field
    assert not PackIntake.objects.exists()


def test_a_taken_identity_leaves_nothing_behind(packs: list[Pack]) -> None:
    with pytest.raises(AlreadyRegistered):
        take_in("PACK-001", INSPECTION)
    assert not PackIntake.objects.exists()


def play(pack: Pack, *, true_health: float, test: CapacityTest, powers: list[tuple[float, float]]) -> None:
    """What a real pack of that health does when it is told so: its readings every 30 s, with meter noise."""
    world = WorldPack(pack.asset.identity, 2, 24.0, 20.0, 20.0, state_of_health_fraction=true_health, soc_fraction=0.6)
    bank = PackBank([world], now_s=0.0)
    bank.temperature_c[:] = 25.0
    readings, now_s = [], 0.0
    for power_kw, seconds in powers:
        bank.control(0, power_kw=power_kw, fail_safe_kw=0.0, reverts_at_s=np.inf, now_s=now_s)
        for _ in range(round(seconds / 30)):
            now_s += 30.0
            bank.beat(0, now_s=now_s)
            bank.advance(now_s)
            readings.append(
                MeterReading(
                    pack.asset_id,
                    test.starts_at + timedelta(seconds=now_s),
                    float(bank.shown_power_kw[0]),
                    float(bank.import_kwh[0]),
                    float(bank.export_kwh[0]),
                    float(bank.soc_fraction[0]),
                    25.0,
                )
            )
    outcome = record_readings(readings=readings, now=test.ends_at + timedelta(minutes=1))
    assert outcome.stored == len(readings), outcome.refused[:1]


def test_a_capacity_test_finds_what_the_pack_holds_and_no_plan_touches_it_meanwhile(packs: list[Pack]) -> None:
    pack = packs[0]
    started = start_capacity_test(pack_identity="PACK-001", now=NOW)
    command = DeviceCommand.objects.get(asset_id=pack.asset_id)
    assert command.power_kw == [6.0, 0.0, -6.0, 0.0, 6.0]
    assert command.valid_until == started.ends_at
    snapshot = fleet_snapshot(region_id=pack.asset.site.grid_node.region_id, now=NOW)
    reasons = {asset.asset_id: asset.left_out_because for asset in snapshot.assets}
    assert "testing" not in {reasons[other.asset_id] for other in packs[1:]}
    Consent.objects.create(
        owner=Owner.objects.create(identity="O", name="O"),
        site=pack.asset.site,
        service="flexibility",
        terms_version="1",
        granted_at=NOW,
    )
    snapshot = fleet_snapshot(region_id=pack.asset.site.grid_node.region_id, now=NOW)
    assert {asset.left_out_because for asset in snapshot.assets if asset.asset_id == pack.asset_id} == {"testing"}
    test = CapacityTest.objects.get()
    play(pack, true_health=0.72, test=test, powers=[(p.power_kw, p.seconds) for p in started.phases])
    assert finish_capacity_tests(now=test.ends_at + timedelta(minutes=1)) == 1
    test.refresh_from_db()
    pack.refresh_from_db()
    assert test.state == CapacityTestState.FINISHED, test.note
    assert test.capacity_kwh == pytest.approx(0.72 * 24, abs=2 * test.standard_error_kwh)
    assert pack.state_of_health_fraction == pytest.approx(0.72, abs=0.02)
    assert PackHealthRecord.objects.get(pack=pack).kind == "capacity_test"
    assert finish_capacity_tests(now=test.ends_at + timedelta(hours=1)) == 0


def test_a_test_without_readings_changes_nothing_and_says_why(packs: list[Pack]) -> None:
    start_capacity_test(pack_identity="PACK-001", now=NOW)
    test = CapacityTest.objects.get()
    finish_capacity_tests(now=test.ends_at)
    test.refresh_from_db()
    assert (test.state, test.note) == ("inconclusive", "no sweep of the charge is long enough and without a gap")
    assert Pack.objects.get(pk=packs[0].pk).state_of_health_fraction == 0.8


def test_a_test_begins_only_within_safe_limits(packs: list[Pack]) -> None:
    with pytest.raises(InvalidInput, match="more than the pack may do"):
        start_capacity_test(pack_identity="PACK-001", now=NOW, test_kw=50.0)
    Site.objects.update(emergency_reserve_kwh=40.0)  # three packs hold 0.6 * 0.8 * 24 * 3 = 34.6 kWh
    with pytest.raises(TestNotPossible, match="reserve"):
        start_capacity_test(pack_identity="PACK-001", now=NOW)
    Site.objects.update(emergency_reserve_kwh=0.0)
    Asset.objects.filter(identity="PACK-002").update(fault="isolated: temperature 60 °C")
    with pytest.raises(TestNotPossible, match="isolated"):
        start_capacity_test(pack_identity="PACK-002", now=NOW)
    for identity in ("PACK-001", "PACK-003"):
        start_capacity_test(pack_identity=identity, now=NOW)
    with pytest.raises(TestNotPossible, match="being tested already"):
        start_capacity_test(pack_identity="PACK-001", now=NOW)
    with pytest.raises(TestNotPossible, match="2 packs of the site"):
        start_capacity_test(pack_identity="PACK-004", now=NOW)


def test_a_test_is_called_off_by_a_person_and_by_a_sick_pack(packs: list[Pack]) -> None:
    for identity in ("PACK-001", "PACK-002"):
        start_capacity_test(pack_identity=identity, now=NOW)
    assert cancel_capacity_test(pack_identity="PACK-001", now=NOW)
    assert not cancel_capacity_test(pack_identity="PACK-001", now=NOW)
    hot = ReportedCondition(packs[1].asset_id, 65.0, 0.02)
    record_pack_conditions(conditions=[hot], now=NOW)
    assert {test.state for test in CapacityTest.objects.all()} == {"cancelled"}
    newest = DeviceCommand.objects.filter(asset_id=packs[1].asset_id).latest("sequence")
    assert newest.power_kw == [0.0]


def test_health_is_taken_from_ordinary_use_where_it_is_sure_and_news(packs: list[Pack]) -> None:
    pack, ends_at = packs[0], NOW + timedelta(hours=9)
    span = CapacityTest(starts_at=NOW, ends_at=ends_at)
    play(pack, true_health=0.7, test=span, powers=[(-6, 5400), (5, 6000), (-6, 5400), (5, 6000)])
    window = {"starts_at": NOW, "ends_at": ends_at, "now": ends_at}
    assert record_health_from_use(pack_id=pack.pk, **window)
    assert Pack.objects.get(pk=pack.pk).state_of_health_fraction == pytest.approx(0.7, abs=0.03)
    assert not record_health_from_use(pack_id=pack.pk, **window)  # the same is no news
    assert not record_health_from_use(pack_id=packs[1].pk, **window)
