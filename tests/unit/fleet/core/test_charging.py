"""Current, phases and voltage; the least current; how long a car can wait."""

import numpy as np
import pytest

from fleet.core.charging import ConnectorLimits, laxity_h, nearest_settable_power


def test_power_of_a_connector_follows_from_current_phases_and_voltage():
    connector = ConnectorLimits(max_current_a=16.0, phases=3)
    assert connector.charge_kw == pytest.approx(11.04)
    assert connector.least_charge_kw == pytest.approx(4.14)
    assert connector.current_a(5.52) == pytest.approx(8.0)
    assert connector.current_a(99.0) == 16.0
    assert connector.current_a(-4.0) == 0.0


def test_what_lies_below_the_least_power_goes_to_the_nearer_side():
    wanted = [-5.0, 0.0, 0.5, 0.8, 1.38, 3.0, 9.0]
    settable = nearest_settable_power(wanted, least_charge_kw=1.38, charge_kw=7.4)
    assert settable == pytest.approx([-5.0, 0.0, 0.0, 1.38, 1.38, 3.0, 7.4])


def test_laxity_is_the_time_left_less_the_time_needed():
    laxity = laxity_h(
        energy_kwh=[10.0, 10.0, 30.0, 10.0],
        required_kwh=[28.0, 46.0, 30.0, 20.0],
        hours_left=[4.0, 4.0, 4.0, 4.0],
        charge_kw=[10.0, 10.0, 10.0, 0.0],
        charge_efficiency=0.9,
    )
    assert laxity == pytest.approx([2.0, 0.0, np.inf, -np.inf])
