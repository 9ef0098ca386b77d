"""Whole fleets: the decomposition against the exact programme, the odd ones included, and its independent check."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings

from aggregator.core.dispatch import (
    ComputingLoad,
    EventTarget,
    MissKind,
    PlanCheckFailed,
    PlanStatus,
    SiteLimits,
    TargetDirection,
    solve,
)
from aggregator.core.dispatch.appraisal import replay_energy
from aggregator.core.dispatch.choice import in_full
from aggregator.core.dispatch.fleet import ladder
from aggregator.core.dispatch.fleet.answers import Crowd
from aggregator.core.dispatch.fleet.generation import Generation
from aggregator.core.dispatch.fleet.plan import solve_fleet
from aggregator.core.dispatch.fleet.replay import check_first_step, check_totals, group_load_kw, replay
from aggregator.core.dispatch.fleet.statement import state
from common.errors import InvalidInput
from fleet.core.flexibility import FlexibleAssets
from tests.unit.aggregator.core.dispatch import small
from tests.unit.aggregator.core.dispatch.direct_lp import direct_optimum
from tests.unit.aggregator.core.dispatch.instances import study_problem
from tests.unit.aggregator.core.dispatch.test_properties import NEGATIVE_PRICES, problems

# Optima of the study's instances, found by an exact solver of its own.
STUDY_OPTIMA = {10: 55.1101, 50: 173.6846, 100: 331.7641, 300: 966.4986, 1000: 3513.0655, 3000: 11103.5932}


@pytest.mark.parametrize(("count", "optimum"), STUDY_OPTIMA.items())
def test_reaches_the_known_optima_and_proves_it(count, optimum):
    plan = solve_fleet(study_problem(count), gap=1e-4)
    assert plan.gap <= 1e-4
    assert plan.lower_bound <= optimum + 1e-4
    assert plan.cost == pytest.approx(optimum, rel=1e-4)
    assert plan.cost >= optimum - 1e-3


@settings(max_examples=800, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_small_portfolios_cost_what_the_linear_programme_costs(problem):
    plan = solve_fleet(problem, gap=1e-6)
    optimum = direct_optimum(problem)
    slack = 1e-5 * max(1.0, abs(optimum))
    assert plan.lower_bound <= optimum + slack
    assert plan.cost >= optimum - slack
    # a limit that asks for more load or more export can make burning energy pay even at these prices
    comparable = solve(problem).gap < 1e-7 and np.all(problem.import_limit_kw + problem.export_limit_kw >= 0)
    event("nobody burns" if comparable else "burning would pay, or limits contradict one another")
    if comparable:
        assert plan.cost <= optimum + slack


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(prices=NEGATIVE_PRICES))
def test_at_negative_prices_the_bound_holds_and_nobody_burns_energy(problem):
    plan = solve_fleet(problem, gap=1e-6)  # raises if its set-points, one signed number a step, break an energy balance
    optimum = direct_optimum(problem)
    assert plan.lower_bound <= optimum + 1e-5 * max(1.0, abs(optimum))
    assert plan.cost >= optimum - 1e-5 * max(1.0, abs(optimum))


def test_a_fleet_larger_than_its_last_sample_is_closed_by_it(monkeypatch):
    monkeypatch.setattr(ladder, "LAST_SAMPLE", 600)
    monkeypatch.setattr(ladder, "FIRST_SAMPLE", 150)
    problem = study_problem(3000)
    plan = solve_fleet(problem, gap=2e-3)
    assert plan.gap <= 5e-3
    assert plan.lower_bound <= STUDY_OPTIMA[3000] <= plan.cost + 1e-3
    load_kw = problem.base_load_kw + plan.total_power_kw
    assert np.all(load_kw <= problem.import_limit_kw + 1.0)


def test_an_empty_fleet_misses_what_it_cannot_help():
    plan = solve_fleet(small.problem(FlexibleAssets.none(), [0.1, 0.1], base_load_kw=5.0, import_limit_kw=3.0))
    assert plan.power_kw.shape == (0, 2)
    assert plan.cost == pytest.approx(2 * 2.0 * 3.0) and plan.gap == 0.0
    assert [miss.kind for miss in plan.missed] == [MissKind.PORTFOLIO_IMPORT_LIMIT] * 2


def test_needs_and_floors_that_physics_forbid_are_listed_by_asset():
    fleet = small.assets(
        count=3,
        steps=2,
        energy_kwh=np.array([0.0, 5.0, 20.0]),
        required_kwh=np.array([30.0, 0.0, 20.0]),
        floor_kwh=np.array([0.0, 12.0, 0.0]),
    )
    plan = solve_fleet(small.problem(fleet, [0.1, 0.2]))
    missed = {(miss.kind, miss.asset_id): miss.kwh for miss in plan.missed}
    assert missed == {(MissKind.DEPARTURE_NEED, "car-0"): pytest.approx(10.0, abs=1e-3)}
    assert plan.power_kw[1, 0] == pytest.approx(10.0, abs=1e-4)  # below its floor it charges at once


@pytest.mark.parametrize("method", [solve, lambda problem: solve_fleet(problem, gap=1e-6)])
def test_a_driver_who_may_leave_early_is_ready_then_and_what_physics_forbid_is_listed(method):
    fleet = small.assets(2, steps=4, required_kwh=[30.0, 35.0], ready_step=[2, 1], discharge_kw=0.0)
    plan = method(small.problem(fleet, [0.5, 0.4, 0.9, 0.1]))
    assert plan.power_kw[0].tolist() == pytest.approx([0.0, 10.0, 0.0, 0.0], abs=1e-4)
    assert plan.power_kw[1].tolist() == pytest.approx([10.0, 5.0, 0.0, 0.0], abs=1e-4)  # as soon as it can
    (miss,) = plan.missed
    assert (miss.kind, miss.asset_id, miss.step) == (MissKind.EARLY_NEED, "car-1", 0)
    assert miss.kwh == pytest.approx(5.0, abs=1e-3)


def test_an_event_of_some_participants_is_met_by_them():
    fleet = small.assets(count=4, steps=3, charge_efficiency=0.95, discharge_efficiency=0.95, wear_per_kwh=0.05)
    taking_part = np.array([True, True, False, False])
    target = EventTarget("evening", np.array([np.nan, -15.0, np.nan]), participates=taking_part)
    plan = solve_fleet(small.problem(fleet, [0.2, 0.2, 0.2], targets=(target,)), gap=1e-6)
    assert plan.power_kw[taking_part, 1].sum() == pytest.approx(-15.0, abs=1e-3)
    assert not plan.missed
    assert plan.cost == pytest.approx(solve(small.problem(fleet, [0.2, 0.2, 0.2], targets=(target,))).cost, abs=1e-4)


def test_a_target_beyond_reach_is_met_as_far_as_possible_and_listed():
    target = EventTarget("storm", np.array([-25.0]), TargetDirection.AT_MOST, missed_price_per_kwh=2.0)
    plan = solve_fleet(small.problem(small.assets(count=2, steps=1), [0.1], targets=(target,)))
    assert plan.total_power_kw[0] == pytest.approx(-20.0, abs=1e-3)
    (miss,) = plan.missed
    assert (miss.kind, miss.event_id, miss.step) == (MissKind.EVENT_TARGET, "storm", 0)
    assert miss.kw == pytest.approx(5.0, abs=1e-3) and miss.money == pytest.approx(10.0, abs=1e-2)


def test_fixed_steps_stay_as_they_are():
    fixed = np.array([[-5.0, np.nan, np.nan]])
    fleet = small.assets(steps=3, required_kwh=25.0, fixed_power_kw=fixed)
    plan = solve_fleet(small.problem(fleet, [0.5, 0.2, 0.1]))
    assert plan.power_kw[0].tolist() == pytest.approx([-5.0, 0.0, 10.0], abs=1e-4)
    assert plan.cost == pytest.approx(solve(small.problem(fleet, [0.5, 0.2, 0.1])).cost, abs=1e-5)


def test_what_only_the_exact_programme_plans_is_refused_by_name():
    limits = SiteLimits.constant(["one", "two"], steps=2, import_limit_kw=5.0)
    fleet = small.assets(count=3, steps=2, site_index=np.array([0, 0, 1]), node_index=np.array([0, 1, 1]))
    with pytest.raises(InvalidInput) as refused:
        solve_fleet(small.problem(fleet, [0.1, 0.1], sites=limits, nodes=limits))
    assert refused.value.field == "nodes"


def test_duals_of_an_earlier_plan_shorten_the_next():
    problem = study_problem(2000)
    first = solve_fleet(problem, gap=1e-4)
    again = solve_fleet(problem, gap=1e-4, known_duals=first.duals)
    assert again.gap <= 1e-4
    assert again.lower_bound >= first.lower_bound - 1e-6


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda power: power[0].__setitem__(3, 99.0), "charges beyond its limit"),
        (lambda power: power[0].__setitem__(3, np.nan), "not a number"),
        (lambda power: power.__setitem__(slice(None), 0.0), "leaves with less than it needs"),
        (lambda power: power[0].__setitem__(slice(0, 4), -10.0), "discharged below empty"),
        (lambda power: power[0].__setitem__(slice(0, 4), 10.0), "charged beyond its capacity"),
    ],
)
def test_the_check_finds_what_is_wrong(spoil, said):
    problem = small.problem(small.assets(steps=5, required_kwh=30.0, departure_step=4), [0.1] * 5)
    plan = solve_fleet(problem)
    check_totals(plan.cost, plan.lower_bound, replay(problem, plan.power_kw), 0.0)
    spoil(plan.power_kw)
    with pytest.raises(PlanCheckFailed) as failed:
        check_totals(plan.cost, plan.lower_bound, replay(problem, plan.power_kw), 0.0)
    assert any(said in finding for finding in failed.value.findings)


def test_the_check_finds_a_cost_that_is_not_true():
    problem = small.problem(small.assets(steps=2, required_kwh=30.0), [0.1, 0.2])
    plan = solve_fleet(problem)
    for cost, bound in ((plan.cost + 0.5, plan.lower_bound), (plan.cost, plan.cost + 0.5), (np.nan, 0.0)):
        with pytest.raises(PlanCheckFailed):
            check_totals(cost, bound, replay(problem, plan.power_kw), 0.0)


def test_the_master_is_the_programme_that_its_docstring_states():
    statement = state(study_problem(200))
    crowd = Crowd(statement.population, statement.coupling, statement.own_price, statement.group_class)
    generation = Generation(crowd, statement.coupling, np.zeros(statement.coupling.lower_kw.shape))
    generation.run(gap=0.0, most_rounds=12)
    coupling, known = statement.coupling, generation.known
    share = cp.Variable((len(known), statement.group_class.size), nonneg=True)
    above, below = cp.Variable(96, nonneg=True), cp.Variable(96, nonneg=True)
    total = sum(answer.block_kw[:, 0].T @ share[row] for row, answer in enumerate(known))
    price = coupling.step_h * coupling.above_price[0]
    cost = sum(answer.cost @ share[row] for row, answer in enumerate(known)) + price @ above + price @ below
    rows = [
        total - above <= coupling.upper_kw[0],
        total + below >= coupling.lower_kw[0],
        cp.sum(share, axis=0) == 1,
    ]
    stated = cp.Problem(cp.Minimize(cost), rows)
    stated.solve(solver=cp.HIGHS)
    assert generation.mix is not None
    assert generation.mix.objective == pytest.approx(stated.value, rel=1e-7)


def sited_problem(sites, per_site, *, import_kw_each=2.0, **settings):
    """The study's fleet behind so many connections, each with an import limit that falls in the evening."""
    whole, one = study_problem(sites * per_site), study_problem(per_site)
    fleet = replace(whole.assets, site_index=np.repeat(np.arange(sites), per_site))
    limit_kw = np.minimum(one.import_limit_kw, import_kw_each * per_site)
    limits = SiteLimits(
        np.arange(sites),
        np.tile(one.base_load_kw, (sites, 1)),
        np.tile(limit_kw, (sites, 1)),
        np.tile(one.export_limit_kw, (sites, 1)),
    )
    free = {"base_load_kw": 0.0, "import_limit_kw": np.inf, "export_limit_kw": np.inf}
    return replace(whole, assets=fleet, sites=limits, **(free | settings))


