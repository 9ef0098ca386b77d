"""When a pack does less, nothing, and something again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.pack_condition import PackStanding, judge_pack

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SOUND: dict[str, Any] = {"temperature_c": 25.0, "cell_spread_v": 0.02, "alarms": ()}
FRESH = PackStanding()


def judge(standing: PackStanding = FRESH, *, after_s: float = 0.0, **change: Any) -> PackStanding:
    return judge_pack(standing, **{**SOUND, **change}, now=NOW + timedelta(seconds=after_s))


@pytest.mark.parametrize(
    ("change", "charge", "discharge"),
    [
        ({}, 1.0, 1.0),
        ({"temperature_c": 5.0}, 0.5, 1.0),
        ({"temperature_c": -3.0}, 0.0, 1.0),
        ({"temperature_c": 51.5}, 0.5, 0.5),
        ({"cell_spread_v": 0.20}, 0.5, 0.5),
        ({"temperature_c": None, "cell_spread_v": None}, 1.0, 1.0),
    ],
)
def test_between_the_marks_power_falls_in_a_straight_line(
    change: dict[str, Any], charge: float, discharge: float
) -> None:
    standing = judge(**change)
    assert (standing.charge_fraction, standing.discharge_fraction) == pytest.approx((charge, discharge), abs=0.051)
    assert not standing.isolated
    assert bool(standing.reason) == (min(charge, discharge) < 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"temperature_c": 60.0}, "temperature 60 °C"),
        ({"cell_spread_v": 0.35}, "cell spread 0.35 V"),
        ({"alarms": ("GROUND_FAULT",)}, "alarm GROUND_FAULT"),
    ],
)
def test_beyond_the_mark_it_does_nothing_and_says_why(change: dict[str, Any], reason: str) -> None:
    standing = judge(**change)
    assert (standing.charge_fraction, standing.discharge_fraction, standing.isolated) == (0.0, 0.0, True)
    assert standing.reason == reason


def test_it_returns_after_a_minute_of_being_sound_and_not_at_the_edge() -> None:
    isolated = judge(temperature_c=60.0)
    edge = judge(isolated, temperature_c=53.0, after_s=10)  # would not have been isolated, but has not come back either
    assert edge.isolated
    assert edge.sound_since is None
    cooling = judge(edge, temperature_c=40.0, after_s=20)
    assert cooling.isolated
    relapse = judge(cooling, temperature_c=55.0, after_s=40)
    assert relapse.sound_since is None
    again = judge(relapse, after_s=50)
    assert judge(again, after_s=100).isolated
    assert judge(again, after_s=111) == PackStanding()


@given(st.floats(-30, 90), st.floats(0, 1), st.lists(st.sampled_from(["A", "B"]), max_size=2))
def test_fractions_stay_fractions(temperature_c: float, spread_v: float, alarms: list[str]) -> None:
    standing = judge(temperature_c=temperature_c, cell_spread_v=spread_v, alarms=alarms)
    assert 0 <= standing.charge_fraction <= standing.discharge_fraction <= 1
    assert standing.isolated <= (standing.discharge_fraction == 0)
