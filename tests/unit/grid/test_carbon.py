"""CO2 of moved energy."""

from __future__ import annotations

import numpy as np
import pytest

from grid.core.carbon import FactorCurve, avoided_kg, emitted_kg, factors_of_slots

CURVE = FactorCurve(np.array([0.0, 3600.0]), np.array([3600.0, 7200.0]), np.array([0.5, 0.3]))


def test_factors_are_weighted_by_time_and_unknown_where_the_curve_ends() -> None:
    factors = factors_of_slots(CURVE, [1800.0, 5400.0, 7200.0, 9000.0])
    assert factors[:2] == pytest.approx([0.4, 0.3]) and np.isnan(factors[2])


def test_a_reduction_avoids_and_an_increase_emits() -> None:
    marginal = np.array([0.5, np.nan])
    baseline, less = np.array([[10.0, 10.0]]), np.array([[4.0, 4.0]])
    assert avoided_kg(baseline, less, marginal) == pytest.approx([3.0])
    assert avoided_kg(less, baseline, marginal) == pytest.approx([-3.0])


def test_an_inventory_is_of_net_energy() -> None:
    assert emitted_kg(np.array([10.0, -5.0]), np.array([0.4, 0.2])) == pytest.approx(3.0)
