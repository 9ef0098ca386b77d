"""Capacity tests of packs: begun within safe limits, judged from the readings when they are over; and health from use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from common.errors import Conflict, InvalidInput
from fleet.core.health import CapacityEstimate, TestPhase, plan_capacity_test
from fleet.models import CapacityTest, CapacityTestState, OperationMode, Pack, PackHealthRecord
from fleet.operations.assets.checks import find, require_positive
from fleet.operations.changes import announce_change
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.queries.packs import capacity_of_pack, other_packs_energy_kwh

# A quarter of the capacity in an hour: little heat, little loss, done within a night.
TEST_RATE_PER_H = 0.25
MOST_TESTS_PER_SITE = 2
# A test says something if the charge went through this much of its range with at most this relative error.
LEAST_SPAN_FRACTION, MOST_RELATIVE_ERROR = 0.5, 0.05
# From daily use: health is changed only by an estimate as sure as this that differs by more than its error allows.
SURE_RELATIVE_ERROR, NEWS_ERRORS = 0.03, 2.0
MOST_HEALTH_FRACTION = 1.2


class TestNotPossible(Conflict):
    """A capacity test cannot begin now; the remedy says when it can."""

    __test__ = False
    code = "capacity_test_not_possible"


@dataclass(frozen=True, slots=True)
class StartedTest:
    """A capacity test that has begun."""

    test_id: int
    starts_at: datetime
    ends_at: datetime
    phases: tuple[TestPhase, ...]


@transaction.atomic
def start_capacity_test(*, pack_identity: str, now: datetime, test_kw: float | None = None) -> StartedTest:
    """Begin a capacity test of a pack: to full, to its floor, and back to where it was, at a gentle power.

    From now on no plan touches the pack. The others of its site must hold the emergency reserve without it, the pack
    must be sound and reachable, and no more than two packs of a site are tested at once.

    Args:
        test_kw: power of the test; a quarter of the capacity per hour if it is left out, never more than the pack may.

    Raises:
        NotRegistered: there is no such pack. InvalidInput: the power is not one. TestNotPossible: why not now.
    """
    find(Pack, field="pack", asset__identity=pack_identity)
    pack = (
        Pack.objects.select_for_update(of=("self",))
        .select_related("asset__site__grid_node")
        .get(asset__identity=pack_identity)
    )
    most_kw = min(pack.max_charge_kw * pack.charge_fraction, pack.max_discharge_kw * pack.discharge_fraction)
    if test_kw is not None and require_positive(test_kw, field="test_kw") > most_kw:
        raise InvalidInput(
            f"{test_kw:g} kW is more than the pack may do.", field="test_kw", remedy=f"Give up to {most_kw:g} kW."
        )
    _require_possible(pack, now)
    power_kw = test_kw or min(TEST_RATE_PER_H * pack.nameplate_kwh, most_kw)
    phases = plan_capacity_test(
        capacity_kwh=pack.capacity_kwh,
        energy_kwh=(pack.soc_fraction or 0.0) * pack.capacity_kwh,
        floor_kwh=pack.minimum_soc_fraction * pack.capacity_kwh,
        test_kw=power_kw,
        charge_efficiency=pack.charge_efficiency,
        discharge_efficiency=pack.discharge_efficiency,
    )
    offsets = [sum(phase.seconds for phase in phases[:index]) for index in range(len(phases))]
    ends_at = now + timedelta(seconds=sum(phase.seconds for phase in phases))
    test = CapacityTest.objects.create(pack=pack, starts_at=now, ends_at=ends_at, test_kw=power_kw)
    powers = tuple(phase.power_kw for phase in phases)
    queue_schedules(schedules=[PowerSchedule(pack.asset_id, now, tuple(offsets), powers, ends_at)], now=now)
    _announce(pack, "lost_device")
    return StartedTest(test.pk, now, ends_at, phases)


def _require_possible(pack: Pack, now: datetime) -> None:
    asset, site = pack.asset, pack.asset.site
    running = CapacityTest.objects.filter(state=CapacityTestState.RUNNING)
    if running.filter(pack=pack).exists():
        raise TestNotPossible("The pack is being tested already.", remedy="Wait for its end, or call it off.")
    if asset.fault or not asset.connected:
        raise TestNotPossible(
            f"The pack takes no part now: {asset.fault or 'it is offline'}.", remedy="Test it once it is sound again."
        )
    if pack.soc_fraction is None or pack.max_discharge_kw * pack.discharge_fraction <= 0:
        raise TestNotPossible(
            "The pack does not tell its charge, or may not discharge.", remedy="Wait for its next report."
        )
    if site.operation_mode == OperationMode.EMERGENCY:
        raise TestNotPossible("The site is in emergency operation.", remedy="Test the pack afterwards.")
    if running.filter(pack__asset__site=site).count() >= MOST_TESTS_PER_SITE:
        raise TestNotPossible(
            f"{MOST_TESTS_PER_SITE} packs of the site are being tested.", remedy="Wait until one is done."
        )
    held_kwh = other_packs_energy_kwh(site_id=site.pk, without_pack_id=pack.pk)
    if held_kwh < site.emergency_reserve_kwh:
        raise TestNotPossible(
            f"Without this pack the site would hold {held_kwh:.0f} of its reserve of "
            f"{site.emergency_reserve_kwh:.0f} kWh.",
            remedy="Test it when the other packs are fuller.",
        )


@transaction.atomic
def cancel_capacity_test(*, pack_identity: str, now: datetime, note: str = "called off") -> bool:
    """Call off a pack's test: the pack stands still until the next plan. Returns whether there was one."""
    pack = Pack.objects.select_related("asset__site__grid_node").filter(asset__identity=pack_identity).first()
    if pack is None or not end_test(pack, CapacityTestState.CANCELLED, note):
        return False
    stop = PowerSchedule(pack.asset_id, now, (0.0,), (0.0,), now + timedelta(hours=1))
    queue_schedules(schedules=[stop], now=now)
    _announce(pack, "found_device")
    return True


