"""The physics of a battery."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.battery import ChargingCurve, deliverable_power_kw, energy_after_step, power_for_energy_change

HALF_HOUR = {"step_h": 0.5, "charge_efficiency": 0.9, "discharge_efficiency": 0.8}


def test_charging_loses_on_the_way_in_and_discharging_on_the_way_out():
    energy = energy_after_step([20.0, 20.0, 20.0], [10.0, -8.0, 0.0], **HALF_HOUR)
    assert energy == pytest.approx([24.5, 15.0, 20.0])


@given(st.floats(-50, 50))
def test_power_for_energy_change_is_the_inverse(power_kw):
    change = energy_after_step(100.0, power_kw, **HALF_HOUR) - 100.0
    assert power_for_energy_change(change, **HALF_HOUR) == pytest.approx(power_kw, abs=1e-9)


def test_power_falls_as_the_battery_fills():
    curve = ChargingCurve(taper_from_fraction=0.8, full_power_fraction=0.2)
    assert curve.accepted_fraction([0.1, 0.8, 0.9, 0.999999, 1.0]) == pytest.approx([1.0, 1.0, 0.6, 0.2, 0.0], abs=1e-4)
    assert ChargingCurve().accepted_fraction([0.5, 0.99, 1.0]) == pytest.approx([1.0, 1.0, 0.0])


LIMITS = {"capacity_kwh": 40.0, "floor_kwh": 10.0, "charge_kw": 11.0, "discharge_kw": 5.0, **HALF_HOUR}


@pytest.mark.parametrize(
    ("energy_kwh", "wanted_kw", "expected_kw"),
    [
        (20.0, 8.0, 8.0),
        (20.0, 99.0, 11.0),
        (20.0, -99.0, -5.0),
        (39.1, 11.0, 2.0),  # 0.9 kWh of room / 0.5 h / 0.9
        (11.0, -5.0, -1.6),  # 1 kWh above the floor · 0.8 / 0.5 h
        (5.0, -5.0, 0.0),
        (41.0, 5.0, 0.0),
    ],
)
def test_battery_does_what_its_limits_and_energy_allow(energy_kwh, wanted_kw, expected_kw):
    assert deliverable_power_kw(wanted_kw, energy_kwh=energy_kwh, **LIMITS) == pytest.approx(expected_kw)


@given(st.floats(0, 40), st.floats(-60, 60), st.floats(0.01, 4))
def test_energy_stays_between_floor_and_capacity(energy_kwh, wanted_kw, step_h):
    limits = LIMITS | {"step_h": step_h}
    power_kw = deliverable_power_kw(wanted_kw, energy_kwh=energy_kwh, curve=ChargingCurve(0.8, 0.1), **limits)
    after = energy_after_step(energy_kwh, power_kw, step_h=step_h, charge_efficiency=0.9, discharge_efficiency=0.8)
    assert min(energy_kwh, 10.0) - 1e-9 <= after <= 40.0 + 1e-9
    assert np.sign(power_kw) in (0.0, np.sign(wanted_kw))
