"""Contracts of use: what owners allow is planned for, kept between plans, counted from the meters, and listed."""

from __future__ import annotations

from datetime import time, timedelta

import numpy as np
import pytest

from aggregator.models import Plan
from aggregator.operations.plans import plan_event, plan_region
from fleet.models import Asset, ChargingSession, Pack, Region, Site, UseContract, Vehicle
from fleet.operations.contracts import LimitImpossible, UseLimits, agree_use_limits
from fleet.operations.goals import VehicleNotFound
from fleet.operations.telemetry import MeterReading, record_readings
from fleet.queries.assets import fleet_snapshot
from fleet.queries.contracts import within_contracts
from grid.models import PricePoint
from grid.operations.events import mark_planned, record_event
from tests.integration.aggregator.parked_fleet import NOW, park_fleet
from tests.integration.aggregator.test_plans import ask

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def region(transactional_db: None) -> Region:
    region = park_fleet(hub=False)
    PricePoint.objects.filter(starts_at__lt=NOW + timedelta(hours=3)).update(price_per_kwh="0.90")
    ChargingSession.objects.update(departure_at=NOW + timedelta(hours=20), floor_soc_fraction=0.1)
    return region


def two_way() -> list[ChargingSession]:
    rows = ChargingSession.objects.filter(bidirectional=True, evse__max_discharge_kw__gt=0, vehicle__v2g_capable=True)
    return list(rows.select_related("vehicle", "evse").order_by("pk"))


def agree(session: ChargingSession, **limits) -> None:
    vehicle = session.vehicle
    agree_use_limits(
        owner_id=vehicle.owner_id, vehicle_id=vehicle.pk, limits=UseLimits(**limits), now=NOW - timedelta(days=20)
    )


def discharged_kwh(plan: Plan, session: ChargingSession, *, until_h: float = 1e9) -> float:
    row = plan.schedules.get(asset_id=session.evse.asset_id)
    begins = np.concatenate([[0.0], np.cumsum(plan.step_h)[:-1]])
    return float((np.maximum(-np.array(row.power_kw), 0.0) * np.array(plan.step_h))[begins < until_h].sum())


def planned(region: Region) -> Plan:
    return Plan.objects.get(pk=plan_region(region_id=region.pk, trigger="owner", now=NOW).plan_id)


def test_a_days_energy_is_not_exceeded_and_the_plan_says_that_it_binds(region: Region) -> None:
    free = planned(region)
    session = max(two_way(), key=lambda one: discharged_kwh(free, one))
    assert discharged_kwh(free, session) > 6.0
    Plan.objects.all().delete()
    agree(session, max_discharge_kwh_per_day=5.0)
    plan = planned(region)
    local_day_h = 6.0  # 18:00 in Amsterdam: six hours are left of the day
    assert 4.5 < discharged_kwh(plan, session, until_h=local_day_h) <= 5.01
    assert {"asset_id": session.evse.asset_id, "limit": "energy"}.items() <= plan.contracts[0].items()
    assert len(plan.contracts) == 1


def test_what_the_meter_counted_today_is_used_up(region: Region) -> None:
    session = two_way()[0]
    agree(session, max_discharge_kwh_per_day=5.0, max_discharge_kwh_per_month=100.0)
    asset_id = session.evse.asset_id
    record_readings(
        readings=[
            MeterReading(asset_id, NOW - timedelta(minutes=20), 0.0, 90.0, 0.0, None, None),
            MeterReading(asset_id, NOW + timedelta(seconds=1), 0.0, 100.0, 3.5, None, None),
        ],
        now=NOW + timedelta(seconds=1),
    )
    later = NOW + timedelta(seconds=2)
    allowance = {a.asset_id: a.allowance for a in fleet_snapshot(region_id=region.pk, now=later).assets}[asset_id]
    assert allowance.left_today_kwh == pytest.approx(1.5) and allowance.left_this_month_kwh == pytest.approx(96.5)
    record_readings(
        readings=[MeterReading(asset_id, NOW + timedelta(seconds=3), 0.0, 100.0, 9.0, None, None)],
        now=NOW + timedelta(seconds=3),
    )
    spent = fleet_snapshot(region_id=region.pk, now=NOW + timedelta(seconds=4))
    acting = within_contracts(spent, NOW + timedelta(seconds=4))
    assert {a.asset_id: a.discharge_kw for a in acting.assets}[asset_id] == 0.0
    assert {a.asset_id: a.discharge_kw for a in spent.assets}[asset_id] > 0.0


