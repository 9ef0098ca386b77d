"""Fixed power, clamped needs, and input that is refused."""

import numpy as np
import pytest

from aggregator.core.dispatch import MissKind, SiteLimits, solve
from aggregator.core.dispatch.preparation import prepare
from common.errors import InvalidInput
from tests.unit.aggregator.core.dispatch.small import assets, problem

FREE = float("nan")


def test_fixed_steps_are_played_out_and_the_rest_is_planned():
    fleet = assets(fixed_power_kw=np.array([[10.0, FREE, FREE, FREE]]), required_kwh=35.0)
    plan = solve(problem(fleet, [9.0, 5.0, 1.0, 5.0], import_limit_kw=np.full(4, 12.0)))
    assert plan.power_kw[0, 0] == pytest.approx(10.0), "the owner's charge now, at any price"
    assert plan.energy_kwh[0, -1] == pytest.approx(35.0)
    assert plan.gap <= 1e-9


def test_fixed_charging_stops_when_the_battery_is_full():
    fleet = assets(fixed_power_kw=np.full((1, 4), 10.0), energy_kwh=35.0, charge_efficiency=0.5)
    plan = solve(problem(fleet, [1.0] * 4))
    assert plan.power_kw[0] == pytest.approx([10.0, 0.0, 0.0, 0.0])
    assert plan.cost == pytest.approx(10.0)


def test_fixed_power_counts_towards_limits_and_targets():
    sites = SiteLimits.constant(["home"], steps=4, import_limit_kw=13.0)
    fixed = np.array([[10.0] * 4, [FREE] * 4])
    fleet = assets(2, fixed_power_kw=fixed, energy_kwh=[0.0, 20.0], required_kwh=[0.0, 30.0], site_index=0)
    plan = solve(problem(fleet, [1.0] * 4, sites=sites))
    assert plan.power_kw[1].max() <= 3.0 + 1e-6
    assert plan.energy_kwh[1, -1] == pytest.approx(30.0)


def test_need_missed_because_power_is_fixed_says_so():
    fleet = assets(fixed_power_kw=np.zeros((1, 4)), required_kwh=30.0)
    (miss,) = solve(problem(fleet, [1.0] * 4)).missed
    assert miss.kind is MissKind.DEPARTURE_NEED
    assert "fixed by its owner or device" in miss.reason


def test_availability_scales_both_limits():
    fleet = assets(availability=np.array([[0.5, 0.0, 1.0, 1.0]]), required_kwh=40.0)
    limits = prepare(problem(fleet, [1.0] * 4)).limits
    assert limits.charge_kw[0] == pytest.approx([5.0, 0.0, 10.0, 10.0])
    assert solve(problem(fleet, [0.0, 0.0, 1.0, 1.0])).energy_kwh[0, -1] == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"energy_kwh": float("nan")}, "energy_kwh"),
        ({"charge_kw": -1.0}, "charge_kw"),
        ({"charge_efficiency": 0.0}, "charge_efficiency"),
        ({"arrival_step": 3, "departure_step": 2}, "departure_step"),
        ({"availability": np.full((1, 4), 1.5)}, "availability"),
        ({"fixed_power_kw": np.array([[FREE, 1.0, FREE, FREE]])}, "fixed_power_kw"),
    ],
)
def test_bad_assets_are_refused_by_field_and_name(change, field):
    with pytest.raises(InvalidInput) as caught:
        assets(**change)
    assert caught.value.field == field
    assert "car-0" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"import_limit_kw": np.ones(3)}, "import_limit_kw"),
        ({"price": [1.0, float("nan"), 1.0, 1.0]}, "price_per_kwh"),
        ({"sites": SiteLimits.constant(["a"], steps=3)}, "base_load_kw"),
        ({"sites": SiteLimits.constant(["a"], steps=4, import_limit_kw=-1.0)}, "import_limit_kw"),
        ({"fleet": assets(site_index=1), "sites": SiteLimits.constant(["a"], steps=4)}, "site_index"),
        ({"fleet": assets(departure_step=9)}, "departure_step"),
    ],
)
def test_bad_problems_are_refused_by_field(settings, field):
    fleet, price = settings.pop("fleet", assets()), settings.pop("price", [1.0] * 4)
    with pytest.raises(InvalidInput) as caught:
        problem(fleet, price, **settings)
    assert field in caught.value.field
