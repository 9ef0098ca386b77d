"""Market reserves in column generation: what the exact programme makes of them, proven and checked independently."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from aggregator.core.dispatch import (
    MissKind,
    PlanCheckFailed,
    PlanStatus,
    ReserveDirection,
    ReserveProduct,
    SiteLimits,
    solve,
)
from aggregator.core.dispatch.fleet import ladder
from aggregator.core.dispatch.fleet.plan import solve_fleet
from aggregator.core.dispatch.fleet.reserve_replay import check_reserves
from tests.unit.aggregator.core.dispatch import small
from tests.unit.aggregator.core.dispatch.instances import study_problem
from tests.unit.aggregator.core.dispatch.test_properties import NEGATIVE_PRICES, PRICES, problems


@st.composite
def reserve_products(draw, count, steps):
    """None to three products, the odd ones included: for nothing, beyond the horizon, sold twice over, for some only."""

    def by_step(values):
        return np.array([draw(values) for _ in range(steps)], dtype=float)

    return tuple(
        ReserveProduct(
            f"product {number}",
            draw(st.sampled_from(ReserveDirection)),
            by_step(st.sampled_from([0.0, 0.02, 0.2, -0.05, 1.0])),
            draw(st.sampled_from([0.1, 0.25, 1.0, 2.0, 24.0])),
            by_step(st.sampled_from([0.0, 3.0, 8.0, np.inf])),
            committed_kw=draw(st.sampled_from([None, np.full(steps, 4.0), np.zeros(steps)])),
            missed_price_per_kw=draw(st.sampled_from([0.0, 0.5, 4.0])),
            participates=draw(
                st.one_of(
                    st.none(),
                    st.lists(st.booleans(), min_size=count, max_size=count).map(lambda one: np.array(one, dtype=bool)),
                )
            ),
        )
        for number in range(draw(st.integers(1, 3)))
    )


@st.composite
def problems_with_reserves(draw, prices=PRICES, sites=False):
    problem = draw(problems(prices=prices, sites=sites))
    products = draw(reserve_products(len(problem.assets), problem.horizon.steps))
    assets = problem.assets
    if draw(st.booleans()):
        milestone_kwh = np.full((len(assets), problem.horizon.steps), draw(st.sampled_from([float("nan"), 8.0])))
        fixed_kw = np.full(milestone_kwh.shape, np.nan)
        fixed_kw[:, 0] = draw(st.sampled_from([float("nan"), 2.0, -2.0]))
        assets = replace(assets, milestone_kwh=milestone_kwh, fixed_power_kw=fixed_kw)
    return replace(problem, assets=assets, reserves=products)


@settings(max_examples=100, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems_with_reserves())
def test_small_portfolios_cost_what_the_exact_programme_costs(problem):
    plan, exact = solve_fleet(problem, gap=1e-5), solve(problem)
    optimum = exact.lower_bound
    slack = 5e-5 * max(1.0, abs(optimum))
    assert plan.lower_bound <= optimum + slack
    assert plan.cost >= optimum - slack
    comparable = exact.gap < 1e-7 and np.all(problem.import_limit_kw + problem.export_limit_kw >= 0)
    event("nobody burns" if comparable else "burning would pay, or limits contradict one another")
    if comparable:
        assert plan.cost <= optimum + slack


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems_with_reserves(prices=NEGATIVE_PRICES, sites=True))
def test_behind_sites_and_at_any_price_the_bound_holds_and_every_call_fits(problem):
    plan, exact = (
        solve_fleet(problem, gap=1e-4),
        solve(problem),
    )  # each raises if its own check finds a call that does not fit
    if exact.status is PlanStatus.OPTIMAL:
        assert plan.lower_bound <= exact.cost + 1e-4 * max(1.0, abs(exact.cost))


def two_products(count, *, duration_h=0.25, each_kw=1.0, **settings):
    """The study's fleet, and a market that takes a kW per asset upwards and as much downwards."""
    flat = np.full(96, each_kw * count)
    up = ReserveProduct("up", ReserveDirection.UP, np.full(96, 0.004), duration_h, flat)
    down = ReserveProduct(
        "down", ReserveDirection.DOWN, np.where(np.arange(96) % 24 < 12, 0.005, 0.003), duration_h, flat
    )
    return study_problem(count, reserves=(up, down), **settings)


@pytest.mark.parametrize("duration_h", [0.25, 1.0])
def test_a_day_of_quarter_hours_costs_what_the_exact_programme_costs(duration_h):
    problem = two_products(40, duration_h=duration_h)
    plan, exact = solve_fleet(problem, gap=1e-4), solve(problem)
    assert plan.gap <= 5e-4
    assert plan.lower_bound - 1e-3 <= exact.cost <= plan.cost + 1e-3
    for name in ("up", "down"):
        assert plan.reserve_kw[name].sum() == pytest.approx(exact.reserve_kw[name].sum(), rel=0.02)
    without = solve_fleet(replace(problem, reserves=()), gap=1e-4)
    assert plan.cost < without.cost - 1.0, "reserves pay"


def test_a_fleet_larger_than_its_sample_holds_what_it_sells(monkeypatch):
    monkeypatch.setattr(ladder, "LAST_SAMPLE", 400)
    monkeypatch.setattr(ladder, "FIRST_SAMPLE", 100)
    problem = two_products(600)
    plan = solve_fleet(problem, gap=2e-3)
    assert plan.gap <= 2e-2
    for name in ("up", "down"):
        assert np.all(plan.reserve_kw[name] <= plan.held_kw[name].sum(axis=0) + 1e-3)
        assert np.all(plan.reserve_kw[name] <= 600.0 + 1e-6)
        assert plan.reserve_kw[name].max() > 100.0


