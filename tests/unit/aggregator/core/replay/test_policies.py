"""Each policy in worlds that can be worked out by hand, and the promise to drivers in many that cannot."""

from dataclasses import replace

import numpy as np
import pytest

from aggregator.core.replay.engine import ReplayEvent, fit_to_site, share_equally
from aggregator.core.replay.outcome import appraise
from aggregator.core.replay.planned import Planned
from aggregator.core.replay.policies import PriceOnly, Uncontrolled, fill_cheapest
from aggregator.core.replay.sessions import DepartureKnowledge
from tests.unit.aggregator.core.replay.worlds import (
    VEHICLE,
    at,
    fleet_of,
    knowledge_of,
    prices_of,
    random_stays,
    run,
    stay,
)

DAY = [0.3] * 10 + [0.1, 0.2] + [0.5] * 12
PRICES = DAY * 4


def outcome(name, fleet, trajectory, base, events=(), prices=PRICES):
    return appraise(name, fleet, trajectory, base, prices=prices_of(prices), factors=None, events=events)


def test_uncontrolled_charges_at_once_and_stops_when_the_request_is_met():
    fleet = fleet_of(stay("a", 8, 16, 15.0))
    result = run(fleet, Uncontrolled(fleet), prices_of(PRICES))
    assert result.power_kw[:3] == pytest.approx([10.0, 5.0, 0.0])
    assert result.charged_kwh == pytest.approx([15.0])
    assert result.final_kwh == pytest.approx(fleet.required_kwh)


def test_price_only_fills_the_cheapest_hours_before_departure():
    fleet = fleet_of(stay("a", 8, 16, 15.0))
    result = run(fleet, PriceOnly(fleet, knowledge_of(PRICES)), prices_of(PRICES))
    assert result.power_kw == pytest.approx([0, 0, 10.0, 5.0, 0, 0, 0, 0])


def test_planner_finds_the_same_and_v2g_also_sells_in_the_peak():
    fleet = fleet_of(stay("a", 8, 16, 15.0))
    known, prices = knowledge_of(PRICES), prices_of(PRICES)
    base = run(fleet, Uncontrolled(fleet), prices)
    one_way = outcome("one-way", fleet, run(fleet, Planned(fleet, known, discharges=False), prices), base)
    v2g = outcome("v2g", fleet, run(fleet, Planned(fleet, known, discharges=True), prices), base)
    assert one_way.energy_cost == pytest.approx(10 * 0.1 + 5 * 0.2)
    assert one_way.shifted_kwh == pytest.approx(15.0)
    assert v2g.discharged_kwh > 1.0
    assert v2g.total_cost < one_way.total_cost - 0.1
    assert v2g.energy_delivered_kwh == pytest.approx(15.0)
    assert v2g.net_energy_kwh > 15.0, "losses are drawn too"


def test_untied_vehicles_are_planned_as_cheaply_as_each_would_for_itself():
    """At half of all slots the price is at its floor, as in Kyushu in spring."""
    values = np.maximum(np.random.default_rng(5).uniform(-0.2, 0.4, 24 * 5), 0.01)
    fleet, prices, known = fleet_of(*random_stays(25, 9)), prices_of(values), knowledge_of(values)
    alone = run(fleet, PriceOnly(fleet, known), prices)
    planned = run(fleet, Planned(fleet, known, discharges=False), prices)
    cost = [float(prices.mean_between(one.boundaries_s) @ (one.power_kw * one.hours)) for one in (alone, planned)]
    assert cost[1] == pytest.approx(cost[0], rel=1e-4)


def test_policies_know_no_price_before_it_is_published():
    """Tomorrow turns out to be free; at 08:00 today nobody knows, and the car leaves tomorrow at noon."""
    prices = [0.4] * 8 + [0.3] + [0.4] * 15 + [0.0] * 24
    fleet = fleet_of(stay("a", 8, 36, 9.0))
    expecting = run(fleet, PriceOnly(fleet, knowledge_of(prices)), prices_of(prices))
    assert expecting.power_kw[0] == pytest.approx(9.0), "today's 08:00 is the best that is known"
    stays_on = fleet_of(stay("a", 9, 36, 9.0))
    waits = run(stays_on, PriceOnly(stays_on, knowledge_of(prices)), prices_of(prices))
    in_sight = waits.boundaries_s[:-1] >= at(13).timestamp()
    assert waits.power_kw[~in_sight] @ waits.hours[~in_sight] == pytest.approx(0.0), "tomorrow's 08:00 may be 0.3 again"
    assert outcome("p", stays_on, waits, waits, prices=prices).energy_cost == pytest.approx(0.0)


def test_site_limit_is_shared_equally_by_those_who_do_not_plan():
    assert share_equally(np.array([2.0, 10.0, 10.0]), 14.0) == pytest.approx([2.0, 6.0, 6.0])
    assert share_equally(np.array([2.0, 3.0]), 14.0) == pytest.approx([2.0, 3.0])
    fleet = fleet_of(stay("a", 8, 12, 30.0), stay("b", 8, 12, 30.0))
    result = run(fleet, Uncontrolled(fleet, 12.0), prices_of(PRICES), site_import_kw=12.0)
    assert result.charged_kwh == pytest.approx([24.0, 24.0])