def test_every_site_keeps_its_limits_at_nearly_the_least_cost():
    problem = sited_problem(4, 40)
    plan, exact = solve_fleet(problem, gap=1e-3), solve(problem)
    assert plan.gap <= 1e-3
    assert plan.lower_bound - 1e-3 <= exact.cost <= plan.cost + 1e-3
    assert not plan.missed
    load_kw = group_load_kw(problem.sites, problem.assets.site_index, plan.power_kw)
    assert np.all(load_kw <= problem.sites.import_limit_kw + 0.02)
    assert np.all(load_kw >= -problem.sites.export_limit_kw - 0.02)


def test_sites_and_the_portfolio_are_limited_at_once():
    whole = study_problem(120)
    problem = sited_problem(
        3, 40, base_load_kw=whole.base_load_kw, import_limit_kw=0.8 * whole.import_limit_kw, missed_price_per_kwh=3.0
    )
    plan, exact = solve_fleet(problem, gap=2e-3), solve(problem)
    assert plan.gap <= 4e-3
    assert plan.lower_bound - 1e-3 <= exact.cost <= plan.cost + 1e-3


def test_a_site_that_contradicts_its_drivers_keeps_its_limit_and_says_who_loses():
    fleet = small.assets(count=4, steps=2, energy_kwh=10.0, required_kwh=30.0, site_index=np.array([0, 0, 1, -1]))
    limits = SiteLimits.constant(["narrow", "wide"], steps=2, import_limit_kw=[15.0, 100.0])
    problem = small.problem(fleet, [0.1, 0.2], sites=limits)
    plan = solve_fleet(problem)
    assert plan.status is PlanStatus.BEST_EFFORT
    assert {miss.asset_id for miss in plan.missed} <= {"car-0", "car-1"}
    assert sum(miss.kwh for miss in plan.missed) == pytest.approx(10.0, abs=0.01)  # 40 wanted, 2 h of 15 kW to be had
    assert plan.power_kw[:2].sum(axis=0).max() <= 15.0 + 0.01
    assert all("safety limit" in miss.reason for miss in plan.missed)