def test_outside_the_allowed_hours_nothing_is_discharged(region: Region) -> None:
    session = max(two_way(), key=lambda one: discharged_kwh(planned(region), one))
    Plan.objects.all().delete()
    agree(session, discharge_from=time(22), discharge_until=time(6))
    plan = planned(region)
    assert discharged_kwh(plan, session, until_h=4.0) == pytest.approx(0.0, abs=1e-6)  # 18:00 to 22:00 in Amsterdam
    acting = within_contracts(fleet_snapshot(region_id=region.pk, now=NOW), NOW)
    assert {a.asset_id: a.discharge_kw for a in acting.assets}[session.evse.asset_id] == 0.0


def test_who_has_served_its_events_takes_part_in_no_further_one(region: Region) -> None:
    session = two_way()[0]
    ChargingSession.objects.filter(pk=session.pk).update(started_at=NOW - timedelta(days=3))
    agree(session, max_events_per_month=1)
    past = record_event(
        requested_by="grid-operator",
        idempotency_key="past",
        programme_code="fast-response",
        direction="reduce",
        target_kw=20.0,
        starts_at=NOW - timedelta(days=1),
        ends_at=NOW - timedelta(days=1) + timedelta(minutes=1),
        now=NOW - timedelta(days=1, minutes=5),
    ).event
    view = ask(50.0)
    first = Plan.objects.get(pk=plan_event(event_id=view.event_id, now=NOW).plan_id)
    assert session.evse.asset_id in participants(view.event_id) and first.contracts == []
    mark_planned(
        event_id=past.event_id,
        participants=[session.evse.asset_id],
        baseline_kw=10.0,
        now=NOW - timedelta(days=1, minutes=2),
    )
    second = Plan.objects.get(pk=plan_event(event_id=view.event_id, now=NOW + timedelta(seconds=1)).plan_id)
    assert session.evse.asset_id not in participants(view.event_id)
    assert [(one["asset_id"], one["limit"]) for one in second.contracts] == [(session.evse.asset_id, "events")]


def participants(event_id: int) -> tuple[int, ...]:
    from grid.queries import event

    return event(event_id).participants


def test_the_packs_of_a_site_share_what_its_owner_allows(transactional_db: None) -> None:
    region = park_fleet(vehicles=2)
    hub = Site.objects.get(kind="hub")
    owner = Vehicle.objects.first().owner
    UseContract.objects.create(owner=owner, site=hub, valid_from=NOW, max_discharge_kwh_per_day=74.0)
    packs = Pack.objects.filter(asset__site=hub).count()
    left = [a.allowance for a in fleet_snapshot(region_id=region.pk, now=NOW).assets if a.kind == "pack"]
    assert len(left) == packs
    assert sum(one.left_today_kwh for one in left) == pytest.approx(74.0)


def test_new_limits_end_the_old_ones_and_nothing_is_forgotten(region: Region) -> None:
    vehicle = two_way()[0].vehicle
    owner = {"owner_id": vehicle.owner_id, "vehicle_id": vehicle.pk}
    five = UseLimits(max_discharge_kwh_per_day=5.0)
    assert agree_use_limits(**owner, limits=five, now=NOW)
    assert not agree_use_limits(**owner, limits=five, now=NOW + timedelta(hours=1))
    assert agree_use_limits(**owner, limits=UseLimits(max_events_per_month=3), now=NOW + timedelta(days=1))
    assert agree_use_limits(**owner, limits=UseLimits(), now=NOW + timedelta(days=2))
    rows = UseContract.objects.filter(vehicle=vehicle).order_by("valid_from")
    assert [(row.max_discharge_kwh_per_day, row.max_events_per_month) for row in rows] == [(5.0, None), (None, 3)]
    assert all(row.valid_until is not None for row in rows)
    for limits, field in (
        (UseLimits(max_discharge_kwh_per_day=-1.0), "max_discharge_kwh_per_day"),
        (UseLimits(discharge_from=time(8)), "discharge_until"),
    ):
        with pytest.raises(LimitImpossible) as refused:
            agree_use_limits(**owner, limits=limits, now=NOW)
        assert refused.value.field == field
    with pytest.raises(VehicleNotFound):
        agree_use_limits(owner_id=vehicle.owner_id + 1000, vehicle_id=vehicle.pk, limits=five, now=NOW)


def test_contracts_are_read_in_as_many_statements_for_one_as_for_all(region: Region, django_assert_num_queries) -> None:
    sessions = two_way()
    agree(sessions[0], max_discharge_kwh_per_day=5.0)
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as one:
        fleet_snapshot(region_id=region.pk, now=NOW)
    for session in sessions[1:]:
        agree(session, max_discharge_kwh_per_day=5.0)
    with django_assert_num_queries(len(one)):
        fleet_snapshot(region_id=region.pk, now=NOW)
    assert Asset.objects.exists()
