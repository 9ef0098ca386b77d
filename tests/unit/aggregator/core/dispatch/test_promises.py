"""What is promised, what gives way to what, and how the plan says so."""

import numpy as np
import pytest

from aggregator.core.dispatch import (
    ComputingLoad,
    EventTarget,
    MissKind,
    PlanStatus,
    ReserveDirection,
    ReserveProduct,
    SiteLimits,
    TargetDirection,
    solve,
)
from tests.unit.aggregator.core.dispatch.small import assets, problem

NAN = float("nan")


def missed(plan, kind):
    return [miss for miss in plan.missed if miss.kind is kind]


def test_need_beyond_physics_is_met_as_far_as_possible_and_listed():
    plan = solve(problem(assets(required_kwh=40.0, departure_step=1), [5.0, 0.0, 0.0, 0.0]))
    assert plan.energy_kwh[0, 0] == pytest.approx(30.0)
    (miss,) = missed(plan, MissKind.DEPARTURE_NEED)
    assert (miss.asset_id, miss.step) == ("car-0", 0)
    assert miss.kwh == pytest.approx(10.0)
    assert "full power for 1.00 h" in miss.reason
    assert plan.status is PlanStatus.OPTIMAL


def test_car_that_arrives_below_its_floor_is_charged_at_once():
    plan = solve(problem(assets(energy_kwh=2.0, floor_kwh=15.0), [9.0, 9.0, 0.0, 0.0]))
    assert plan.power_kw[0, :2] == pytest.approx([10.0, 3.0])
    (miss,) = missed(plan, MissKind.FLOOR)
    assert miss.kwh == pytest.approx(3.0)
    assert miss.step == 0


def test_site_limit_outranks_the_driver_and_the_driver_outranks_money():
    sites = SiteLimits.constant(["depot"], steps=4, import_limit_kw=6.0)
    fleet = assets(2, required_kwh=40.0, site_index=0)
    plan = solve(problem(fleet, [0.1, 0.1, 8.0, 8.0], sites=sites))
    assert plan.power_kw.sum(axis=0) == pytest.approx([6.0] * 4, abs=1e-4), "24 of 40 kWh fit, at any price"
    assert plan.status is PlanStatus.BEST_EFFORT
    short = missed(plan, MissKind.DEPARTURE_NEED)
    assert sum(miss.kwh for miss in short) == pytest.approx(16.0, abs=1e-3)
    assert all("limits of its site" in miss.reason for miss in short)
    assert not missed(plan, MissKind.SITE_IMPORT_LIMIT)


def test_site_overloaded_by_its_own_load_is_relieved_as_far_as_cars_can():
    sites = SiteLimits.constant(["mall"], steps=4, import_limit_kw=6.0, base_load_kw=18.0)
    plan = solve(problem(assets(site_index=0, wear_per_kwh=5.0), [0.1] * 4, sites=sites))
    assert plan.power_kw[0].sum() == pytest.approx(-20.0, abs=1e-3), "all it has, at any wear"
    broken = missed(plan, MissKind.SITE_IMPORT_LIMIT)
    assert sum(miss.kwh for miss in broken) == pytest.approx(4 * 12 - 20, abs=1e-2)
    assert {miss.site_id for miss in broken} == {"mall"}


def test_no_market_touches_the_emergency_reserve():
    sites = SiteLimits.constant(["hub"], steps=4, emergency_reserve_kwh=25.0)
    packs = assets(2, site_index=0, holds_reserve=True)
    plan = solve(problem(packs, [9.0, 0.0, 9.0, 9.0], sites=sites))
    held = plan.energy_kwh.sum(axis=0)
    assert held.min() == pytest.approx(25.0, abs=1e-4), "used down to the reserve, not below"
    assert not plan.missed


def test_reserve_that_the_packs_cannot_hold_yet_is_charged_and_listed():
    sites = SiteLimits.constant(["hub"], steps=4, emergency_reserve_kwh=35.0)
    plan = solve(problem(assets(site_index=0, holds_reserve=True), [9.0, 9.0, 0.0, 0.0], sites=sites))
    assert plan.energy_kwh[0, :2] == pytest.approx([30.0, 35.0])
    (miss,) = missed(plan, MissKind.EMERGENCY_RESERVE)
    assert miss.site_id == "hub"
    assert miss.kwh == pytest.approx(5.0)


def target(power_kw, direction=TargetDirection.EXACTLY, **settings):
    return EventTarget("event-7", np.array(power_kw, dtype=float), direction, **settings)


def test_target_is_held_exactly_by_the_assets_that_take_part():
    fleet = assets(3)
    event = target([NAN, -12.0, -12.0, NAN], participates=np.array([True, True, False]))
    plan = solve(problem(fleet, [0.1, 0.1, 0.1, 0.1], targets=(event,)))
    assert plan.power_kw[:2, 1:3].sum(axis=0) == pytest.approx([-12.0, -12.0])
    assert plan.power_kw[2].sum() == pytest.approx(-20.0), "it sells what it has, untouched by the event"
    assert not plan.missed


def test_missed_target_is_listed_in_kw_kwh_and_money():
    event = target([-30.0, NAN, NAN, NAN], missed_price_per_kwh=2.0)
    plan = solve(problem(assets(2), [0.0] * 4, targets=(event,)))
    assert plan.power_kw[:, 0].sum() == pytest.approx(-20.0)
    (miss,) = missed(plan, MissKind.EVENT_TARGET)
    assert (miss.event_id, miss.step) == ("event-7", 0)
    assert (miss.kw, miss.kwh, miss.money) == pytest.approx((10.0, 10.0, 20.0))
    assert plan.cost == pytest.approx(20.0)


