"""Thousands of small portfolios, the odd ones included: the plan exists, survives its replay and is optimal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from aggregator.core.dispatch import (
    ComputingLoad,
    DispatchProblem,
    EventTarget,
    MissKind,
    ReserveDirection,
    ReserveProduct,
    SiteLimits,
    TargetDirection,
    check_plan,
    solve,
)
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets
from tests.unit.aggregator.core.dispatch.direct_lp import direct_optimum
from tests.unit.aggregator.core.dispatch.instances import NOON

PRICES = st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.3, 1.0])
NEGATIVE_PRICES = st.sampled_from([-2.0, -0.6, -0.3, -0.05, 0.0, 0.1, 0.4])


@st.composite
def asset_columns(draw, count, steps):
    def column(values):
        return np.array([draw(values) for _ in range(count)], dtype=float)

    arrival = np.array([draw(st.integers(0, steps)) for _ in range(count)], dtype=int)
    departure = np.array([draw(st.integers(int(at), steps)) for at in arrival], dtype=int)
    capacity = column(st.sampled_from([0.0, 10.0, 40.0]))
    ready = np.array([draw(st.integers(0, int(at))) for at in departure], dtype=int)
    return {
        "discharge_part": draw(
            st.sampled_from(
                [None, np.ones((count, steps)), np.arange(count * steps).reshape(count, steps) % 3 / 2.0],
            )
        ),
        "ready_step": np.where(draw(st.booleans()), ready, departure),
        "asset_id": np.arange(count),
        "site_index": np.array([draw(st.integers(-1, 1)) for _ in range(count)], dtype=int),
        "node_index": np.full(count, -1),
        "arrival_step": arrival,
        "departure_step": departure,
        "capacity_kwh": capacity,
        "energy_kwh": capacity * column(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.05])),
        "required_kwh": capacity * column(st.sampled_from([0.0, 0.5, 0.9, 1.0, 1.2])),
        "floor_kwh": capacity * column(st.sampled_from([0.0, 0.2, 0.6])),
        "charge_kw": column(st.sampled_from([0.0, 3.7, 11.0])),
        "discharge_kw": column(st.sampled_from([0.0, 3.7, 11.0])),
        "charge_efficiency": column(st.sampled_from([0.85, 0.95, 1.0])),
        "discharge_efficiency": column(st.sampled_from([0.85, 0.95, 1.0])),
        "wear_per_kwh": column(st.sampled_from([0.0, 0.05])),
    }


@st.composite
def problems(draw, prices=PRICES, sites=False):
    steps, count = draw(st.integers(1, 6)), draw(st.integers(0, 4))
    columns = draw(asset_columns(count, steps))
    if count > 1 and draw(st.booleans()):  # identical cars
        columns = {
            name: None if values is None else np.repeat(values[:1], count, axis=0) for name, values in columns.items()
        } | {"asset_id": np.arange(count)}
    limit = st.sampled_from([-5.0, 0.0, 2.0, 10.0, np.inf])
    step_s = np.array([draw(st.sampled_from([15.0, 600.0, 900.0, 3600.0])) for _ in range(steps)])
    limits = None
    if sites:
        side = st.sampled_from([0.0, 4.0, 8.0, np.inf])
        limits = SiteLimits.constant(
            ["north", "south"],
            steps=steps,
            import_limit_kw=[draw(side), draw(side)],
            export_limit_kw=[draw(side), draw(side)],
            base_load_kw=[draw(st.sampled_from([-6.0, 0.0, 3.0, 6.0])), 0.0],
        )
    return DispatchProblem(
        assets=FlexibleAssets(**columns),
        horizon=Horizon(NOON, step_s),
        price_per_kwh=np.array([draw(prices) for _ in range(steps)]),
        base_load_kw=np.array([draw(st.sampled_from([-3.0, 0.0, 5.0])) for _ in range(steps)]),
        import_limit_kw=np.array([draw(limit) for _ in range(steps)]),
        export_limit_kw=np.array([draw(limit) for _ in range(steps)]),
        sites=limits,
    )


def close(cost, optimum):
    return abs(cost - optimum) <= 1e-6 * max(1.0, abs(optimum))


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems())
def test_is_optimal_at_prices_that_are_not_negative(problem):
    plan = solve(problem)
    check_plan(problem, plan)
    # A negative import limit asks for export, and burning energy can then pay even at these prices.
    optimum = direct_optimum(problem)
    assert plan.cost >= optimum - 1e-6 * max(1.0, abs(optimum))
    if np.all(problem.import_limit_kw + problem.export_limit_kw >= 0) and plan.gap < 1e-7:
        assert close(plan.cost, optimum)
    event(f"gap {'none' if plan.gap < 1e-7 else 'some'}")


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems(prices=NEGATIVE_PRICES))
def test_never_charges_and_discharges_at_once_at_negative_prices(problem):
    plan = solve(problem)
    check_plan(problem, plan)
    assert close(plan.lower_bound, direct_optimum(problem))
    # One signed number per step cannot do both; that its energy balance holds with one direction at a time is the point.
    replay = problem.assets.energy_kwh.copy()
    for step, hours in enumerate(problem.horizon.step_h):
        power = plan.power_kw[:, step]
        replay += (
            np.where(power > 0, power * problem.assets.charge_efficiency, power / problem.assets.discharge_efficiency)
            * hours
        )
        np.testing.assert_allclose(replay, plan.energy_kwh[:, step], atol=1e-6)


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems(sites=True))
def test_always_finds_a_plan_and_gives_up_nothing_without_need(problem):
    plan = solve(problem)
    check_plan(problem, plan)
    optimum = direct_optimum(problem)
    forced = {MissKind.SITE_IMPORT_LIMIT, MissKind.SITE_EXPORT_LIMIT}
    if optimum is None:
        event("contradictory limits")
        assert plan.missed
    else:
        assert not forced & {miss.kind for miss in plan.missed}
        assert close(plan.lower_bound, optimum)


@st.composite
def crowded_problems(draw):
    """Everything at once: limits of sites and nodes, reserves, events, computing, fixed power, milestones."""
    problem = draw(problems(prices=NEGATIVE_PRICES, sites=True))
    count, steps = len(problem.assets), problem.horizon.steps

    def table(values, rows=count):
        return np.array([[draw(values) for _ in range(steps)] for _ in range(rows)]).reshape(rows, steps)

    fixed = table(st.sampled_from([-11.0, 0.0, 5.0]))
    fixed_until = np.array([draw(st.integers(0, steps)) for _ in range(count)], dtype=int)
    windows = np.arange(steps)
    fixed[windows >= np.maximum(fixed_until, problem.assets.arrival_step)[:, None]] = np.nan
    assets = replace(
        problem.assets,
        node_index=np.array([draw(st.integers(-1, 0)) for _ in range(count)], dtype=int),
        availability=table(st.sampled_from([0.0, 0.5, 1.0])),
        fixed_power_kw=fixed,
        milestone_kwh=table(st.sampled_from([0.0, float("nan"), 8.0, 30.0])),
        holds_reserve=np.array([draw(st.booleans()) for _ in range(count)], dtype=bool),
    )
    level = st.sampled_from([float("nan"), -12.0, 0.0, 6.0])
    target = EventTarget(
        "event",
        np.array([draw(level) for _ in range(steps)]),
        draw(st.sampled_from(TargetDirection)),
        missed_price_per_kwh=draw(st.sampled_from([0.5, 4.0])),
        participates=np.array([draw(st.booleans()) for _ in range(count)], dtype=bool),
    )
    machines = draw(st.integers(0, 2))
    computing = ComputingLoad(
        np.arange(machines),
        np.full(machines, draw(st.integers(-1, 1))),
        np.full(machines, -1),
        np.full(machines, 0.4),
        table(st.sampled_from([0.0, 0.3, 2.0]), machines),
        table(st.sampled_from([0.0, 0.5, 1.0]), machines),
    )
    reserves = tuple(
        ReserveProduct(
            direction.value,
            direction,
            np.full(steps, 0.2),
            draw(st.sampled_from([0.25, 1.0])),
            np.full(steps, draw(st.sampled_from([0.0, 5.0, np.inf]))),
            committed_kw=draw(st.sampled_from([None, np.full(steps, 4.0)])),
            missed_price_per_kw=1.0,
        )
        for direction in ReserveDirection
        if draw(st.booleans())
    )
    return replace(
        problem,
        assets=assets,
        sites=replace(problem.sites, emergency_reserve_kwh=np.array([draw(st.sampled_from([0.0, 15.0])), 0.0])),
        nodes=SiteLimits.constant(["feeder"], steps=steps, import_limit_kw=9.0, export_limit_kw=9.0),
        targets=(target,),
        computing=computing,
        reserves=reserves,
    )


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(crowded_problems())
def test_everything_at_once_still_gives_a_plan_that_passes_its_check(problem):
    plan = solve(problem)
    check_plan(problem, plan)
    assert plan.gap >= 0.0
    fixed = ~np.isnan(problem.assets.fixed_power_kw) & problem.assets.plugged(problem.horizon.steps)
    wanted = problem.assets.fixed_power_kw[fixed]
    assert np.all(plan.power_kw[fixed] * wanted >= -1e-9), "fixed power is never turned round"
    assert np.all(np.abs(plan.power_kw[fixed]) <= np.abs(wanted) + 1e-6)
    for product in problem.reserves:
        assert plan.reserve_kw[product.product].max(initial=0.0) <= product.max_kw.max() + 1e-6
