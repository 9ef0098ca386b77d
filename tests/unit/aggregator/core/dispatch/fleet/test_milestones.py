"""Energy that is needed before departure, in column generation: exactly what the linear programme makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.core.dispatch import MissKind, PlanCheckFailed, solve
from aggregator.core.dispatch.appraisal import replay_energy
from aggregator.core.dispatch.fleet import ladder
from aggregator.core.dispatch.fleet.plan import solve_fleet
from aggregator.core.dispatch.fleet.replay import check_totals, replay
from tests.unit.aggregator.core.dispatch import small
from tests.unit.aggregator.core.dispatch.instances import study_problem
from tests.unit.aggregator.core.dispatch.test_properties import NEGATIVE_PRICES, PRICES, problems


@st.composite
def problems_with_milestones(draw, prices=PRICES, sites=False):
    problem = draw(problems(prices=prices, sites=sites))
    count, steps = len(problem.assets), problem.horizon.steps
    wanted = st.sampled_from([0.0, float("nan"), 8.0, 30.0, 50.0])
    milestone_kwh = np.array([[draw(wanted) for _ in range(steps)] for _ in range(count)]).reshape(count, steps)
    return replace(problem, assets=replace(problem.assets, milestone_kwh=milestone_kwh))


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems_with_milestones())
def test_costs_what_the_exact_programme_costs_and_misses_no_more(problem):
    plan, exact = solve_fleet(problem, gap=1e-6), solve(problem)
    slack = 1e-5 * max(1.0, abs(exact.lower_bound))
    assert plan.lower_bound <= exact.lower_bound + slack
    assert plan.cost >= exact.lower_bound - slack
    if exact.gap < 1e-7:
        assert plan.cost <= exact.cost + slack
    for kind in (MissKind.DEPARTURE_NEED, MissKind.FLOOR):
        missed = [sum(miss.kwh for miss in made.missed if miss.kind is kind) for made in (plan, exact)]
        assert missed[0] <= missed[1] + 1e-2


@settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems_with_milestones(prices=NEGATIVE_PRICES, sites=True))
def test_behind_sites_and_at_any_price_the_bound_holds(problem):
    plan, exact = solve_fleet(problem, gap=1e-4), solve(problem)
    if not any("limit" in miss.kind.value or miss.kind is MissKind.FLOOR for miss in exact.missed):
        assert plan.lower_bound <= exact.cost + 1e-4 * max(1.0, abs(exact.cost))


def half_full_by_midnight(count):
    """The study's fleet, every second car of which wants half its capacity twelve hours before the horizon's end."""
    problem = study_problem(count)
    milestone_kwh = np.full((count, 96), np.nan)
    milestone_kwh[::2, 48] = 0.5 * problem.assets.capacity_kwh[::2]
    return replace(problem, assets=replace(problem.assets, milestone_kwh=milestone_kwh))


def test_a_fleet_with_milestones_costs_what_the_exact_programme_says():
    problem = half_full_by_midnight(160)
    plan, exact = solve_fleet(problem, gap=1e-4), solve(problem)
    assert plan.gap <= 1e-4
    assert plan.lower_bound - 1e-3 <= exact.cost <= plan.cost + 1e-3
    assert exact.cost > solve(study_problem(160)).cost + 1.0, "the milestones bind"


def test_a_fleet_larger_than_its_sample_keeps_every_milestone_that_physics_allow(monkeypatch):
    monkeypatch.setattr(ladder, "LAST_SAMPLE", 300)
    problem = half_full_by_midnight(1500)
    plan, assets = solve_fleet(problem, gap=2e-3), problem.assets
    assert plan.gap <= 6e-3
    energy_kwh = replay_energy(assets, problem.horizon, plan.power_kw.astype(float))
    flat_out_kwh = replay_energy(assets, problem.horizon, assets.charge_limit_kw(96))
    wanted_kwh = np.minimum(np.nan_to_num(assets.milestone_kwh[:, 48]), flat_out_kwh[:, 48])
    there = assets.plugged(96)[:, 48]
    assert np.all(energy_kwh[there, 48] >= wanted_kwh[there] - 2e-3)


def test_the_check_finds_a_milestone_that_is_missed():
    fleet = replace(small.assets(steps=3), milestone_kwh=np.array([[0.0, 30.0, 0.0]]))
    problem = small.problem(fleet, [0.1, 0.2, 0.05])
    plan = solve_fleet(problem)
    check_totals(plan.cost, plan.lower_bound, replay(problem, plan.power_kw), 0.0)
    plan.power_kw[0, 0] -= 5.0
    with pytest.raises(PlanCheckFailed) as failed:
        check_totals(plan.cost, plan.lower_bound, replay(problem, plan.power_kw), 0.0)
    assert any("floor" in finding for finding in failed.value.findings)


def test_a_milestone_beyond_physics_is_met_as_far_as_possible_and_listed():
    fleet = replace(small.assets(steps=2, energy_kwh=5.0), milestone_kwh=np.array([[25.0, np.nan]]))
    plan = solve_fleet(small.problem(fleet, [0.9, 0.1]))
    (miss,) = plan.missed
    assert (miss.kind, miss.asset_id, miss.step) == (MissKind.FLOOR, "car-0", 0)
    assert miss.kwh == pytest.approx(10.0, abs=1e-3) and "milestone of 25.00 kWh" in miss.reason
    assert plan.power_kw[0, 0] == pytest.approx(10.0, abs=1e-4)
