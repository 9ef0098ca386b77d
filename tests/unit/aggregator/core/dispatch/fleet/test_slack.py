"""Limits that need no master: homes with a car each, and sites that cannot reach their limit, plan as if they had none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aggregator.core.dispatch import DispatchProblem, MissKind, PlanStatus, SiteLimits, solve
from aggregator.core.dispatch.fleet.plan import solve_fleet
from aggregator.core.dispatch.fleet.statement import state
from tests.unit.aggregator.core.dispatch.instances import study_problem

COUNT, STEPS = 24, 24


def homes(seed: int, **limits: object) -> DispatchProblem:
    """Every asset at a site of its own."""
    problem = study_problem(COUNT, STEPS, seed)
    sites = SiteLimits.constant(np.arange(COUNT), steps=problem.horizon.steps, **limits)  # type: ignore[arg-type]
    return replace(problem, assets=replace(problem.assets, site_index=np.arange(COUNT)), sites=sites)


def test_homes_need_no_masters_whether_or_not_their_limits_bind() -> None:
    assert state(homes(0, import_limit_kw=30.0, export_limit_kw=30.0, base_load_kw=0.5)).site_limits is None
    narrow = state(homes(0, import_limit_kw=5.0, export_limit_kw=0.0, base_load_kw=0.5))
    assert narrow.site_limits is None
    assert np.all(narrow.assets.charge_kw <= 4.5)
    assert np.all(narrow.assets.discharge_kw <= 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_they_cost_what_the_exact_programme_says(seed: int) -> None:
    draw = np.random.default_rng(seed)
    problem = homes(
        seed,
        import_limit_kw=draw.uniform(6.0, 15.0, COUNT),
        export_limit_kw=draw.choice([0.0, 3.0, 20.0], COUNT),
        base_load_kw=draw.uniform(-1.0, 1.0, COUNT),
    )
    plan, exact = solve_fleet(problem, gap=1e-4), solve(problem)
    assert plan.cost == pytest.approx(exact.cost, rel=1.1e-4, abs=1e-4)
    short = [sum(miss.kwh for miss in made.missed if miss.kind is MissKind.DEPARTURE_NEED) for made in (plan, exact)]
    assert short[0] == pytest.approx(short[1], abs=1e-2)


def test_a_driver_whose_home_leaves_too_little_power_is_told_so() -> None:
    problem = homes(1, import_limit_kw=1.0, export_limit_kw=0.0)
    plan = solve_fleet(problem, gap=1e-5)
    assert plan.status == PlanStatus.BEST_EFFORT
    needs = [miss for miss in plan.missed if miss.kind is MissKind.DEPARTURE_NEED]
    assert needs
    assert all("safety limit" in miss.reason for miss in needs)
    assert not any(miss.kind is MissKind.SITE_IMPORT_LIMIT for miss in plan.missed)
    assert plan.power_kw.max() <= 1.0 + 1e-5


def test_a_home_whose_own_load_is_too_much_keeps_its_master() -> None:
    """Only discharging could help there, which no limit of the asset's own says."""
    base_load_kw = np.zeros(COUNT)
    base_load_kw[3] = 12.0
    stated = state(homes(2, import_limit_kw=10.0, export_limit_kw=10.0, base_load_kw=base_load_kw))
    assert stated.site_limits is not None
    assert np.flatnonzero(np.isfinite(stated.site_limits.upper_kw).any(axis=1)).tolist() == [3]


def test_limits_that_change_with_the_hours_stay_with_the_site() -> None:
    problem = homes(3, import_limit_kw=30.0, export_limit_kw=30.0)
    assert problem.sites is not None
    import_limit_kw = problem.sites.import_limit_kw.copy()
    import_limit_kw[5, ::2] = 2.0
    stated = state(replace(problem, sites=replace(problem.sites, import_limit_kw=import_limit_kw)))
    assert stated.site_limits is not None
    assert np.flatnonzero(np.isfinite(stated.site_limits.upper_kw).any(axis=1)).tolist() == [5]


def test_a_depot_is_limited_only_while_its_cars_together_could_reach_the_limit() -> None:
    problem = study_problem(COUNT)
    assets = replace(problem.assets, site_index=np.zeros(COUNT, dtype=np.int64))
    steps = np.arange(problem.horizon.steps)
    there = (steps >= assets.arrival_step[:, None]) & (steps < assets.departure_step[:, None])
    most_kw = (assets.charge_kw[:, None] * there).sum(axis=0)
    limit_kw = float(np.median(most_kw))
    sites = SiteLimits.constant(["depot"], steps=steps.size, import_limit_kw=limit_kw, export_limit_kw=1e3)
    stated = state(replace(problem, assets=assets, sites=sites))
    assert stated.site_limits is not None
    assert np.array_equal(np.isfinite(stated.site_limits.upper_kw[0]), most_kw > limit_kw + 1e-6)
    assert not np.isfinite(stated.site_limits.lower_kw).any()
