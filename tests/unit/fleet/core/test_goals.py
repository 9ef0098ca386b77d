"""The driver's wish as numbers."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from fleet.core.goals import hours_to_charge, next_ready_at, reachable_soc_fraction

MONDAY_EVENING = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)  # Tuesday 05:00 in Tokyo


def weekly(weekdays: list[int], ready_by: time | None, zone: str, now: datetime = MONDAY_EVENING) -> datetime | None:
    return next_ready_at(kind="weekly", weekdays=weekdays, ready_by=ready_by, ready_at=None, time_zone=zone, now=now)


def test_a_weekly_wish_is_local_time_of_the_site() -> None:
    assert weekly(range(7), time(7, 30), "Asia/Tokyo") == datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
    assert weekly(range(7), time(7, 30), "Europe/Amsterdam") == datetime(2026, 11, 24, 6, 30, tzinfo=UTC)


def test_only_the_chosen_days_count_and_today_only_while_it_is_ahead() -> None:
    assert weekly([5], time(9, 0), "Asia/Tokyo") == datetime(2026, 11, 28, 0, 0, tzinfo=UTC)
    # Tuesday 04:00 has passed: a week later
    assert weekly([1], time(4, 0), "Asia/Tokyo") == datetime(2026, 11, 30, 19, 0, tzinfo=UTC)
    assert weekly([], time(7, 30), "Asia/Tokyo") is None
    assert weekly([1], None, "Asia/Tokyo") is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # clocks go forward on 2027-03-28 and back on 2026-10-25 in Amsterdam
        (datetime(2027, 3, 27, 12, 0, tzinfo=UTC), datetime(2027, 3, 28, 5, 30, tzinfo=UTC)),
        (datetime(2026, 10, 24, 12, 0, tzinfo=UTC), datetime(2026, 10, 25, 6, 30, tzinfo=UTC)),
    ],
)
def test_the_wall_clock_time_holds_over_a_clock_change(now: datetime, expected: datetime) -> None:
    assert weekly(range(7), time(7, 30), "Europe/Amsterdam", now) == expected


def test_a_wish_for_once_is_over_when_it_has_passed() -> None:
    at = MONDAY_EVENING + timedelta(hours=3)
    common = {"kind": "once", "weekdays": (), "ready_by": None, "time_zone": "UTC", "now": MONDAY_EVENING}
    assert next_ready_at(ready_at=at, **common) == at
    assert next_ready_at(ready_at=MONDAY_EVENING, **common) is None


def test_charging_time_and_reach_are_each_others_inverse() -> None:
    car = {"battery_capacity_kwh": 60.0, "charge_kw": 6.0, "charge_efficiency": 0.9}
    hours = hours_to_charge(soc_fraction=0.5, target_soc_fraction=0.8, **car)
    assert hours == pytest.approx(18 / 5.4)
    assert reachable_soc_fraction(soc_fraction=0.5, hours=hours, **car) == pytest.approx(0.8)
    assert hours_to_charge(soc_fraction=0.9, target_soc_fraction=0.8, **car) == 0
    assert reachable_soc_fraction(soc_fraction=0.9, hours=10, **car) == 1.0
    assert reachable_soc_fraction(soc_fraction=0.9, hours=-3, **car) == 0.9
