"""The exact plan against optima known from a study, and against an oracle that shares nothing with the model."""

import numpy as np
import pytest

from aggregator.core.dispatch import MissKind, PlanStatus, SiteLimits, solve
from tests.unit.aggregator.core.dispatch.direct_lp import direct_optimum
from tests.unit.aggregator.core.dispatch.instances import study_problem


@pytest.mark.parametrize(("count", "optimum"), [(10, 55.1101), (50, 173.6846), (100, 331.7641)])
def test_reaches_the_optimum_of_the_study(count, optimum):
    plan = solve(study_problem(count))
    assert plan.cost == pytest.approx(optimum, abs=6e-5)
    assert plan.gap <= 1e-9
    assert plan.status is PlanStatus.OPTIMAL


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_agrees_with_the_direct_programme(seed):
    problem = study_problem(20, steps=48, seed=seed)
    assert solve(problem).cost == pytest.approx(direct_optimum(problem), rel=1e-6)


def test_agrees_with_the_direct_programme_when_sites_bind():
    problem = study_problem(12, steps=48, seed=5)
    assets = problem.assets.select(np.arange(12))
    object.__setattr__(assets, "site_index", np.arange(12) % 3)
    sites = SiteLimits.constant(["a", "b", "c"], steps=48, import_limit_kw=[9.0, 14.0, 20.0], export_limit_kw=3.0)
    problem = study_problem(12, steps=48, seed=5, assets=assets, sites=sites)
    free = solve(study_problem(12, steps=48, seed=5))
    plan = solve(problem)
    assert plan.cost > free.cost
    assert plan.cost == pytest.approx(direct_optimum(problem), rel=1e-6)


def test_cost_is_made_of_energy_wear_and_missed_kwh():
    problem = study_problem(10)
    plan = solve(problem)
    energy = float((problem.horizon.step_h * problem.price_per_kwh) @ plan.power_kw.sum(axis=0))
    wear = float(problem.assets.wear_per_kwh @ np.maximum(-plan.power_kw, 0) @ problem.horizon.step_h)
    missed = [miss for miss in plan.missed if miss.kind is MissKind.PORTFOLIO_IMPORT_LIMIT]
    assert missed, "at ten assets the event cannot be met in full"
    assert plan.cost == pytest.approx(energy + wear + sum(miss.money for miss in missed), rel=1e-5)
    assert all(miss.money == pytest.approx(miss.kwh * 3.0) for miss in missed)


def test_discharges_in_the_peak_and_charges_at_night():
    problem = study_problem(50)
    plan = solve(problem)
    total_kw = plan.power_kw.sum(axis=0)
    assert plan.power_kw[:, 22:30].min() < -3, "17:30 to 19:30"
    assert total_kw[56:68].mean() > total_kw[22:30].mean() + 50, "02:00 to 05:00"
