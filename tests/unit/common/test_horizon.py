"""Steps aligned with the clock, with events, and with each other."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput
from common.horizon import FineRange, Horizon, build_horizon

NOW = datetime(2026, 11, 23, 12, 7, 13, tzinfo=UTC)


def after(**span):
    return NOW + timedelta(**span)


def test_first_step_ends_on_the_clock():
    horizon = build_horizon(NOW, hours=2)
    assert horizon.step_s[0] == 467
    assert set(horizon.step_s[1:]) == {900.0}
    assert horizon.ends_at == datetime(2026, 11, 23, 14, 15, tzinfo=UTC)
    assert horizon.step_h.sum() == pytest.approx(horizon.offset_s[-1] / 3600)


def test_short_event_gets_its_own_slots_and_the_rest_stays_coarse():
    event = FineRange(after(seconds=90), after(seconds=180), 15)
    horizon = build_horizon(NOW, hours=4, fine=[event])
    first, end = horizon.step_at(event.starts_at), horizon.first_step_from(event.ends_at)
    assert horizon.step_starts_at(first) == event.starts_at
    assert horizon.step_s[first:end].tolist() == [15.0] * 6
    assert horizon.step_s[end] == 287, "up to 12:15"
    assert horizon.steps == 1 + 6 + 1 + 16


def test_event_of_two_hours_gets_half_hours_from_its_own_start():
    event = FineRange(after(minutes=20), after(minutes=140), 1800)
    horizon = build_horizon(NOW, hours=6, fine=[event])
    window = slice(horizon.first_step_from(event.starts_at), horizon.last_step_until(event.ends_at))
    assert horizon.step_s[window].tolist() == [1800.0] * 4


def test_last_slot_of_a_fine_range_may_be_shorter():
    event = FineRange(after(minutes=10), after(minutes=10, seconds=40), 15)
    horizon = build_horizon(NOW, hours=1, fine=[event])
    first = horizon.step_at(event.starts_at)
    assert horizon.step_s[first : first + 3].tolist() == [15.0, 15.0, 10.0]


def test_boundaries_are_never_straddled_and_leave_no_slivers():
    close_to_the_clock = datetime(2026, 11, 23, 12, 30, 0, 400_000, tzinfo=UTC)
    horizon = build_horizon(NOW, hours=2, boundaries=[close_to_the_clock, after(days=3), after(hours=-1)])
    assert close_to_the_clock in horizon.boundaries()
    assert horizon.step_s.min() >= 1.0


def test_range_that_began_before_now_keeps_its_own_grid():
    event = FineRange(after(seconds=-20), after(seconds=40), 15)
    horizon = build_horizon(NOW, hours=1, fine=[event])
    assert horizon.step_s[:4].tolist() == [10.0, 15.0, 15.0, 432.0 - 5.0]


def test_lookup_is_half_open():
    horizon = Horizon.uniform(NOW, steps=3, step_s=60)
    assert horizon.step_at(NOW) == 0
    assert horizon.step_at(after(seconds=59.999)) == 0
    assert horizon.step_at(after(seconds=60)) == 1
    assert horizon.first_step_from(after(seconds=61)) == 2
    assert horizon.last_step_until(after(seconds=119)) == 1
    assert horizon.last_step_until(after(seconds=-5)) == 0
    assert horizon.first_step_from(after(hours=1)) == horizon.last_step_until(after(hours=1)) == 3
    assert horizon.step_ends_at(2) == horizon.ends_at
    assert not horizon.contains(horizon.ends_at)
    with pytest.raises(InvalidInput, match="outside the horizon"):
        horizon.step_at(horizon.ends_at)


def test_instants_of_any_zone_are_understood():
    horizon = Horizon.uniform(NOW, steps=2, step_s=60)
    tokyo = timezone(timedelta(hours=9))
    assert horizon.step_at(after(seconds=70).astimezone(tokyo)) == 1


def test_overlap_fraction():
    horizon = Horizon.uniform(NOW, steps=3, step_s=100)
    assert horizon.overlap_fraction(after(seconds=50), after(seconds=225)) == pytest.approx([0.5, 1.0, 0.25])


def test_series_is_averaged_over_steps_and_gaps_show():
    horizon = Horizon.uniform(NOW, steps=4, step_s=1800)
    starts = [after(minutes=-30), after(minutes=45)]
    means = horizon.mean_of_series(starts, [3600, 1800], [10.0, 40.0])
    assert means[0] == pytest.approx(10.0)
    assert means[1] == pytest.approx(40.0), "the part that is covered"
    assert means[2] == pytest.approx(40.0)
    assert np.isnan(means[3])


def test_step_across_two_prices_takes_the_weighted_mean():
    horizon = Horizon(NOW, np.array([3600.0]))
    means = horizon.mean_of_series([NOW, after(minutes=15)], [900, 2700], [10.0, 50.0])
    assert means == pytest.approx([40.0])


@pytest.mark.parametrize(
    "settings",
    [
        {"hours": 0},
        {"hours": 1, "base_step_s": 0},
        {"hours": 1, "fine": [FineRange(NOW, NOW, 15)]},
        {"hours": 1, "fine": [FineRange(NOW, NOW + timedelta(seconds=60), 0)]},
    ],
)
def test_senseless_horizons_are_refused(settings):
    with pytest.raises(InvalidInput):
        build_horizon(NOW, **settings)


def test_naive_instants_are_refused():
    with pytest.raises(ValueError, match="time zone"):
        build_horizon(NOW.replace(tzinfo=None), hours=1)
    with pytest.raises(InvalidInput):
        Horizon(NOW.replace(tzinfo=None), np.ones(2))
    with pytest.raises(InvalidInput):
        Horizon(NOW, np.array([900.0, 0.0]))


@given(
    st.integers(0, 7200),
    st.integers(1, 7200),
    st.sampled_from([4, 15, 60, 900, 1800]),
    st.sampled_from([300, 900, 1800]),
    st.lists(st.integers(-100, 18_000), max_size=4),
)
def test_every_wanted_instant_is_a_boundary(start, length, slot, base, marks):
    event = FineRange(after(seconds=start), after(seconds=start + length), slot)
    wanted = [after(seconds=mark) for mark in marks]
    horizon = build_horizon(NOW, hours=5, base_step_s=base, boundaries=wanted, fine=[event])
    found = set(horizon.boundaries())
    assert {event.starts_at, event.ends_at} <= found
    assert {instant for instant in wanted if instant >= NOW} <= found
    assert horizon.step_s.min() >= 1.0
    assert horizon.step_s.max() <= max(base, slot) + 2.0
    assert horizon.ends_at >= after(hours=5)
