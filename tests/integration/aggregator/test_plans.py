"""Planning a region from the database: what is decided, kept and queued."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from aggregator.models import Plan, PlannedSchedule
from aggregator.operations.plans import PlanOvertaken, plan_event, plan_region
from fleet.models import Asset, ChargingSession, Consent, DeviceCommand, Region, Site, VehicleGoal, VehicleModel
from fleet.queries.assets import fleet_snapshot
from grid.operations.events import record_event
from grid.queries import EventView, event
from tests.integration.aggregator.parked_fleet import NOW, park_fleet, report_power

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def region(transactional_db: None) -> Region:
    return park_fleet()


def ask(target_kw: float, *, direction: str = "reduce", notice_s: float = 30.0, length_s: float = 60.0) -> EventView:
    recorded = record_event(
        requested_by="grid-operator",
        idempotency_key=f"{direction}-{target_kw}",
        programme_code="fast-response",
        direction=direction,
        target_kw=target_kw,
        starts_at=NOW + timedelta(seconds=notice_s),
        ends_at=NOW + timedelta(seconds=notice_s + length_s),
        now=NOW,
    )
    return recorded.event


def event_power_kw(plan: Plan, view: EventView) -> list[float]:
    """Total planned power of the participants in each step of the event."""
    starts_s = np.concatenate([[0.0], np.cumsum(plan.step_h)[:-1]]) * 3600.0
    begins = (view.starts_at - plan.starts_at).total_seconds()
    ends = (view.ends_at - plan.starts_at).total_seconds()
    steps = np.flatnonzero((starts_s >= begins - 1e-3) & (starts_s < ends - 1e-3))
    total = sum(np.array(schedule.power_kw) for schedule in plan.schedules.all())
    return [float(total[step]) for step in steps]


def unmet_needs_kwh(plan: Plan) -> dict[int, float]:
    """Asset -> energy that its driver will be short of at departure."""
    return {miss["asset_id"]: miss["kwh"] for miss in plan.missed if miss["kind"] == "departure_need"}


def test_an_event_is_planned_to_its_target_with_a_proven_gap(region: Region) -> None:
    view = ask(600.0)
    outcome = plan_event(event_id=view.event_id, now=NOW)
    plan = Plan.objects.get(pk=outcome.plan_id)
    planned = event(view.event_id)
    assert planned.state == "planned"
    assert len(planned.participants) == outcome.assets == plan.asset_count == 24 + 148
    powers = event_power_kw(plan, planned)
    assert len(powers) == 4  # 60 s in slots of 15 s
    assert planned.baseline_kw is not None
    assert powers == pytest.approx([planned.baseline_kw - 600.0] * 4, abs=0.1)
    assert plan.gap <= 1e-6
    assert not [miss for miss in plan.missed if miss["kind"] == "event_target"]
    assert outcome.schedules_queued == DeviceCommand.objects.filter(state="queued", grid_event_id=view.event_id).count()


def test_bidirectional_cars_discharge_and_one_way_cars_never(region: Region) -> None:
    view = ask(1400.0)
    plan_event(event_id=view.event_id, now=NOW)
    one_way = set(Asset.objects.filter(kind="evse", evse__max_discharge_kw=0).values_list("pk", flat=True))
    least = {row.asset_id: min(row.power_kw) for row in PlannedSchedule.objects.all()}
    assert all(least[asset] >= 0.0 for asset in one_way)
    two_way = set(Asset.objects.filter(kind="evse", evse__max_discharge_kw__gt=0).values_list("pk", flat=True))
    assert min(least[asset] for asset in two_way) < -1.0


def test_what_cannot_be_delivered_is_listed_in_kw_kwh_and_money(region: Region) -> None:
    view = ask(9000.0)
    outcome = plan_event(event_id=view.event_id, now=NOW)
    missed = [miss for miss in Plan.objects.get(pk=outcome.plan_id).missed if miss["kind"] == "event_target"]
    assert len(missed) == 4
    for miss in missed:
        assert miss["event_id"] == view.event_id and miss["reason"]
        assert miss["kw"] > 1000.0
        assert miss["kwh"] == pytest.approx(miss["kw"] * 15 / 3600, rel=1e-6)
        assert miss["money"] == pytest.approx(miss["kwh"] * miss["price"], rel=1e-6)


def test_drivers_and_the_emergency_reserve_come_before_the_event(region: Region) -> None:
    hub = Site.objects.get(kind="hub")
    held_kwh = sum(a.energy_kwh for a in fleet_snapshot(region_id=region.pk, now=NOW).assets if a.kind == "pack")
    Site.objects.filter(pk=hub.pk).update(emergency_reserve_kwh=held_kwh - 5.0)
    quiet = Plan.objects.get(pk=plan_region(region_id=region.pk, trigger="schedule", now=NOW).plan_id)
    view = ask(2500.0, length_s=600.0)
    outcome = plan_event(event_id=view.event_id, now=NOW)
    plan = Plan.objects.get(pk=outcome.plan_id)
    packs = set(Asset.objects.filter(kind="pack").values_list("pk", flat=True))
    energy = sum(np.array(s.energy_kwh) for s in plan.schedules.all() if s.asset_id in packs)
    assert energy.min() >= held_kwh - 5.0 - 0.01
    assert not [miss for miss in plan.missed if miss["kind"] == "emergency_reserve"]
    assert unmet_needs_kwh(plan) == pytest.approx(unmet_needs_kwh(quiet))  # only what physics do not allow anyway
    assert [miss for miss in plan.missed if miss["kind"] == "event_target"]


def test_a_second_plan_from_the_same_facts_sends_nothing(region: Region) -> None:
    first = plan_region(region_id=region.pk, trigger="schedule", now=NOW)
    assert first.schedules_queued > 100
    second = plan_region(region_id=region.pk, trigger="schedule", now=NOW + timedelta(seconds=2))
    assert second.schedules_queued <= 0.05 * first.schedules_queued


def test_a_car_without_consent_is_left_alone_and_charges(region: Region) -> None:
    plan_region(region_id=region.pk, trigger="schedule", now=NOW)
    evse = Asset.objects.filter(kind="evse").first()
    assert evse is not None
    later = NOW + timedelta(seconds=5)
    Consent.objects.filter(vehicle__sessions__evse__asset=evse, service="flexibility").update(withdrawn_at=later)
    plan_region(region_id=region.pk, trigger="owner", now=later)
    newest = Plan.objects.first()
    assert newest is not None and not newest.schedules.filter(asset_id=evse.pk).exists()
    command = DeviceCommand.objects.filter(asset=evse).latest("sequence")
    assert command.power_kw == [pytest.approx(11.0, abs=5.0)] and command.power_kw[0] > 0


def test_a_car_below_its_floor_charges_at_once(region: Region) -> None:
    session = ChargingSession.objects.select_related("evse", "vehicle").first()
    assert session is not None
    ChargingSession.objects.filter(pk=session.pk).update(floor_soc_fraction=0.5, target_soc_fraction=0.8)
    report_power({session.evse.asset_id: 0.0}, at=NOW + timedelta(seconds=1), soc_fraction=0.3)
    plan_region(region_id=region.pk, trigger="owner", now=NOW + timedelta(seconds=2))
    command = DeviceCommand.objects.get(asset=session.evse.asset_id)
    assert command.power_kw[0] == pytest.approx(min(11.0, session.vehicle.model.max_charge_kw))


def test_charge_now_is_obeyed(region: Region) -> None:
    goal = VehicleGoal.objects.select_related("vehicle").first()
    assert goal is not None
    VehicleGoal.objects.filter(pk=goal.pk).update(charge_now_until=NOW + timedelta(hours=1))
    plan_region(region_id=region.pk, trigger="owner", now=NOW)
    command = DeviceCommand.objects.get(asset__evse__sessions__vehicle=goal.vehicle)
    assert len(command.power_kw) == 1 and command.power_kw[0] >= 4.0


def test_devices_that_are_lost_stale_or_faulty_take_no_part(region: Region) -> None:
    lost, faulty = Asset.objects.filter(kind="pack").order_by("pk")[:2]
    Asset.objects.filter(pk=lost.pk).update(connected=False)
    Asset.objects.filter(pk=faulty.pk).update(fault="isolation resistance low")
    reasons = {a.asset_id: a.left_out_because for a in fleet_snapshot(region_id=region.pk, now=NOW).assets}
    assert (reasons[lost.pk], reasons[faulty.pk]) == ("offline", "fault")
    much_later = fleet_snapshot(region_id=region.pk, now=NOW + timedelta(hours=1))
    assert {a.left_out_because for a in much_later.assets} == {"stale", "offline", "fault"}
    outcome = plan_region(region_id=region.pk, trigger="lost_device", now=NOW)
    assert outcome.assets == 24 + 148 - 2


def test_a_device_that_refuses_is_not_promised_until_it_accepts_again(region: Region) -> None:
    plan_region(region_id=region.pk, trigger="schedule", now=NOW)
    refused, accepted = DeviceCommand.objects.filter(asset__kind="pack").order_by("pk")[:2]
    for command, state in ((refused, "refused"), (accepted, "confirmed")):
        DeviceCommand.objects.filter(pk=command.pk).update(state=state, answered_at=NOW)

    def left_out(at: datetime) -> dict[int, str]:
        return {a.asset_id: a.left_out_because for a in fleet_snapshot(region_id=region.pk, now=at).assets}

    assert left_out(NOW)[refused.asset_id] == "refuses"
    assert left_out(NOW)[accepted.asset_id] == ""
    DeviceCommand.objects.create(
        asset_id=refused.asset_id,
        sequence=refused.sequence + 10_000,
        kind="set_power",
        starts_at=NOW,
        valid_until=NOW + timedelta(hours=1),
        state="confirmed",
        queued_at=NOW,
        answered_at=NOW,
    )
    assert left_out(NOW)[refused.asset_id] == ""


def test_participants_keep_their_power_while_their_baseline_is_measured(region: Region) -> None:
    view = ask(300.0, notice_s=10.0)  # the window of 15 s before the start has begun
    plan_event(event_id=view.event_id, now=NOW)
    plan = Plan.objects.latest("pk")
    power_now = {a.asset_id: a.power_kw for a in fleet_snapshot(region_id=region.pk, now=NOW).assets}
    for row in plan.schedules.all():
        assert row.power_kw[0] == pytest.approx(power_now[row.asset_id], abs=1e-3)


def test_during_the_event_the_baseline_is_that_of_the_meters_before_it(region: Region) -> None:
    view = ask(300.0, notice_s=20.0)
    plan_event(event_id=view.event_id, now=NOW)
    before = event(view.event_id)
    power = {a.asset_id: a.power_kw for a in fleet_snapshot(region_id=region.pk, now=NOW).assets}
    for second in range(2, 30, 2):
        at = NOW + timedelta(seconds=second)
        report_power({k: v * (0.5 if second > 20 else 1.0) for k, v in power.items()}, at=at)
    plan_region(region_id=region.pk, trigger="schedule", now=NOW + timedelta(seconds=28))
    after = event(view.event_id)
    assert after.participants == before.participants
    assert after.baseline_kw == pytest.approx(before.baseline_kw, rel=0.02)


def test_a_plan_from_older_facts_is_not_kept(region: Region) -> None:
    plan_region(region_id=region.pk, trigger="schedule", now=NOW + timedelta(seconds=30))
    with pytest.raises(PlanOvertaken):
        plan_region(region_id=region.pk, trigger="schedule", now=NOW)
    assert Plan.objects.count() == 1


def test_an_empty_region_gets_an_empty_plan(region: Region) -> None:
    empty = Region.objects.create(
        code="EMPTY", name="Empty", country="NL", time_zone="Europe/Amsterdam", currency="EUR"
    )
    outcome = plan_region(region_id=empty.pk, trigger="schedule", now=NOW)
    assert (outcome.assets, outcome.schedules_queued, outcome.missed) == (0, 0, 0)


def test_a_region_too_large_for_the_exact_programme_is_planned_to_a_proven_gap(transactional_db: None) -> None:
    park_fleet(vehicles=520)
    view = ask(900.0)
    outcome = plan_event(event_id=view.event_id, now=NOW)
    plan, planned = Plan.objects.get(pk=outcome.plan_id), event(view.event_id)
    assert plan.solver == "column-generation"
    assert plan.asset_count == 520 + 148
    assert plan.lower_bound <= plan.cost and plan.gap <= 5e-3
    assert planned.baseline_kw is not None
    # a slot of 15 s weighs little in a day's cost: within two percent, which the tracking loop makes good
    assert event_power_kw(plan, planned) == pytest.approx([planned.baseline_kw - 900.0] * 4, abs=18.0)
    assert outcome.schedules_queued > 0
    assert PlannedSchedule.objects.filter(plan=plan).count() == 520 + 148


def test_no_car_is_planned_to_take_more_than_its_model_does_when_nearly_full(region: Region) -> None:
    VehicleModel.objects.update(taper_from_fraction=0.5, full_power_fraction=0.1)
    assets = {a.asset_id: a for a in fleet_snapshot(region_id=region.pk, now=NOW).assets}
    plan = Plan.objects.get(pk=plan_region(region_id=region.pk, trigger="schedule", now=NOW).plan_id)
    near_full = 0
    for schedule in plan.schedules.all():
        asset = assets[schedule.asset_id]
        (from_kwh, full_kw), (to_kwh, least_kw) = asset.charge_curve
        if asset.kind != "evse":
            continue
        energy_kwh, power_kw = np.array(schedule.energy_kwh), np.array(schedule.power_kw)
        allowed_kw = full_kw + (energy_kwh - from_kwh) * (least_kw - full_kw) / (to_kwh - from_kwh)
        assert np.all(power_kw <= allowed_kw + 0.01)
        near_full += int(np.any((power_kw > 0.1) & (energy_kwh > from_kwh)))
    assert near_full > 0