def test_a_site_whose_own_load_is_too_much_is_told():
    limits = SiteLimits.constant(["full"], steps=1, import_limit_kw=5.0, base_load_kw=20.0)
    fleet = small.assets(count=1, steps=1, discharge_kw=8.0, site_index=np.array([0]))
    plan = solve_fleet(small.problem(fleet, [0.1], sites=limits))
    (miss,) = plan.missed
    assert (miss.kind, miss.site_id) == (MissKind.SITE_IMPORT_LIMIT, "full")
    assert miss.kw == pytest.approx(7.0, abs=0.01) and plan.power_kw[0, 0] == pytest.approx(-8.0, abs=1e-3)


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(prices=NEGATIVE_PRICES, sites=True))
def test_behind_sites_and_at_any_price_the_bound_holds(problem):
    plan = solve_fleet(problem, gap=1e-4)
    exact = solve(problem)
    if exact.status is PlanStatus.OPTIMAL:
        assert plan.lower_bound <= exact.cost + 1e-4 * max(1.0, abs(exact.cost))
    for kind in (MissKind.SITE_IMPORT_LIMIT, MissKind.SITE_EXPORT_LIMIT):
        fleet_kw = sum(miss.kw for miss in plan.missed if miss.kind is kind)
        exact_kw = sum(miss.kw for miss in exact.missed if miss.kind is kind)
        assert fleet_kw <= exact_kw + 0.1


