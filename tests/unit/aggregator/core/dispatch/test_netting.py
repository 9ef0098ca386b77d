"""Burning energy by charging and discharging at once is never planned."""

import numpy as np
import pytest

from aggregator.core.dispatch import EventTarget, SiteLimits, solve
from aggregator.core.dispatch.exact import solve_exact
from aggregator.core.dispatch.netting import at_once, net_out
from aggregator.core.dispatch.preparation import prepare
from tests.unit.aggregator.core.dispatch.small import assets, problem

LOSSY = {"charge_efficiency": 0.9, "discharge_efficiency": 0.9}


def test_the_programme_alone_would_burn_energy_at_negative_prices():
    prepared = prepare(problem(assets(energy_kwh=40.0, **LOSSY), [-1.0] * 4))
    solution = solve_exact(prepared.free, prepared.limits)
    assert at_once(solution.charge_kw, solution.discharge_kw).any(), "else the next test proves nothing"


def test_full_battery_at_negative_prices_gets_an_honest_gap():
    plan = solve(problem(assets(energy_kwh=40.0, **LOSSY), [-1.0] * 4))
    # One way at a time: give 10 kWh in one hour, take 10 in another, as often as room allows; never below the bound.
    assert plan.cost > plan.lower_bound + 0.1
    assert plan.gap == pytest.approx((plan.cost - plan.lower_bound) / abs(plan.lower_bound))
    assert plan.energy_kwh.max() <= 40.0 + 1e-6


def test_netting_keeps_each_batterys_energy_and_never_draws_more():
    fleet = assets(3, **LOSSY)
    charge, discharge = np.array([[6.0], [2.0], [4.0]]), np.array([[1.0], [5.0], [0.0]])
    power = net_out(charge, discharge, fleet)
    change = np.where(power > 0, 0.9 * power, power / 0.9)
    assert change == pytest.approx(0.9 * charge - discharge / 0.9)
    assert np.all(power <= charge - discharge + 1e-12)


def test_filling_up_a_target_with_losses_is_forbidden():
    event = EventTarget("up", np.array([4.0, 4.0, 4.0, 4.0]), missed_price_per_kwh=5.0)
    plan = solve(problem(assets(energy_kwh=40.0, **LOSSY), [0.1] * 4, targets=(event,)))
    replay = 40.0
    for power in plan.power_kw[0]:
        replay += 0.9 * power if power > 0 else power / 0.9
        assert replay <= 40.0 + 1e-6
    assert plan.missed, "4 kW for four hours have nowhere to go"


def test_sun_beyond_the_export_limit_is_listed_rather_than_burnt():
    sites = SiteLimits.constant(["farm"], steps=2, base_load_kw=-8.0, export_limit_kw=6.0)
    plan = solve(problem(assets(steps=2, energy_kwh=40.0, site_index=0, **LOSSY), [0.1, 0.1], sites=sites))
    assert {miss.kind.value for miss in plan.missed} == {"site_export_limit"}
    assert plan.power_kw.max() <= 1e-3 or plan.energy_kwh.max() <= 40.0 + 1e-6
