"""Regions that are planned apart, under one portfolio's limits: together they cost what one plan of all of them costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aggregator.core.dispatch import ComputingLoad, DispatchProblem, EventTarget, SiteLimits, TargetDirection
from aggregator.core.dispatch.fleet.allotment import (
    PortfolioPrices,
    allot,
    at_duals,
    lower_bound,
    portfolio_rows,
    with_allotment,
)
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.plan import solve_fleet
from aggregator.core.dispatch.fleet.regions import find_prices
from aggregator.core.dispatch.fleet.sample import sample_of
from aggregator.core.dispatch.result import relative_gap
from tests.unit.aggregator.core.dispatch.instances import study_problem

COUNT = 900
GAP = 5e-4
MISSED_PRICE = 3.0


def rows_of(problem: DispatchProblem) -> Coupling:
    return portfolio_rows(
        problem.horizon.step_h,
        problem.import_limit_kw - problem.base_load_kw,
        problem.export_limit_kw + problem.base_load_kw,
        problem.missed_price_per_kwh,
    )


def split(problem: DispatchProblem, parts: list[float]) -> list[DispatchProblem]:
    """The same portfolio as regions of unequal size, none with a limit of its own; every other one cannot discharge."""
    draw = np.random.default_rng(3)
    of = draw.choice(len(parts), len(problem.assets), p=parts)
    alone = replace(problem, base_load_kw=0.0, import_limit_kw=np.inf, export_limit_kw=np.inf)
    regions = []
    for number in range(len(parts)):
        assets = problem.assets.select(np.flatnonzero(of == number))
        if number % 2:
            assets = replace(assets, discharge_kw=np.zeros(len(assets)))
        regions.append(replace(alone, assets=assets))
    return regions


def joined(whole: DispatchProblem, regions: list[DispatchProblem]) -> DispatchProblem:
    """What the regions are together, as one problem."""
    columns = {
        name: np.concatenate([getattr(region.assets, name) for region in regions])
        for name in whole.assets.__dataclass_fields__
        if getattr(whole.assets, name) is not None
    }
    return replace(whole, assets=type(whole.assets)(**columns))


def plan_apart(rows: Coupling, regions: list[DispatchProblem], size: int) -> tuple[float, float, np.ndarray]:
    """Cost, lower bound and total power of the regions' plans."""
    prices = find_prices(rows, [sample_of(region, size) for region in regions], gap=GAP)
    bound = lower_bound(
        rows, prices.duals, [solve_fleet(at_duals(region, prices.duals), gap=GAP / 2).lower_bound for region in regions]
    )
    least_kw, most_kw = allot(rows, prices)
    price = np.full(rows.step_h.size, MISSED_PRICE)
    cost, total_kw = 0.0, np.zeros(rows.step_h.size)
    for number, region in enumerate(regions):
        plan = solve_fleet(with_allotment(region, least_kw[number], most_kw[number], price, "portfolio"), gap=GAP / 2)
        cost += plan.cost - sum(miss.money for miss in plan.missed if miss.event_id == "portfolio")
        total_kw += plan.total_power_kw
    return cost + rows.missed_cost(total_kw[None]), bound, total_kw


@pytest.mark.parametrize("parts", [[0.5, 0.3, 0.2], [0.9, 0.06, 0.04], [1.0]])
def test_regions_apart_cost_what_they_cost_together(parts: list[float]) -> None:
    whole = study_problem(COUNT)
    regions = split(whole, parts)
    together = solve_fleet(joined(whole, regions), gap=1e-4)
    cost, bound, total_kw = plan_apart(rows_of(whole), regions, size=150)
    assert bound <= together.cost + 1e-6
    assert cost >= together.lower_bound - 1e-6
    assert relative_gap(cost, bound) < 5e-3
    assert np.all(total_kw + whole.base_load_kw <= whole.import_limit_kw + 0.1)


def test_where_nothing_is_short_the_price_is_nothing() -> None:
    whole = replace(study_problem(300), import_limit_kw=np.inf, export_limit_kw=np.inf)
    prices = find_prices(rows_of(whole), [sample_of(region, 50) for region in split(whole, [0.5, 0.5])], gap=GAP)
    assert np.all(prices.duals == 0.0)


def test_a_limit_nobody_can_keep_is_priced_at_what_missing_it_costs() -> None:
    whole = study_problem(200, import_limit_kw=-1e5, export_limit_kw=2e5)
    rows = rows_of(whole)
    regions = split(whole, [0.5, 0.5])
    cost, bound, total_kw = plan_apart(rows, regions, size=100)
    assert rows.missed_cost(total_kw[None]) > 0.9 * cost
    assert relative_gap(cost, bound) < 1e-4