def end_test(pack: Pack, state: str, note: str) -> bool:
    """Close a pack's running test without a result. Returns whether there was one."""
    running = CapacityTest.objects.filter(pack=pack, state=CapacityTestState.RUNNING)
    return bool(running.update(state=state, note=note[:200]))


def finish_capacity_tests(*, now: datetime) -> int:
    """Judge the tests that are over, each by the readings of its time. Returns how many."""
    over = CapacityTest.objects.filter(state=CapacityTestState.RUNNING, ends_at__lte=now)
    test_ids = list(over.values_list("pk", flat=True))
    for test_id in test_ids:
        _finish(test_id, now)
    return len(test_ids)


@transaction.atomic
def _finish(test_id: int, now: datetime) -> None:
    test = CapacityTest.objects.select_for_update().filter(pk=test_id, state=CapacityTestState.RUNNING).first()
    if test is None:
        return
    pack = Pack.objects.select_related("asset__site__grid_node").get(pk=test.pack_id)
    estimate = capacity_of_pack(pack_id=pack.pk, starts_at=test.starts_at, ends_at=test.ends_at)
    test.state, test.note = CapacityTestState.INCONCLUSIVE, _why_not(estimate)
    if estimate is not None:
        test.capacity_kwh, test.standard_error_kwh = estimate.capacity_kwh, estimate.standard_error_kwh
        if not test.note:
            test.state = CapacityTestState.FINISHED
            _take_health(pack, estimate, kind="capacity_test", now=now)
    test.save()
    _announce(pack, "found_device")


def _why_not(estimate: CapacityEstimate | None) -> str:
    """Why an estimate is no result of a test; empty if it is."""
    if estimate is None:
        return "no sweep of the charge is long enough and without a gap"
    if estimate.span_fraction < LEAST_SPAN_FRACTION:
        return f"the charge moved by {estimate.span_fraction:.0%} only"
    relative = estimate.standard_error_kwh / estimate.capacity_kwh
    return "" if relative <= MOST_RELATIVE_ERROR else f"the error is {relative:.0%}"


@transaction.atomic
def record_health_from_use(*, pack_id: int, starts_at: datetime, ends_at: datetime, now: datetime) -> bool:
    """Estimate a pack's health from its ordinary use between two instants, and keep it if it is sure and news.

    Returns whether it was kept.
    """
    pack = Pack.objects.select_for_update(of=("self",)).select_related("asset").get(pk=pack_id)
    estimate = capacity_of_pack(pack_id=pack_id, starts_at=starts_at, ends_at=ends_at)
    if estimate is None or estimate.standard_error_kwh > SURE_RELATIVE_ERROR * estimate.capacity_kwh:
        return False
    if abs(estimate.capacity_kwh - pack.capacity_kwh) < NEWS_ERRORS * estimate.standard_error_kwh:
        return False
    _take_health(pack, estimate, kind="estimate", now=now)
    return True


def _take_health(pack: Pack, estimate: CapacityEstimate, *, kind: str, now: datetime) -> None:
    health = min(estimate.capacity_kwh / pack.nameplate_kwh, MOST_HEALTH_FRACTION)
    error = estimate.standard_error_kwh / pack.nameplate_kwh
    pack.state_of_health_fraction = health
    pack.save(update_fields=["state_of_health_fraction"])
    PackHealthRecord.objects.create(
        pack=pack,
        recorded_at=now,
        kind=kind,
        state_of_health_fraction=health,
        note=f"{estimate.capacity_kwh:.2f} ± {estimate.standard_error_kwh:.2f} kWh ({health:.1%} ± {error:.1%}), "
        f"{estimate.sweeps} sweeps, the longest {estimate.span_fraction:.0%}",
    )


def _announce(pack: Pack, kind: str) -> None:
    announce_change(kind=kind, asset_id=pack.asset_id, region_id=pack.asset.site.grid_node.region_id)