def test_the_first_step_is_handed_on_before_the_proof_and_is_the_plans_own(monkeypatch):
    monkeypatch.setattr(ladder, "LAST_SAMPLE", 500)
    problem, handed_on = study_problem(2500), []
    plan = solve_fleet(problem, gap=2e-3, on_first_step=lambda power_kw: handed_on.append(power_kw))
    (first_kw,) = handed_on
    np.testing.assert_allclose(first_kw, plan.power_kw[:, 0], atol=1e-6)
    check_first_step(problem, first_kw)


@pytest.mark.parametrize(
    ("power_kw", "said"),
    [
        (11.0, "charges beyond its limit"),
        (np.nan, "not a number"),
        (-10.0, "could no longer reach its need"),
    ],
)
def test_a_first_step_that_may_not_be_is_not_handed_on(power_kw, said):
    problem = small.problem(small.assets(steps=2, required_kwh=30.0, departure_step=2), [0.1, 0.1])
    check_first_step(problem, np.array([0.0]))
    with pytest.raises(PlanCheckFailed) as failed:
        check_first_step(problem, np.array([power_kw]))
    assert any(said in finding for finding in failed.value.findings)


def test_numbers_are_dealt_out_evenly_among_those_who_are_alike():
    population = state(study_problem(4000)).population
    draw, place = ladder.even_draw(population, np.arange(4000), 0.3)
    assert sorted(place.tolist()) == list(range(4000))
    in_order = draw[np.argsort(place)]
    for first in range(0, 4000, 400):
        assert np.histogram(in_order[first : first + 400], bins=4, range=(0, 1))[0].min() >= 95


