"""A plan that knows a car's charging curve is one that the simulated car can follow to the last watt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aggregator.core.dispatch import solve
from fleet.core.battery import taper_points
from fleet.core.power_curves import curve_points
from fleet.twin.car import PowerOffer, SimulatedCar, advance_cars
from tests.unit.aggregator.core.dispatch import small


def test_the_twin_takes_what_is_planned_through_every_step():
    car = SimulatedCar("EV", "T", 40.0, 28.0, max_charge_kw=10.0, taper_from_fraction=0.75, full_power_fraction=0.2)
    curve = taper_points(taper_from_fraction=0.75, full_power_fraction=0.2, capacity_kwh=40.0, full_kw=10.0)
    fleet = small.assets(
        steps=4, energy_kwh=28.0, required_kwh=38.0, discharge_kw=0.0, charge_efficiency=0.92, discharge_efficiency=0.92
    )
    prices = [0.1, 0.2, 0.3, 0.4]
    plan = solve(small.problem(replace(fleet, charge_curve=curve_points([curve])), prices))
    assert not plan.missed
    for planned_kw in plan.power_kw[0]:
        for _ in range(360):
            advance_cars([car], [PowerOffer(float(planned_kw), charge_kw=11.0)], step_s=10.0)
            assert car.power_kw == pytest.approx(planned_kw, abs=1e-6)
    assert car.energy_kwh == pytest.approx(38.0, abs=1e-3)
    # without the curve the cheapest hour is planned in full, which no such car takes
    assert solve(small.problem(fleet, prices)).power_kw[0, 0] > np.max(plan.power_kw[0]) + 1.0