def test_the_bands_add_up_to_the_portfolio_s_limits() -> None:
    draw = np.random.default_rng(0)
    rows = portfolio_rows(np.full(4, 0.25), np.full(4, 100.0), np.array([50.0, 50.0, np.inf, 0.0]), np.full(4, 2.0))
    for total_kw in (-80.0, 0.0, 130.0):  # within the limits, and beyond either
        power_kw = draw.normal(total_kw / 3, 10.0, (3, 4))
        least_kw, most_kw = allot(rows, PortfolioPrices(np.zeros(4), power_kw, draw.uniform(0, 5, (3, 4)), 0.0, 1))
        assert np.allclose(most_kw.sum(axis=0), 100.0)
        assert np.allclose(least_kw.sum(axis=0), [-50.0, -50.0, -np.inf, 0.0])
        assert np.all(least_kw <= most_kw + 1e-9)


def test_a_region_s_own_event_stands_beside_the_portfolio_s_limit() -> None:
    """Both are kept: the region that is asked for discharge gives it, and the other makes room."""
    whole = study_problem(400)
    regions = split(whole, [0.5, 0.5])
    wanted_kw = np.where(whole.import_limit_kw < 100.0, -150.0, np.nan)
    own = EventTarget("own", wanted_kw, TargetDirection.EXACTLY, 2.0)
    regions[0] = replace(regions[0], targets=(own,))
    rows = rows_of(replace(whole, base_load_kw=0.0, import_limit_kw=np.where(np.isnan(wanted_kw), np.inf, 20.0)))
    prices = find_prices(rows, [sample_of(region, 200) for region in regions], gap=GAP)
    inside = ~np.isnan(wanted_kw)
    assert np.allclose(prices.power_kw[0][inside], -150.0, atol=2.0)
    assert np.all(prices.power_kw.sum(axis=0)[inside] <= 20.5)


def test_a_sample_stands_for_all_its_assets_and_computers() -> None:
    whole = study_problem(1000)
    steps = whole.horizon.steps
    computing = ComputingLoad(
        np.arange(7),
        np.full(7, -1),
        np.full(7, -1),
        np.full(7, 0.3),
        np.full((7, steps), 0.5),
        np.ones((7, steps)),
    )
    sample = sample_of(replace(whole, computing=computing), 100)
    assert 90 <= len(sample.problem.assets) <= 112
    for name in ("charge_kw", "discharge_kw", "capacity_kwh"):
        stood_for = sample.weight * getattr(sample.problem.assets, name).sum()
        assert stood_for == pytest.approx(getattr(whole.assets, name).sum(), rel=0.1), name
    assert sample.problem.computing is not None
    assert sample.weight * sample.problem.computing.power_kw.sum() == pytest.approx(7 * 0.3)
    assert np.allclose(sample.weight * sample.problem.import_limit_kw, whole.import_limit_kw)


def test_what_sites_leave_to_their_assets_limits_the_sample() -> None:
    whole = study_problem(60)
    crowded = replace(whole.assets, site_index=np.where(np.arange(60) < 30, 0, -1))
    steps = whole.horizon.steps
    sites = SiteLimits.constant(["depot"], steps=steps, import_limit_kw=20.0, export_limit_kw=0.0)
    free = replace(whole, assets=crowded, base_load_kw=0.0, import_limit_kw=np.inf, export_limit_kw=np.inf)
    sample = sample_of(replace(free, sites=sites), 60)
    steps_of = np.arange(steps)
    there = (steps_of >= crowded.arrival_step[:, None]) & (steps_of < crowded.departure_step[:, None])
    at_depot = np.arange(60) < 30
    charge_kw, discharge_kw = crowded.charge_kw[:, None] * there, crowded.discharge_kw[:, None] * there
    crowd_kw = charge_kw[at_depot].sum(axis=0)
    expected_kw = np.where(crowd_kw > 20.0, 20.0 + charge_kw[~at_depot].sum(axis=0), np.inf)
    assert np.allclose(sample.problem.import_limit_kw, expected_kw)
    expected_kw = np.where(discharge_kw[at_depot].any(axis=0), discharge_kw[~at_depot].sum(axis=0), np.inf)
    assert np.allclose(sample.problem.export_limit_kw, expected_kw)
    plan = solve_fleet(sample.problem, gap=1e-4)
    assert np.all(plan.total_power_kw <= sample.problem.import_limit_kw + 1e-3)


def test_an_empty_region_has_a_price_all_the_same() -> None:
    whole = study_problem(50)
    empty = replace(whole, assets=whole.assets.select(np.zeros(0, dtype=np.int64)), base_load_kw=0.0)
    prices = find_prices(rows_of(whole), [sample_of(empty), sample_of(split(whole, [1.0])[0])], gap=GAP)
    assert np.all(prices.power_kw[0] == 0.0)
