"""Assets whose power depends on their energy: the response, both planners and both checks against the linear programme."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from aggregator.core.dispatch import DispatchProblem, solve
from aggregator.core.dispatch.fleet.plan import solve_fleet
from common.horizon import Horizon
from tests.unit.aggregator.core.dispatch import small
from tests.unit.aggregator.core.dispatch.curves import charge_curves, discharge_curves, tapered
from tests.unit.aggregator.core.dispatch.direct_lp import curve_lines, direct_optimum
from tests.unit.aggregator.core.dispatch.fleet.test_response import lone_assets, response
from tests.unit.aggregator.core.dispatch.instances import NOON, study_fleet, study_prices, study_problem
from tests.unit.aggregator.core.dispatch.test_properties import NEGATIVE_PRICES, PRICES, problems


@st.composite
def with_curves(draw, assets):
    return replace(assets, charge_curve=draw(charge_curves(assets)), discharge_curve=draw(discharge_curves(assets)))


@st.composite
def lone_curved_assets(draw):
    assets, price, step_h = draw(lone_assets())
    return draw(with_curves(assets)), price, step_h


@st.composite
def curved_problems(draw, prices=PRICES):
    problem = draw(problems(prices=prices))
    return replace(problem, assets=draw(with_curves(problem.assets)))


def assert_keeps_curves(assets, step_h, charged, drained, row=0):
    energy = assets.energy_kwh[row] + np.cumsum(charged - drained)
    for points, at_kwh, power_kw in (
        (
            assets.charge_curve,
            max(assets.capacity_kwh[row], assets.energy_kwh[row]),
            charged / assets.charge_efficiency[row],
        ),
        (assets.discharge_curve, 0.0, drained * assets.discharge_efficiency[row]),
    ):
        for kw, per_kwh in curve_lines(points, row, at_kwh):
            assert np.all(power_kw / step_h <= np.where(power_kw > 0, kw + per_kwh * energy, np.inf) + 1e-6)


@settings(max_examples=700, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(lone_curved_assets())
def test_the_response_costs_what_the_linear_programme_costs(drawn):
    assets, price, step_h = drawn
    problem = DispatchProblem(assets, Horizon(NOON, step_h * 3600.0), price)
    optimum = direct_optimum(problem)
    assert optimum is not None
    charged, drained, paid = response(assets, price, step_h, burns=False)
    assert_keeps_curves(assets, step_h, charged, drained)
    assert not np.any((charged > 1e-9) & (drained > 1e-9))
    assert paid >= optimum - 1e-6
    bound = response(assets, price, step_h)[2]
    assert bound <= optimum + 1e-6
    burning = bool(np.any(price < 0) and assets.discharge_kw[0] > 0)
    if not burning:
        assert paid == pytest.approx(optimum, abs=1e-6)
    event("may burn" if burning else "one way at a time")


@pytest.mark.parametrize("seed", range(4))
def test_over_a_whole_day_of_quarter_hours(seed):
    step_h = np.full(96, 0.25)
    assets = study_fleet(25, seed=seed)
    assets = replace(assets, charge_curve=tapered(assets, 0.6, 0.1), energy_kwh=1.2 * assets.energy_kwh)
    noise = np.random.default_rng(seed)
    price = study_prices(96) if seed % 2 else np.round(noise.uniform(0.0, 0.4, 96), 2)
    total = 0.0
    for row in range(25):
        charged, drained, paid = response(assets, price, step_h, row)
        assert_keeps_curves(assets, step_h, charged, drained, row)
        total += paid
    problem = DispatchProblem(assets, Horizon.uniform(NOON, steps=96, step_s=900.0), price)
    assert total == pytest.approx(direct_optimum(problem), rel=1e-7)


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(curved_problems())
def test_both_planners_reach_the_optimum(problem):
    optimum = direct_optimum(problem)
    slack = 1e-5 * max(1.0, abs(optimum))
    exact, fleet = solve(problem), solve_fleet(problem, gap=1e-6)  # both raise where their check finds a curve broken
    for plan in (exact, fleet):
        assert plan.lower_bound <= optimum + slack
        assert plan.cost >= optimum - slack
    if exact.gap < 1e-7 and np.all(problem.import_limit_kw + problem.export_limit_kw >= 0):
        assert exact.cost <= optimum + slack
        assert fleet.cost <= optimum + slack


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(curved_problems(prices=NEGATIVE_PRICES))
def test_at_negative_prices_the_bound_holds(problem):
    optimum = direct_optimum(problem)
    plan = solve_fleet(problem, gap=1e-6)
    assert plan.lower_bound <= optimum + 1e-5 * max(1.0, abs(optimum))
    assert plan.cost >= optimum - 1e-5 * max(1.0, abs(optimum))


def test_a_fleet_with_curves_costs_a_little_more_and_is_proven_too():
    problem = study_problem(300)
    curved = replace(problem, assets=replace(problem.assets, charge_curve=tapered(problem.assets, 0.6, 0.2)))
    exact, fleet = solve(curved), solve_fleet(curved, gap=1e-4)
    assert fleet.gap <= 1e-4
    assert fleet.lower_bound - 1e-3 <= exact.cost <= fleet.cost + 1e-3
    assert exact.cost > solve(problem).cost + 0.1


def test_a_nearly_full_battery_takes_what_its_curve_says():
    fleet = small.assets(steps=2, energy_kwh=30.0, required_kwh=40.0)
    fleet = replace(fleet, charge_curve=np.array([[[30.0, 10.0], [40.0, 2.0]]]))
    for plan in (solve(small.problem(fleet, [0.1, 0.1])), solve_fleet(small.problem(fleet, [0.1, 0.1]))):
        # a kW held for an hour costs 0.8 kW of what is taken: 10 / 1.8, then (10 − 0.8 · 5.56) / 1.8
        assert plan.power_kw[0].tolist() == pytest.approx([10 / 1.8, (10 - 0.8 * 10 / 1.8) / 1.8], abs=1e-4)
        (miss,) = plan.missed
        assert miss.kwh == pytest.approx(40 - 30 - plan.power_kw[0].sum(), abs=1e-3)
