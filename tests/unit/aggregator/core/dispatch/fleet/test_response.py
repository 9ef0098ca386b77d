"""One asset's cheapest response, against the linear programme, over thousands of drawn assets and prices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from aggregator.core.dispatch import DispatchProblem
from aggregator.core.dispatch.fleet.arrays import make_workspace
from aggregator.core.dispatch.fleet.population import orders
from aggregator.core.dispatch.fleet.response import respond
from aggregator.core.dispatch.fleet.statement import asset_arrays
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets
from tests.unit.aggregator.core.dispatch import small
from tests.unit.aggregator.core.dispatch.direct_lp import direct_optimum
from tests.unit.aggregator.core.dispatch.instances import NOON, study_fleet, study_prices
from tests.unit.aggregator.core.dispatch.test_properties import asset_columns

TOLERANCE_KWH = 1e-6


def response(assets, price, step_h, row=0, burns=True):
    """Charged and drained energy of one asset, [step] each, and what it pays."""
    arrays = asset_arrays(assets, step_h)
    work = make_workspace(step_h.size, arrays.charging_lines.shape[1] + arrays.discharging_lines.shape[1])
    price = np.asarray(price, dtype=float)
    respond(arrays, row, price, orders(price), step_h, burns, work)
    here = slice(int(assets.arrival_step[row]), int(assets.departure_step[row]))
    charged, drained = np.zeros(step_h.size), np.zeros(step_h.size)
    charged[here], drained[here] = work.charged_kwh[here], work.drained_kwh[here]
    given_kwh = drained * assets.discharge_efficiency[row]
    paid = price @ (charged / assets.charge_efficiency[row] - given_kwh) + assets.wear_per_kwh[row] * given_kwh.sum()
    return charged, drained, float(paid)


def assert_within_limits(assets, step_h, charged, drained, row=0):
    arrays = asset_arrays(assets, step_h)
    energy = assets.energy_kwh[row] + np.cumsum(charged - drained)
    reach = assets.energy_kwh[row]
    for step in range(int(assets.arrival_step[row]), int(assets.departure_step[row])):
        reach += step_h[step] * assets.charge_kw[row] * assets.charge_efficiency[row]
        assert energy[step] <= arrays.ceiling_kwh[row] + TOLERANCE_KWH
        assert energy[step] >= min(arrays.floor_kwh[row], reach) - TOLERANCE_KWH
        if step >= arrays.ready_step[row] - 1:
            assert energy[step] >= min(arrays.target_kwh[row], reach) - TOLERANCE_KWH
    if assets.departure_step[row] > assets.arrival_step[row]:
        assert energy[assets.departure_step[row] - 1] >= arrays.target_kwh[row] - TOLERANCE_KWH


@st.composite
def lone_assets(draw):
    steps = draw(st.integers(1, 8))
    columns = draw(asset_columns(1, steps))
    step_h = np.array([draw(st.sampled_from([0.25, 0.5, 1.0])) for _ in range(steps)])
    price = np.array([draw(st.sampled_from([-1.0, -0.3, -0.05, 0.0, 0.1, 0.2, 0.2, 0.3, 1.0])) for _ in range(steps)])
    return FlexibleAssets(**columns), price, step_h


@settings(max_examples=1500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(lone_assets())
def test_costs_what_the_linear_programme_costs(drawn):
    assets, price, step_h = drawn
    charged, drained, paid = response(assets, price, step_h)
    assert_within_limits(assets, step_h, charged, drained)
    problem = DispatchProblem(assets, Horizon(NOON, step_h * 3600.0), price)
    optimum = direct_optimum(problem)
    assert optimum is not None
    assert paid == pytest.approx(optimum, abs=1e-6)
    event("burns" if np.any((charged > 1e-9) & (drained > 1e-9)) else "one way at a time")


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(lone_assets())
def test_that_may_not_burn_never_does_both_at_once_and_pays_no_less(drawn):
    assets, price, step_h = drawn
    charged, drained, paid = response(assets, price, step_h, burns=False)
    assert_within_limits(assets, step_h, charged, drained)
    assert not np.any((charged > 1e-9) & (drained > 1e-9))
    assert paid >= response(assets, price, step_h)[2] - 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_over_a_whole_day_of_quarter_hours(seed):
    count, step_h = 25, np.full(96, 0.25)
    assets = study_fleet(count, seed=seed)
    noise = np.random.default_rng(seed)
    price = study_prices(96) if seed % 2 else np.round(noise.normal(0.15, 0.15, 96), 2)
    total = 0.0
    for row in range(count):
        charged, drained, paid = response(assets, price, step_h, row)
        assert_within_limits(assets, step_h, charged, drained, row)
        total += paid
    problem = DispatchProblem(assets, Horizon.uniform(NOON, steps=96, step_s=900.0), price)
    assert total == pytest.approx(direct_optimum(problem), rel=1e-7)


def test_a_step_that_can_be_used_in_part_counts_in_part():
    assets = small.assets(steps=2, energy_kwh=0.0, required_kwh=40.0, availability=np.array([[1.0, 0.5]]))
    charged, drained, _ = response(assets, [0.2, 0.1], np.ones(2))
    assert charged.tolist() == [10.0, 5.0] and not drained.any()


def test_from_the_step_on_by_which_it_must_be_ready_it_holds_its_need():
    assets = small.assets(steps=4, required_kwh=30.0, ready_step=2, discharge_kw=0.0)
    charged, drained, _ = response(assets, [0.5, 0.4, 0.9, 0.1], np.ones(4))
    assert charged.tolist() == [0.0, 10.0, 0.0, 0.0] and not drained.any()


def test_below_its_floor_it_charges_at_once_at_any_price():
    assets = small.assets(steps=4, energy_kwh=5.0, floor_kwh=20.0)
    charged, drained, _ = response(assets, [0.9, 0.8, 0.1, 0.1], np.ones(4))
    assert charged[:2].tolist() == [10.0, 5.0] and not drained[:2].any()
