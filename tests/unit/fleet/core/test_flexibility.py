"""What assets can reach, and how far their power can move now."""

import numpy as np
import pytest

from common.horizon import Horizon
from fleet.core.flexibility import (
    FlexibleAssets,
    available_flexibility,
    latest_charging_kwh,
    least_reachable_kwh,
    most_reachable_kwh,
)
from tests.unit.aggregator.core.dispatch.instances import NOON
from tests.unit.aggregator.core.dispatch.small import assets

HOURS = Horizon.uniform(NOON, steps=4, step_s=3600)


def test_reach_is_bounded_by_power_window_losses_and_capacity():
    fleet = assets(arrival_step=1, departure_step=3, charge_efficiency=0.8, discharge_efficiency=0.5)
    assert most_reachable_kwh(fleet, HOURS)[0] == pytest.approx([20.0, 28.0, 36.0, 36.0])
    assert least_reachable_kwh(fleet, HOURS)[0] == pytest.approx([20.0, 0.0, 0.0, 0.0])
    assert most_reachable_kwh(assets(energy_kwh=35.0), HOURS)[0] == pytest.approx([40.0] * 4)


def test_latest_charging_runs_back_from_the_need():
    fleet = assets(charge_efficiency=0.8)
    least = np.array([[3.0, 0.0, 0.0, 30.0]])
    assert latest_charging_kwh(fleet, HOURS, least)[0] == pytest.approx([6.0, 14.0, 22.0, 30.0])


def test_selecting_keeps_every_column_in_step():
    fleet = assets(3, energy_kwh=[1.0, 2.0, 3.0], availability=np.ones((3, 4)) * [[0.1], [0.2], [0.3]])
    picked = fleet.select([2, 0])
    assert picked.asset_id.tolist() == ["car-2", "car-0"]
    assert picked.energy_kwh.tolist() == [3.0, 1.0]
    assert picked.availability[0].tolist() == pytest.approx([0.3] * 4)
    assert picked.fixed_power_kw is None
    assert len(FlexibleAssets.none()) == 0


def flexibility(**changes):
    state = {
        "power_kw": 4.0,
        "energy_kwh": 20.0,
        "capacity_kwh": 40.0,
        "floor_kwh": 10.0,
        "required_kwh": 30.0,
        "hours_left": 4.0,
        "charge_kw": 10.0,
        "discharge_kw": 5.0,
        "charge_efficiency": 1.0,
        "discharge_efficiency": 1.0,
    } | changes
    return available_flexibility(**{name: np.array([value]) for name, value in state.items()})


def test_reduction_lasts_until_the_need_or_the_floor_is_in_danger():
    found = flexibility()
    # 20 − 5h = 30 − 10·(4 − h)  →  h = 2: there the car holds 10 kWh, its floor too, and charges 20 kWh in two hours
    assert (found.reduction_kw[0], found.reduction_h[0]) == pytest.approx((9.0, 2.0))
    assert flexibility(floor_kwh=15.0).reduction_h[0] == pytest.approx(1.0)
    assert flexibility(discharge_kw=0.0).reduction_kw[0] == pytest.approx(4.0)
    assert flexibility(discharge_kw=0.0).reduction_h[0] == pytest.approx(3.0)


def test_car_that_must_charge_now_offers_no_reduction():
    found = flexibility(hours_left=1.0)
    assert found.reduction_kw[0] == found.reduction_h[0] == 0.0


def test_increase_lasts_until_full_and_no_longer_than_the_stay():
    found = flexibility()
    assert (found.increase_kw[0], found.increase_h[0]) == pytest.approx((6.0, 2.0))
    assert flexibility(hours_left=0.5).increase_h[0] == pytest.approx(0.5)
    assert flexibility(energy_kwh=40.0).increase_kw[0] == 0.0
