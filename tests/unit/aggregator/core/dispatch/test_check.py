"""A plan that has been tampered with does not pass."""

from dataclasses import replace

import numpy as np
import pytest

from aggregator.core.dispatch import MissKind, PlanCheckFailed, SiteLimits, check_plan, solve
from tests.unit.aggregator.core.dispatch.instances import study_problem
from tests.unit.aggregator.core.dispatch.small import assets, problem


@pytest.fixture(scope="module")
def solved():
    task = study_problem(10)
    return task, solve(task)


def finding(task, plan, **changes):
    with pytest.raises(PlanCheckFailed) as caught:
        check_plan(task, replace(plan, **changes))
    return str(caught.value)


def test_an_untouched_plan_passes(solved):
    check_plan(*solved)


def moved(plan, row, step, by_kw):
    power_kw = plan.power_kw.copy()
    power_kw[row, step] += by_kw
    return power_kw


def test_power_beyond_the_limit_is_found(solved):
    task, plan = solved
    row = int(np.argmax(plan.power_kw.max(axis=1)))
    step = int(plan.power_kw[row].argmax())
    assert "charges beyond its limit in step" in finding(task, plan, power_kw=moved(plan, row, step, 50.0))


def test_power_outside_the_stay_is_found(solved):
    task, plan = solved
    row = int(np.flatnonzero(task.assets.arrival_step > 0)[0])
    assert f"asset {row} charges beyond its limit in step 0" in finding(task, plan, power_kw=moved(plan, row, 0, 1.0))


def test_energy_that_does_not_follow_from_the_power_is_found(solved):
    task, plan = solved
    assert "does not hold the energy" in finding(task, plan, energy_kwh=plan.energy_kwh + 0.1)


def test_broken_need_is_found(solved):
    task, plan = solved
    text = finding(task, plan, power_kw=np.zeros_like(plan.power_kw))
    assert "less than its need" in text or "does not hold" in text


def test_unlisted_miss_is_found(solved):
    task, plan = solved
    assert any(miss.kind is MissKind.PORTFOLIO_IMPORT_LIMIT for miss in plan.missed)
    assert "portfolio_import_limit is broken" in finding(task, plan, missed=())


def test_not_a_number_is_found(solved):
    task, plan = solved
    assert "not a number" in finding(task, plan, power_kw=moved(plan, 0, 0, float("nan")))


def test_cost_below_the_bound_is_found(solved):
    task, plan = solved
    assert "below its own lower bound" in finding(task, plan, cost=plan.lower_bound - 1.0)


def test_unlisted_breach_of_site_reserve_and_floor_is_found():
    sites = SiteLimits.constant(["hub"], steps=4, import_limit_kw=5.0, emergency_reserve_kwh=15.0)
    fleet = assets(site_index=0, holds_reserve=True, floor_kwh=12.0)
    task = problem(fleet, [1.0] * 4, sites=sites)
    plan = solve(task)

    def with_power(power_kw):
        power = np.array([power_kw], dtype=float)
        return {"power_kw": power, "energy_kwh": 20.0 + np.cumsum(power, axis=1)}

    assert "site hub breaks its site_import_limit" in finding(task, plan, **with_power([6.0, 0, 0, 0]))
    text = finding(task, plan, **with_power([-9.0, 0, 0, 0]))
    assert "less than its emergency reserve in step 0" in text
    assert "falls below its floor in step 0" in text
