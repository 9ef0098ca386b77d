"""Correcting a running event from the database: who is moved, by how much, and who is not."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from aggregator.models import DeliverySample
from aggregator.operations.plans import plan_event
from aggregator.operations.tracking import TrackingMemory, correct_delivery
from fleet.models import DeviceCommand, Region, Site
from fleet.operations.commands import CommandOutcome, claim_due_commands, confirm_commands
from fleet.queries.assets import fleet_snapshot
from grid.operations.events import record_event
from grid.queries import EventView, event
from tests.integration.aggregator.parked_fleet import NOW, park_fleet, report_power

pytestmark = pytest.mark.django_db(transaction=True)

TARGET_KW = 600.0
STARTS_AT = NOW + timedelta(seconds=30)


@pytest.fixture
def region(transactional_db: None) -> Region:
    return park_fleet()


@pytest.fixture
def running(region: Region) -> EventView:
    """An event of 600 kW that was planned, delivered to every device and confirmed; its baseline has been metered."""
    recorded = record_event(
        requested_by="grid-operator",
        idempotency_key="tracking",
        programme_code="fast-response",
        direction="reduce",
        target_kw=TARGET_KW,
        starts_at=STARTS_AT,
        ends_at=STARTS_AT + timedelta(seconds=600),
        now=NOW,
    )
    power_kw = {a.asset_id: a.power_kw for a in fleet_snapshot(region_id=region.pk, now=NOW).assets}
    plan_event(event_id=recorded.event.event_id, now=NOW)
    confirm_everything(NOW)
    for second in range(1, 32, 2):
        report_power(power_kw, at=NOW + timedelta(seconds=second))
    return event(recorded.event.event_id)


def confirm_everything(at: datetime) -> None:
    for gateway in ("ocpp", "mqtt", "modbus"):
        due = claim_due_commands(gateway_identity="gw-test", gateway_class=gateway, now=at)
        confirm_commands(outcomes=[CommandOutcome(c.command_id, True, at, at, {}) for c in due])


def commanded_kw(view: EventView, at: datetime) -> dict[int, float]:
    """What each participant was last told for an instant."""
    newest: dict[int, float] = {}
    for command in DeviceCommand.objects.filter(asset_id__in=view.participants).order_by("sequence"):
        after_s = (at - command.starts_at).total_seconds()
        entries = [p for offset, p in zip(command.offset_s, command.power_kw, strict=True) if offset <= after_s + 1e-6]
        newest[command.asset_id] = entries[-1] if entries else command.power_kw[0]
    return newest


def test_a_portfolio_on_target_is_left_alone(running: EventView) -> None:
    at = STARTS_AT + timedelta(seconds=20)
    report_power(commanded_kw(running, at), at=at)
    delivery = correct_delivery(event=running, memory=TrackingMemory(), now=at)
    assert delivery.delivered_kw == pytest.approx(TARGET_KW, abs=3.0)
    assert delivery.corrected_assets == 0
    sample = DeliverySample.objects.get()
    assert (sample.target_kw, sample.delivered_kw) == (TARGET_KW, pytest.approx(delivery.delivered_kw))


def test_what_a_weak_pack_does_not_give_is_taken_from_others(running: EventView) -> None:
    at = STARTS_AT + timedelta(seconds=20)
    told = commanded_kw(running, at)
    weak = sorted(told, key=lambda asset: told[asset])[:5]
    short_kw = -sum(told[asset] for asset in weak)
    assert short_kw > 20.0
    report_power({**told, **dict.fromkeys(weak, 0.0)}, at=at)
    delivery = correct_delivery(event=running, memory=TrackingMemory(), now=at)
    assert delivery.delivered_kw == pytest.approx(TARGET_KW - short_kw, abs=3.0)
    now_told = commanded_kw(running, at + timedelta(seconds=1))
    moved = {asset for asset in told if abs(now_told[asset] - told[asset]) > 0.01}
    assert moved and not moved & set(weak)
    wanted_kw = sum(now_told[asset] for asset in told if asset not in weak)
    assert wanted_kw == pytest.approx(sum(told.values()), abs=3.0)


def test_a_correction_ends_with_the_event(running: EventView) -> None:
    at = STARTS_AT + timedelta(seconds=20)
    told = commanded_kw(running, at)
    strong = sorted(told, key=lambda asset: told[asset])[:5]
    report_power({**told, **dict.fromkeys(strong, 0.0)}, at=at)
    correct_delivery(event=running, memory=TrackingMemory(), now=at)
    for command in DeviceCommand.objects.filter(queued_at=at):
        after_s = (running.ends_at - command.starts_at).total_seconds()
        assert any(offset == pytest.approx(after_s, abs=0.1) for offset in command.offset_s)


def test_the_same_shortfall_is_not_corrected_twice(running: EventView) -> None:
    at = STARTS_AT + timedelta(seconds=20)
    told = commanded_kw(running, at)
    weak = sorted(told, key=lambda asset: told[asset])[:5]
    report_power({**told, **dict.fromkeys(weak, 0.0)}, at=at)
    memory = TrackingMemory()
    first = correct_delivery(event=running, memory=memory, now=at)
    confirm_everything(at)
    # the meters have not seen the correction yet
    second = correct_delivery(event=running, memory=memory, now=at + timedelta(seconds=2))
    assert first.corrected_assets > 0 and second.corrected_assets == 0


def test_a_site_at_its_limit_is_not_pushed_over_it(running: EventView) -> None:
    at = STARTS_AT + timedelta(seconds=20)
    told = commanded_kw(running, at)
    hub = Site.objects.get(kind="hub")
    packs = {a.asset_id for a in fleet_snapshot(region_id=running.region_id, now=at).assets if a.kind == "pack"}
    exported_kw = -sum(power for asset, power in told.items() if asset in packs)
    Site.objects.filter(pk=hub.pk).update(export_limit_kw=exported_kw)
    cars_off = {asset: 0.0 if asset not in packs else power for asset, power in told.items()}
    report_power(cars_off, at=at)
    correct_delivery(event=running, memory=TrackingMemory(), now=at)
    now_told = commanded_kw(running, at + timedelta(seconds=1))
    assert -sum(power for asset, power in now_told.items() if asset in packs) <= exported_kw + 0.5


def test_before_the_meters_have_told_the_window_the_planned_baseline_holds(running: EventView) -> None:
    at = STARTS_AT + timedelta(seconds=0.2)
    memory = TrackingMemory()
    delivery = correct_delivery(event=running, memory=memory, now=at)
    assert memory.baseline is not None
    assert delivery.baseline_kw == pytest.approx(running.baseline_kw, rel=0.02)
