"""Prices and factors over time, what is known of them, and moving sessions to their years."""

from datetime import UTC, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from aggregator.core.replay.alignment import align
from aggregator.core.replay.outcome import mean_on_grid, peak_of_quarter_hours
from aggregator.core.replay.policies import Uncontrolled
from aggregator.core.replay.series import PriceKnowledge, SlotSeries, typical_week
from aggregator.core.replay.sessions import ChargingSession
from common.errors import InvalidInput
from tests.unit.aggregator.core.replay.worlds import MONDAY, at, fleet_of, prices_of, run, stay

PACIFIC = timezone(timedelta(hours=-7))
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def seconds(hours):
    return at(hours).timestamp()


def test_slots_are_found_and_cut():
    series = prices_of([1.0, 2.0, 3.0])
    assert series.slot_of(np.array([seconds(0), seconds(1.99), seconds(2), seconds(9)])).tolist() == [0, 1, 2, 2]
    assert series.boundaries_s(seconds(0), seconds(3)).tolist() == [seconds(1), seconds(2)]
    assert series.boundaries_s(seconds(0.5), seconds(1)).tolist() == []
    assert series.mean_between(np.array([seconds(0.5), seconds(1.5), seconds(3)])) == pytest.approx([1.5, 8 / 3])


def test_prices_are_known_to_the_end_of_tomorrow_from_publication_on():
    known = PriceKnowledge.daily(prices_of(np.arange(96.0)), zone=UTC, publication=time(13))
    assert known.known_until(seconds(12.9)) == seconds(24)
    assert known.known_until(seconds(13)) == seconds(48)
    boundaries = np.array([seconds(hour) for hour in (22, 23, 24, 25)])
    assert known.expected_between(seconds(12), boundaries).tolist() == [22.0, 23.0, 0.0]
    assert known.expected_between(seconds(13), boundaries).tolist() == [22.0, 23.0, 24.0]


def test_day_ends_on_the_local_clock():
    known = PriceKnowledge.daily(prices_of(np.zeros(96)), zone=AMSTERDAM)
    assert known.known_until(seconds(0)) == seconds(22), "midnight in Amsterdam in May"


def test_typical_week_keeps_the_local_hour():
    local = np.array([datetime.fromtimestamp(seconds(hour), AMSTERDAM).hour for hour in range(24 * 14)], dtype=float)
    week = typical_week(prices_of(local), AMSTERDAM, seconds(24 * 400), seconds(24 * 402), PACIFIC)
    hours = [datetime.fromtimestamp(week.starts_s + 3600 * slot, PACIFIC).hour for slot in range(week.value.size)]
    assert week.value.tolist() == hours


def session(arrives, leaves, announced=None):
    return ChargingSession("a", "p", arrives, leaves, announced, 5.0, None)


def test_sessions_within_the_prices_are_not_moved():
    one = session(at(5), at(9))
    moved, alignment = align([one], starts_at=at(0), ends_at=at(24), zone=AMSTERDAM)
    assert moved == [one]
    assert not alignment.moved


def test_sessions_move_by_whole_weeks_and_keep_weekday_hour_and_season():
    first = datetime(2019, 5, 1, 8, 30, tzinfo=PACIFIC)
    one = session(first, first + timedelta(hours=9), first + timedelta(hours=7))
    year = datetime(2022, 12, 31, 23, tzinfo=UTC), datetime(2023, 12, 31, 23, tzinfo=UTC)
    (moved,), alignment = align([one], starts_at=year[0], ends_at=year[1], zone=AMSTERDAM)
    local = moved.arrives_at.astimezone(AMSTERDAM)
    assert (local.year, local.hour, local.minute) == (2023, 8, 30)
    assert local.weekday() == first.weekday()
    assert abs(local.timetuple().tm_yday - first.timetuple().tm_yday) <= 3
    assert alignment.weeks == 209
    assert moved.leaves_at - moved.arrives_at == timedelta(hours=9)
    assert moved.announced_at - moved.arrives_at == timedelta(hours=7)
    assert "+209 whole weeks" in alignment.rule


def test_stay_across_a_change_of_the_clock_keeps_its_length():
    evening = datetime(2019, 3, 30, 22, tzinfo=UTC)
    one = session(evening, evening + timedelta(hours=8))
    starts_at = datetime(2023, 3, 20, tzinfo=UTC)
    (moved,), _ = align([one], starts_at=starts_at, ends_at=starts_at + timedelta(days=7), zone=AMSTERDAM)
    assert moved.leaves_at.timestamp() - moved.arrives_at.timestamp() == 8 * 3600


def test_prices_too_short_for_the_sessions_are_refused():
    sessions = [session(at(0), at(24 * 60))]
    with pytest.raises(InvalidInput, match="too short for sessions"):
        align(sessions, starts_at=MONDAY + timedelta(days=400), ends_at=MONDAY + timedelta(days=430), zone=UTC)


def test_peak_is_the_mean_of_a_quarter_of_an_hour():
    fleet = fleet_of(stay("a", 8, 12, 1.0))
    result = run(fleet, Uncontrolled(fleet), prices_of([0.1] * 24))
    starts, load = mean_on_grid(result, 900.0)
    assert starts[0] == seconds(8)
    assert load.sum() / 4 == pytest.approx(1.0)
    assert peak_of_quarter_hours(result) == pytest.approx(load.max())


def test_series_beyond_its_ends_holds_its_last_value():
    series = SlotSeries(seconds(0), 3600.0, np.array([1.0, 2.0]))
    assert series.slot_of(seconds(-3)) == 0
    assert series.ends_s == seconds(2)
