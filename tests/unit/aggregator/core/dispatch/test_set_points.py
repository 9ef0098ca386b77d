"""What is sent in steps that an asset can use only in part."""

import numpy as np
import pytest

from aggregator.core.dispatch import SiteLimits, solve
from tests.unit.aggregator.core.dispatch.small import assets, problem

LEAVES_EARLY = np.array([[1.0, 0.25, 0.0, 0.0]])


def test_car_that_leaves_within_a_step_is_sent_what_brings_the_mean():
    fleet = assets(departure_step=2, availability=LEAVES_EARLY, required_kwh=32.5)
    plan = solve(problem(fleet, [0.1] * 4))
    assert plan.power_kw[0] == pytest.approx([10.0, 2.5, 0.0, 0.0])
    assert plan.set_point_kw[0] == pytest.approx([10.0, 10.0, 0.0, 0.0])


def test_site_limit_holds_at_every_moment_not_only_in_the_mean():
    sites = SiteLimits.constant(["home"], steps=4, import_limit_kw=12.0)
    availability = np.array([[1.0, 0.25, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    fleet = assets(
        2,
        departure_step=[2, 4],
        availability=availability,
        energy_kwh=[30.0, 20.0],
        required_kwh=[32.0, 20.0],
        discharge_kw=0.0,
        site_index=0,
    )
    plan = solve(problem(fleet, [9.0, -1.0, 9.0, 9.0], sites=sites))
    assert plan.power_kw[:, 1].sum() == pytest.approx(12.0)
    assert plan.set_point_kw[:, 1].sum() <= 12.0 + 1e-9


def test_discharge_is_scaled_too_and_assets_without_a_site_are_free():
    availability = np.array([[0.5, 1.0, 1.0, 1.0]] * 2)
    sites = SiteLimits.constant(["home"], steps=4, export_limit_kw=7.0)
    fleet = assets(2, site_index=[0, -1], availability=availability, energy_kwh=5.0, charge_kw=0.0)
    plan = solve(problem(fleet, [9.0, 0.1, 0.1, 0.1], sites=sites))
    assert plan.power_kw[:, 0] == pytest.approx([-5.0, -5.0])
    assert plan.set_point_kw[:, 0] == pytest.approx([-7.0, -10.0])


def test_whole_steps_are_sent_as_planned():
    plan = solve(problem(assets(3, required_kwh=[30.0, 25.0, 0.0]), [0.3, 0.1, 0.2, 0.4]))
    assert plan.set_point_kw.tolist() == plan.power_kw.tolist()
