"""Fairness: who was called least goes first among equals, for a bounded price, at the true cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.core.dispatch import EventTarget, TargetDirection, solve
from aggregator.core.dispatch.appraisal import plan_cost
from aggregator.core.dispatch.choice import in_full
from aggregator.core.dispatch.fleet.plan import solve_fleet
from aggregator.core.fairness import at_true_cost, gini, in_fair_order, wear_discounts
from tests.unit.aggregator.core.dispatch import small
from tests.unit.aggregator.core.dispatch.test_properties import problems

BOUND = 0.005


def exact(problem):
    return solve(problem)


def generated(problem):
    return in_full(problem, solve_fleet(problem, gap=1e-6))


def test_who_was_called_least_has_the_largest_discount_and_equals_have_none():
    called, offered = np.array([0.0, 0.02, 0.02, 0.5]), np.array([100.0, 50.0, 50.0, 200.0])
    discount = wear_discounts(called, offered, np.full(4, 1.0), BOUND)
    assert discount == pytest.approx([BOUND * 0.5, BOUND * 0.25, BOUND * 0.25, 0.0])
    assert not wear_discounts(np.full(4, 0.1), offered, np.ones(4), BOUND).any()
    assert not wear_discounts(np.zeros(0), np.zeros(0), np.zeros(0), BOUND).size
    assert wear_discounts(called, offered, np.array([0.001, 0, 0, 0]), BOUND).tolist() == [0.001, 0, 0, 0]


def evening(count=4):
    """Cars that are alike in all; an event wants half of what they can give for an hour."""
    fleet = small.assets(count, steps=3, wear_per_kwh=0.05, required_kwh=0.0, charge_efficiency=0.95)
    target = EventTarget("evening", np.array([np.nan, -5.0 * count, np.nan]), TargetDirection.AT_MOST, 5.0)
    return small.problem(fleet, [0.1, 0.1, 0.1], targets=(target,))


@pytest.mark.parametrize("method", [exact, generated])
def test_over_a_month_all_give_alike_at_the_same_cost(method):
    problem = evening()
    offered_kwh = np.full(4, 1000.0)
    fair, first = np.zeros(4), np.zeros(4)
    for _ in range(10):
        discounts = wear_discounts(fair / offered_kwh, offered_kwh, problem.assets.wear_per_kwh, BOUND)
        plan = at_true_cost(method(in_fair_order(problem, discounts)), discounts)
        unfair = method(problem)
        fair += np.maximum(-plan.power_kw, 0.0).sum(axis=1)
        first += np.maximum(-unfair.power_kw, 0.0).sum(axis=1)
        assert plan.cost == pytest.approx(unfair.cost, abs=1e-3)
        assert plan.cost == pytest.approx(
            plan_cost(problem, plan.power_kw, plan.computing_kw, plan.reserve_kw), abs=1e-5
        )
    assert gini(fair / offered_kwh, offered_kwh) < 0.06
    assert fair.min() > 0.75 * fair.max()
    assert gini(first / offered_kwh, offered_kwh) > gini(fair / offered_kwh, offered_kwh) - 1e-9


@settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(), st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4))
def test_fairness_costs_no_more_than_its_bound_and_the_lower_bound_stays_true(problem, called):
    count = len(problem.assets)
    wear = problem.assets.wear_per_kwh
    discounts = wear_discounts(np.array(called[:count]), np.ones(count), wear, BOUND)
    best = solve(problem)
    plan = at_true_cost(solve(in_fair_order(problem, discounts)), discounts)
    discharged_kwh = float((np.maximum(-plan.power_kw, 0.0) @ problem.horizon.step_h).sum())
    slack = 1e-5 * max(1.0, abs(best.cost))
    assert plan.lower_bound <= best.cost + slack
    assert best.cost - slack <= plan.cost <= best.cost + BOUND * discharged_kwh + slack
    assert plan.cost == pytest.approx(plan_cost(problem, plan.power_kw, plan.computing_kw, {}), abs=1e-5)


def test_without_differences_the_problem_stays_the_same_object():
    problem = evening()
    assert in_fair_order(problem, np.zeros(4)) is problem
    plan = solve(problem)
    assert at_true_cost(plan, np.zeros(4)) is plan
    assert replace(plan, cost=plan.cost) is not plan


def test_gini_of_known_cases():
    assert gini(np.array([0.2, 0.2, 0.2]), np.ones(3)) == pytest.approx(0.0)
    assert gini(np.array([0.0, 0.0, 0.0, 1.0]), np.ones(4)) == pytest.approx(0.75)
    assert gini(np.array([1.0, 3.0]), np.ones(2)) == pytest.approx(0.25)
    assert gini(np.array([1.0, 3.0]), np.array([2.0, 2.0])) == pytest.approx(0.25)
    # two owners of one rate are as one of twice the weight
    assert gini(np.array([1.0, 1.0, 3.0]), np.array([1.0, 2.0, 4.0])) == pytest.approx(
        gini(np.array([1.0, 3.0]), np.array([3.0, 4.0]))
    )
    assert gini(np.zeros(3), np.ones(3)) == 0.0 and gini(np.zeros(0), np.zeros(0)) == 0.0