def test_crowded_site_takes_from_those_who_can_wait():
    power = fit_to_site(np.array([8.0, 8.0, 8.0]), np.array([8.0, 2.0, 0.0]), np.array([0.0, 2.0, 5.0]), 14.0)
    assert power == pytest.approx([8.0, 6.0, 0.0])
    tighter = fit_to_site(np.array([8.0, 8.0, -4.0]), np.array([8.0, 8.0, 0.0]), np.array([0.0, 2.0, 5.0]), 6.0)
    assert tighter == pytest.approx([5.0, 5.0, -4.0])


def test_cheapest_hours_are_filled_in_order_the_earlier_of_equals_first():
    power = fill_cheapest(np.array([0.2, 0.1, 0.2, 0.1]), np.array([1.0, 0.5, 1.0, 1.0]), 12.0, 10.0)
    assert power == pytest.approx([0.0, 10.0, 0.0, 7.0])


def test_event_is_delivered_against_the_uncontrolled_load():
    stays = [stay(name, 8, 17, 30.0) for name in "abcd"]
    event = ReplayEvent(at(9).timestamp(), at(11).timestamp(), at(8.5).timestamp(), 45.0)
    fleet, prices = fleet_of(*stays), prices_of(PRICES)
    base = run(fleet, Uncontrolled(fleet), prices, [event])
    planned = Planned(fleet, knowledge_of(PRICES), discharges=True, events=[event])
    result = outcome("v2g", fleet, run(fleet, planned, prices, [event]), base, [event])
    assert result.events[0].delivery_ratio == pytest.approx(1.0, abs=1e-6)
    assert result.events[0].least_ratio == pytest.approx(1.0, abs=1e-6)
    assert result.satisfied.all()
    assert planned.plans_made == 4, "at arrival, when the event was announced, when it ended, and when prices came"


def test_who_stays_longer_than_announced_is_kept_full():
    fleet = fleet_of(stay("a", 8, 14, 20.0, announced=10), knowledge=DepartureKnowledge.ESTIMATED)
    result = run(fleet, Planned(fleet, knowledge_of(PRICES), discharges=True), prices_of(PRICES))
    full_at = np.flatnonzero(result.boundaries_s[1:] >= at(10).timestamp())[0]
    assert result.power_kw[full_at + 1 :] == pytest.approx(np.zeros(result.power_kw.size - full_at - 1))
    assert result.final_kwh == pytest.approx(fleet.required_kwh)


def test_who_leaves_before_announced_may_be_short_and_is_counted():
    fleet = fleet_of(stay("a", 8, 9, 8.0, announced=16), knowledge=DepartureKnowledge.ESTIMATED)
    prices = prices_of(PRICES)
    base = outcome("u", fleet, *[run(fleet, Uncontrolled(fleet), prices)] * 2)
    trajectory = run(fleet, Planned(fleet, knowledge_of(PRICES), discharges=False), prices)
    assert base.satisfied.all()
    assert not outcome("p", fleet, trajectory, base.trajectory).satisfied.any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit_kw", [np.inf, 45.0])
def test_planning_satisfies_everybody_whom_uncontrolled_charging_satisfies(seed, limit_kw):
    stays = random_stays(30, seed)
    fleet = fleet_of(*stays)
    values = np.random.default_rng(100 + seed).uniform(-0.1, 0.4, 24 * 5)
    prices, known = prices_of(values), knowledge_of(values)
    first = run(fleet, Uncontrolled(fleet, limit_kw), prices, site_import_kw=limit_kw)
    base = outcome("uncontrolled", fleet, first, first, prices=values)
    for discharges in (False, True):
        policy = Planned(fleet, known, discharges=discharges, site_import_kw=limit_kw, places=len(stays))
        trajectory = run(fleet, policy, prices, site_import_kw=limit_kw)
        result = outcome("planned", fleet, trajectory, first, prices=values)
        assert not np.any(base.satisfied & ~result.satisfied)
        assert trajectory.power_kw.max() <= limit_kw + 1e-6
        assert policy.largest_gap < 0.05
        if np.isinf(limit_kw):
            assert result.total_cost < base.total_cost


def test_safeguard_holds_against_a_policy_that_never_charges():
    class Idle(Uncontrolled):
        assured_kw = VEHICLE.charge_kw

        def decide(self, now_s, until_s, present):
            return np.zeros(present.rows.size)

    fleet = fleet_of(stay("a", 8, 12, 20.0), stay("b", 9.3, 10.1, 7.0), stay("c", 8, 9, 25.0))
    result = run(fleet, Idle(fleet), prices_of(PRICES))
    assert result.charged_kwh == pytest.approx([20.0, 10.0, 7.0]), "in order of arrival: a, c, b"


def test_battery_grows_with_a_request_that_would_not_fit():
    fleet = fleet_of(stay("a", 8, 20, 90.0), vehicle=replace(VEHICLE, battery_kwh=40.0))
    assert fleet.capacity_kwh[0] == pytest.approx(90.0 * 0.9 / 0.8)
    assert fleet.energy_kwh[0] == pytest.approx(0.1 * fleet.capacity_kwh[0])
    assert fleet.floor_kwh[0] == pytest.approx(fleet.energy_kwh[0])
