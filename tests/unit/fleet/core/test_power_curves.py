"""Curves of power over energy: what is refused, what can be held, and what can be reached."""

import numpy as np
import pytest

from common.errors import InvalidInput
from common.horizon import Horizon
from fleet.core.flexibility import latest_charging_kwh, most_reachable_kwh
from fleet.core.power_curves import charging_lines, curve_points, most_held_kw, most_kw
from tests.unit.aggregator.core.dispatch.instances import NOON
from tests.unit.aggregator.core.dispatch.small import assets

HOURS = Horizon.uniform(NOON, steps=3, step_s=3600)
POINTS = curve_points([[(20.0, 12.0), (30.0, 8.0), (40.0, 0.0)], []])


def curved(points, **columns):
    return assets(count=len(points), steps=3, charge_curve=curve_points(points), **columns)


def test_the_lowest_line_holds_and_none_is_no_limit():
    lines = charging_lines(POINTS, np.array([40.0, 40.0]))
    assert most_kw(lines, np.array([10.0, 10.0])) == pytest.approx([16.0, np.inf])
    assert most_kw(lines, np.array([25.0, 25.0])) == pytest.approx([10.0, np.inf])
    assert most_kw(lines, np.array([[35.0, 40.0]] * 2))[0] == pytest.approx([4.0, 0.0])


def test_what_is_held_keeps_the_curve_at_the_end():
    lines = charging_lines(POINTS, np.array([40.0, 40.0]))
    held_kw = most_held_kw(lines, np.array([28.0, 28.0]), np.array([0.5, 0.5]))
    assert held_kw[0] == pytest.approx(most_kw(lines[:1], 28.0 + 0.5 * held_kw[:1])[0])
    assert held_kw[1] == np.inf


def test_a_battery_fuller_than_full_does_not_charge():
    fleet = curved([[(30.0, 10.0), (40.0, 2.0)]], energy_kwh=44.0)
    assert most_reachable_kwh(fleet, HOURS)[0].tolist() == [44.0] * 3
    assert most_reachable_kwh(curved([[(30.0, 10.0), (40.0, 2.0)]], energy_kwh=40.0), HOURS)[0].tolist() == [40.0] * 3


def test_reach_and_latest_charging_follow_the_curve():
    fleet = curved([[(30.0, 10.0), (40.0, 2.0)], []], energy_kwh=20.0, charge_efficiency=0.9)
    reached = most_reachable_kwh(fleet, HOURS)
    assert reached[1] == pytest.approx([29.0, 38.0, 40.0])
    # 29 kWh, then p = (34 − 0.8 · energy) / (1 + 0.72) each time
    second = 29.0 + 0.9 * (34.0 - 0.8 * 29.0) / 1.72
    assert reached[0] == pytest.approx([29.0, second, second + 0.9 * (34.0 - 0.8 * second) / 1.72])
    least = np.array([[0.0, 0.0, reached[0, 2]], [0.0, 0.0, 40.0]])
    assert latest_charging_kwh(fleet, HOURS, least) == pytest.approx(np.array([reached[0], [22.0, 31.0, 40.0]]))


@pytest.mark.parametrize(
    "points",
    [
        [(30.0, 10.0)],
        [(30.0, 10.0), (30.0, 5.0)],
        [(30.0, 5.0), (40.0, 10.0)],
        [(20.0, 10.0), (30.0, 5.0), (40.0, 4.0)],
        [(20.0, 10.0), (30.0, 0.0)],
        [(20.0, 10.0), (30.0, np.nan)],
    ],
)
def test_curves_that_are_none_are_refused(points):
    with pytest.raises(InvalidInput) as refused:
        curved([points])
    assert refused.value.field == "charge_curve"


def test_a_discharging_curve_must_reach_down_to_empty():
    fleet = assets(discharge_curve=curve_points([[(0.0, 1.0), (10.0, 10.0)]]))
    assert most_kw(fleet.discharging_lines(), np.array([5.0])) == pytest.approx([5.5])
    with pytest.raises(InvalidInput) as refused:
        assets(discharge_curve=curve_points([[(5.0, 0.0), (10.0, 10.0)]]))
    assert refused.value.field == "discharge_curve"