def hub_problem(cars=160, packs=12, **settings):
    """Cars behind four connections and a hub of packs with an emergency reserve; some cars' computers could run."""
    cars_problem = sited_problem(4, cars // 4)
    fleet, steps = cars_problem.assets, 96
    pack = study_problem(packs).assets
    battery = replace(
        pack,
        asset_id=np.arange(cars, cars + packs),
        site_index=np.full(packs, 4),
        arrival_step=np.zeros(packs, dtype=int),
        departure_step=np.full(packs, steps),
        required_kwh=pack.energy_kwh,
        discharge_kw=pack.charge_kw,
        holds_reserve=np.ones(packs, dtype=bool),
    )
    fleet = replace(fleet, holds_reserve=np.zeros(cars, dtype=bool))
    joined = {
        name: np.concatenate([getattr(fleet, name), getattr(battery, name)])
        for name in FlexibleAssets.__dataclass_fields__
        if getattr(fleet, name) is not None
    }
    old = cars_problem.sites
    none = np.full((1, steps), np.inf)
    sites = SiteLimits(
        np.arange(5),
        np.vstack([old.base_load_kw, np.zeros((1, steps))]),
        np.vstack([old.import_limit_kw, none]),
        np.vstack([old.export_limit_kw, none]),
        np.array([0.0, 0.0, 0.0, 0.0, 0.9 * battery.energy_kwh.sum()]),
    )
    plugged = FlexibleAssets(**joined).plugged(steps)[:cars:8].astype(float)
    computing = ComputingLoad(
        np.arange(plugged.shape[0]),
        joined["site_index"][:cars:8],
        np.full(plugged.shape[0], -1),
        np.full(plugged.shape[0], 0.3),
        np.where(np.arange(plugged.shape[0]) % 2, 0.22, 0.4)[:, None] * np.ones(steps),
        plugged,
    )
    return replace(cars_problem, assets=FlexibleAssets(**joined), sites=sites, computing=computing, **settings)


def test_a_hub_with_a_reserve_and_idle_computers_are_planned_with_the_fleet():
    target = EventTarget(
        "evening", np.where((np.arange(96) >= 24) & (np.arange(96) < 28), -30.0, np.nan), includes_computing=False
    )
    problem = hub_problem(targets=(target,))
    plan, exact = solve_fleet(problem, gap=1e-3), solve(problem)
    assert plan.status is PlanStatus.WITHIN_GAP and plan.gap <= 3e-3
    assert sum(miss.kwh for miss in plan.missed) < 0.1  # of 30 kWh
    assert plan.lower_bound - 1e-3 <= exact.cost <= plan.cost + 1e-3
    assert plan.power_kw.shape == (172, 96) and plan.computing_kw.shape == (20, 96)
    assert np.all(plan.computing_kw <= 0.3 * problem.computing.availability + 1e-5)
    assert plan.computing_kw.sum() == pytest.approx(exact.computing_kw.sum(), rel=0.02)
    energy_kwh = replay_energy(problem.assets, problem.horizon, plan.power_kw.astype(float))
    assert energy_kwh[160:].sum(axis=0).min() >= problem.sites.emergency_reserve_kwh[4] - 0.01
    full = in_full(problem, plan)
    assert full.set_point_kw.shape == full.energy_kwh.shape == (172, 96)


def test_computers_run_where_they_earn_more_than_their_power_costs():
    computing = ComputingLoad(
        np.array(["cpu"]),
        np.array([-1]),
        np.array([-1]),
        np.array([0.5]),
        np.array([[0.3, 0.3, 0.3]]),
        np.array([[1.0, 1.0, 0.5]]),
    )
    problem = small.problem(small.assets(steps=3), [0.2, 0.4, 0.1], computing=computing)
    plan = solve_fleet(problem, gap=1e-6)
    assert plan.computing_kw[0].tolist() == pytest.approx([0.5, 0.0, 0.25])
    assert plan.cost == pytest.approx(solve(problem).cost, abs=1e-5)