def test_reduction_may_go_further_and_increase_may_go_higher():
    dear, cheap = [5.0, 5.0, 5.0, 5.0], [-1.0, -1.0, -1.0, -1.0]
    at_most = target([-2.0, NAN, NAN, NAN], TargetDirection.AT_MOST)
    assert solve(problem(assets(wear_per_kwh=0.1), dear, targets=(at_most,))).power_kw[0, 0] <= -2.0
    at_least = target([2.0, 2.0, NAN, NAN], TargetDirection.AT_LEAST)
    plan = solve(problem(assets(), cheap, targets=(at_least,)))
    assert plan.power_kw[0, :2].min() >= 2.0 - 1e-6
    assert not plan.missed


def test_target_cheaper_to_miss_than_to_meet_is_missed():
    event = target([-10.0, NAN, NAN, NAN], missed_price_per_kwh=0.5)
    plan = solve(problem(assets(wear_per_kwh=1.0), [0.0] * 4, targets=(event,)))
    assert plan.power_kw[0, 0] == pytest.approx(0.0)
    assert missed(plan, MissKind.EVENT_TARGET)[0].money == pytest.approx(5.0)


def computers(count=2, steps=4, value=0.5):
    return ComputingLoad(
        np.array([f"computer-{row}" for row in range(count)]),
        np.zeros(count, dtype=int),
        np.full(count, -1),
        np.full(count, 0.5),
        np.full((count, steps), value),
        np.array([[1.0, 1.0, 0.5, 0.0]] * count),
    )


def test_computing_runs_where_it_earns_more_than_its_energy_costs():
    plan = solve(problem(assets(), [0.1, 0.9, 0.1, 0.1], computing=computers()))
    assert plan.computing_kw[0] == pytest.approx([0.5, 0.0, 0.25, 0.0])


def test_computing_is_shed_for_an_event_before_paying_for_a_miss():
    event = target([-20.0, NAN, NAN, NAN], missed_price_per_kwh=2.0)
    plan = solve(problem(assets(2), [0.1] * 4, computing=computers(), targets=(event,)))
    assert plan.computing_kw[:, 0] == pytest.approx([0.0, 0.0])
    assert not plan.missed


def reserve(direction, **settings):
    defaults = {"price_per_kw": np.full(4, 1.0), "duration_h": 1.0, "max_kw": np.full(4, 100.0)}
    return ReserveProduct(f"{direction.value}-1h", direction, **(defaults | settings))


def test_upward_reserve_is_bounded_by_energy_above_the_floor():
    fleet = assets(energy_kwh=10.0, floor_kwh=6.0, charge_kw=0.0)
    plan = solve(problem(fleet, [0.0] * 4, reserves=(reserve(ReserveDirection.UP),)))
    assert plan.reserve_kw["up-1h"] == pytest.approx([4.0] * 4), "each call is checked against the same stored 4 kWh"


def test_upward_reserve_of_a_charging_car_counts_the_charging_it_would_stop():
    fleet = assets(energy_kwh=10.0, required_kwh=10.0, floor_kwh=10.0, discharge_kw=0.0, capacity_kwh=80.0)
    plan = solve(problem(fleet, [0.01] * 4, reserves=(reserve(ReserveDirection.UP),)))
    assert plan.power_kw[0] == pytest.approx(plan.reserve_kw["up-1h"])
    assert plan.reserve_kw["up-1h"][0] == pytest.approx(10.0)


def test_downward_reserve_is_bounded_by_room_and_by_the_stay():
    fleet = assets(energy_kwh=37.0, departure_step=3, discharge_kw=0.0)
    plan = solve(problem(fleet, [0.1] * 4, reserves=(reserve(ReserveDirection.DOWN),)))
    assert plan.reserve_kw["down-1h"] == pytest.approx([3.0, 3.0, 3.0, 0.0])
    longer = reserve(ReserveDirection.DOWN, duration_h=2.0)
    plan = solve(problem(fleet, [0.1] * 4, reserves=(longer,)))
    assert plan.reserve_kw["down-1h"] == pytest.approx([1.5, 1.5, 0.0, 0.0])


def test_two_products_never_promise_the_same_kwh():
    fleet = assets(energy_kwh=10.0, floor_kwh=6.0, charge_kw=0.0)
    other = ReserveProduct("second", ReserveDirection.UP, np.full(4, 2.0), 0.5, np.full(4, 3.0))
    plan = solve(problem(fleet, [0.0] * 4, reserves=(reserve(ReserveDirection.UP), other)))
    promised = plan.reserve_kw["up-1h"] * 1.0 + plan.reserve_kw["second"] * 0.5
    assert promised == pytest.approx([4.0] * 4)


def test_commitment_that_cannot_be_held_is_listed():
    product = reserve(ReserveDirection.UP, committed_kw=np.full(4, 12.0), missed_price_per_kw=3.0)
    plan = solve(problem(assets(charge_kw=0.0), [0.0] * 4, reserves=(product,)))
    misses = missed(plan, MissKind.RESERVE)
    assert [miss.kw for miss in misses] == pytest.approx([2.0] * 4)
    assert misses[0].money == pytest.approx(6.0)


def test_reserve_respects_the_site_when_called():
    sites = SiteLimits.constant(["home"], steps=4, export_limit_kw=3.0)
    plan = solve(problem(assets(site_index=0), [0.0] * 4, sites=sites, reserves=(reserve(ReserveDirection.UP),)))
    assert np.all(plan.reserve_kw["up-1h"] - plan.power_kw[0] <= 3.0 + 1e-6)
