"""What is sent after a plan: targets, practicable power, and only what is news."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aggregator.core.plan import EventKind, is_news, joined_steps, power_at, practicable_kw, target_power_kw

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RENEW = timedelta(minutes=20)


@dataclass(frozen=True)
class Held:
    starts_at: datetime
    valid_until: datetime
    offset_s: tuple[float, ...]
    power_kw: tuple[float, ...]


STANDING = Held(NOW - timedelta(minutes=5), NOW + timedelta(minutes=55), (0.0, 600.0, 1200.0), (7.0, -4.0, 0.0))


def test_targets_follow_the_direction_and_stay_unknown_outside_the_event() -> None:
    requested, baseline = np.array([np.nan, 40.0]), np.array([100.0, 100.0])
    assert target_power_kw(EventKind.REDUCE, requested, baseline)[1] == 60.0
    assert target_power_kw(EventKind.INCREASE, requested, baseline)[1] == 140.0
    assert target_power_kw(EventKind.LEVEL, requested, baseline)[1] == 40.0
    assert np.isnan(target_power_kw(EventKind.REDUCE, requested, baseline)[0])


@pytest.mark.parametrize(
    ("power_kw", "held_kw"), [(0.0, 0.0), (1.9, 0.0), (2.1, 4.14), (4.14, 4.14), (9.0, 9.0), (-3.0, -3.0)]
)
def test_between_nothing_and_the_least_charging_power_there_is_nothing(power_kw: float, held_kw: float) -> None:
    assert practicable_kw(power_kw, 4.14) == held_kw


def test_steps_of_equal_power_are_told_once() -> None:
    assert joined_steps([3.0, 3.0, 0.0, 0.0, 3.0]) == [0, 2, 4]
    assert joined_steps([]) == []


def test_a_schedule_says_its_first_power_before_it_starts_and_the_last_to_the_end() -> None:
    at = [STANDING.starts_at + timedelta(seconds=seconds) for seconds in (-10, 0, 599.9, 600, 9999)]
    assert [power_at(STANDING, instant) for instant in at] == [7.0, 7.0, 7.0, -4.0, 0.0]


def test_the_same_power_told_from_another_start_is_no_news() -> None:
    again = Held(NOW, NOW + timedelta(hours=1), (0.0, 300.0, 900.0), (7.02, -4.0, 0.03))
    assert not is_news(again, STANDING, now=NOW, renew_before=RENEW)


@pytest.mark.parametrize("change", [(6.9, -4.0, 0.0), (7.0, -4.2, 0.0), (7.0, -4.0, 0.06)])
def test_another_power_at_any_time_to_come_is_news(change: tuple[float, ...]) -> None:
    assert is_news(replace(STANDING, power_kw=change), STANDING, now=NOW, renew_before=RENEW)


def test_what_lies_in_the_past_is_no_news() -> None:
    later = NOW + timedelta(minutes=8)
    assert not is_news(replace(STANDING, power_kw=(1.0, -4.0, 0.0)), STANDING, now=later, renew_before=RENEW)


def test_a_device_without_a_schedule_or_with_one_that_runs_out_is_told() -> None:
    assert is_news(STANDING, None, now=NOW, renew_before=RENEW)
    assert is_news(STANDING, STANDING, now=NOW + timedelta(minutes=40), renew_before=RENEW)