def reserve(direction, **settings):
    defaults = {"price_per_kw": np.full(4, 1.0), "duration_h": 1.0, "max_kw": np.full(4, np.inf)}
    return ReserveProduct("reserve", direction, **(defaults | settings))


def test_no_kwh_is_promised_twice():
    fleet = small.assets(energy_kwh=4.0, charge_kw=0.0)
    other = ReserveProduct("second", ReserveDirection.UP, np.full(4, 0.4), 0.5, np.full(4, 3.0))
    plan = solve_fleet(small.problem(fleet, [0.0] * 4, reserves=(reserve(ReserveDirection.UP), other)), gap=1e-6)
    assert np.all(plan.reserve_kw["reserve"] * 1.0 + plan.reserve_kw["second"] * 0.5 <= 4.0 + 1e-3)
    assert plan.reserve_kw["reserve"] == pytest.approx([4.0] * 4, abs=1e-3), (
        "each call is checked against the same 4 kWh"
    )


def test_downward_reserve_is_bounded_by_room_and_by_the_stay():
    fleet = small.assets(energy_kwh=37.0, discharge_kw=0.0, departure_step=3)
    longer = reserve(ReserveDirection.DOWN, duration_h=2.0)
    plan = solve_fleet(small.problem(fleet, [0.1] * 4, reserves=(longer,)), gap=1e-6)
    assert plan.reserve_kw["reserve"] == pytest.approx([1.5, 1.5, 0.0, 0.0], abs=1e-3)


def test_a_commitment_that_cannot_be_held_is_listed_at_its_price():
    product = reserve(ReserveDirection.UP, committed_kw=np.full(4, 12.0), missed_price_per_kw=3.0)
    plan = solve_fleet(small.problem(small.assets(charge_kw=0.0), [0.0] * 4, reserves=(product,)), gap=1e-6)
    misses = [miss for miss in plan.missed if miss.kind is MissKind.RESERVE]
    assert [miss.step for miss in misses] == [0, 1, 2, 3]
    assert misses[0].kw == pytest.approx(2.0, abs=1e-3) and misses[0].money == pytest.approx(6.0, abs=3e-3)
    assert plan.cost == pytest.approx(4 * (6.0 - 10.0), abs=2e-2)


def test_a_drivers_need_comes_before_a_commitment_at_any_price():
    product = reserve(ReserveDirection.DOWN, committed_kw=np.full(4, 10.0), missed_price_per_kw=1000.0)
    fleet = small.assets(energy_kwh=0.0, required_kwh=40.0)
    plan = solve_fleet(small.problem(fleet, [0.1] * 4, reserves=(product,)), gap=1e-6)
    assert plan.power_kw[0] == pytest.approx([10.0] * 4, abs=1e-3), "it charges flat out, so nothing is left to hold"
    assert {miss.kind for miss in plan.missed} == {MissKind.RESERVE}


def test_a_call_fits_the_limits_of_the_site():
    sites = SiteLimits.constant(["s"], steps=4, import_limit_kw=5.0, export_limit_kw=3.0)
    products = (reserve(ReserveDirection.UP), replace(reserve(ReserveDirection.DOWN), product="down"))
    problem = small.problem(small.assets(count=2, site_index=0), [0.1] * 4, sites=sites, reserves=products)
    plan, exact = solve_fleet(problem, gap=1e-5), solve(problem)
    total_kw = plan.power_kw.sum(axis=0)
    assert np.all(total_kw - plan.reserve_kw["reserve"] >= -3.0 - 1e-2)
    assert np.all(total_kw + plan.reserve_kw["down"] <= 5.0 + 1e-2)
    assert plan.cost == pytest.approx(exact.cost, abs=2e-2)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda power, held, sold: held[0].__setitem__((0, 0), 25.0), "could not deliver its reserve up in kW"),
        (lambda power, held, sold: held[0].__setitem__((1, 2), 9.0), "for its whole duration in kWh"),
        (lambda power, held, sold: held[0].__setitem__((0, 3), 1.0), "while it is not there"),
        (lambda power, held, sold: sold["reserve"].__setitem__(0, 50.0), "is sold than all assets hold"),
        (lambda power, held, sold: power.__setitem__((1, 0), -10.0), "for its whole duration in kWh"),
    ],
)
def test_the_check_finds_what_cannot_be_delivered(spoil, said):
    fleet = small.assets(count=2, energy_kwh=np.array([40.0, 8.0]), departure_step=3)
    problem = small.problem(fleet, [0.1] * 4, reserves=(reserve(ReserveDirection.UP),))
    power_kw, held_kw = np.zeros((2, 4), dtype=np.float32), np.zeros((1, 2, 4), dtype=np.float32)
    held_kw[0, :, :3] = [[10.0], [8.0]]
    sold_kw = {"reserve": held_kw[0].sum(axis=0).astype(float)}
    check_reserves(problem, power_kw, held_kw, sold_kw)
    spoil(power_kw, held_kw, sold_kw)
    with pytest.raises(PlanCheckFailed) as failed:
        check_reserves(problem, power_kw, held_kw, sold_kw)
    assert any(said in finding for finding in failed.value.findings)
