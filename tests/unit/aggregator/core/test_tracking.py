"""Corrections between plans: closed form, few devices, no flapping, nothing corrected twice."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.tracking import TrackedAssets, TrackingRules, power_range, take_by_tier, track

RULES = TrackingRules(deadband_kw=0.5, least_change_kw=0.2, response_s=5, rest_s=10, not_responding_after_s=30)
LONG_AGO = np.inf


def tracked(commanded, **changes):
    commanded = np.asarray(commanded, dtype=float)
    state = {
        "planned_kw": commanded,
        "commanded_kw": commanded,
        "commanded_age_s": 60.0,
        "measured_kw": commanded,
        "measured_age_s": 1.0,
        "mismatch_s": 0.0,
        "lower_kw": -10.0,
        "upper_kw": 10.0,
        "laxity_h": 4.0,
    } | changes
    spread = {name: np.broadcast_to(np.asarray(value, dtype=float), commanded.shape) for name, value in state.items()}
    return TrackedAssets(**spread)


def correct(target_kw, assets, **settings):
    return track(target_kw, assets, RULES, elapsed_s=5.0, **settings)


def test_error_within_the_deadband_moves_nobody():
    result = correct(10.4, tracked([5.0, 5.0]))
    assert not result.changed.any()
    assert result.error_kw == pytest.approx(0.4)
    assert result.set_point_kw.tolist() == [5.0, 5.0]


def test_error_is_closed_with_as_few_devices_as_possible():
    result = correct(27.0, tracked([5.0] * 6, upper_kw=[6, 6, 9, 6, 6, 6]))
    assert result.changed.sum() == 1
    assert correct(33.0, tracked([5.0] * 6, upper_kw=[6, 6, 9, 6, 6, 6])).changed.sum() == 1
    assert result.set_point_kw.sum() == pytest.approx(27.0)


def test_reduction_stops_charging_before_it_wears_batteries():
    result = correct(2.0, tracked([6.0, -4.0, 5.0]))
    assert result.set_point_kw[1] == -4.0
    assert result.set_point_kw.sum() == pytest.approx(2.0)
    deep = correct(-14.0, tracked([6.0, -4.0, 5.0]))
    assert deep.set_point_kw.sum() == pytest.approx(-14.0)
    assert deep.set_point_kw.min() >= -10.0


def test_urgent_cars_are_reduced_last_and_increased_first():
    cars = tracked([5.0, 5.0, 5.0], laxity_h=[0.1, 3.0, 3.0], lower_kw=0.0)
    assert correct(6.0, cars).set_point_kw[0] == 5.0
    assert correct(17.0, cars).set_point_kw.tolist() == [7.0, 5.0, 5.0]


def test_correction_is_taken_back_before_a_new_one_is_made():
    cars = tracked([8.0, 5.0, 5.0], planned_kw=[5.0, 5.0, 5.0], lower_kw=0.0, upper_kw=[10.0, 20.0, 20.0])
    result = correct(15.5, cars)
    assert result.set_point_kw.tolist() == [5.5, 5.0, 5.0]


def test_saturated_assets_leave_the_rest_to_others_and_the_remainder_is_told():
    cars = tracked([5.0, 5.0], upper_kw=[5.0, 7.0])
    result = correct(20.0, cars)
    assert result.set_point_kw.tolist() == [5.0, 7.0]
    assert result.unresolved_kw == pytest.approx(8.0)


def test_car_that_takes_less_than_told_is_full_from_there_up_but_can_be_reduced():
    tapering = tracked([10.0, 2.0], measured_kw=[6.0, 2.0])
    up = correct(12.0, tapering)
    assert up.changed.tolist() == [False, True]
    assert up.set_point_kw.tolist() == [10.0, 6.0]
    down = correct(5.0, tracked([10.0], measured_kw=[6.0]))
    assert down.set_point_kw == pytest.approx([5.0]), "from what it draws, not from what it was told"


def test_meter_that_has_not_seen_the_command_is_not_corrected_for_again():
    commanded = tracked([2.0, 2.0], commanded_age_s=3.0, measured_kw=[5.0, 5.0])
    result = correct(4.0, commanded)
    assert result.expected_kw == pytest.approx(4.0)
    assert not result.changed.any()


def test_reading_taken_before_the_command_took_effect_says_nothing_however_late_it_comes():
    result = correct(4.0, tracked([2.0, 2.0], commanded_age_s=20.0, measured_age_s=16.0, measured_kw=[5.0, 5.0]))
    assert not result.changed.any()


def test_assets_rest_between_commands():
    result = correct(5.0, tracked([5.0, 5.0], commanded_age_s=[8.0, 60.0], measured_age_s=1.0))
    assert result.changed.tolist() == [False, True]


def test_asset_that_does_not_follow_is_left_out_after_a_while_and_counted_as_it_is():
    stuck = tracked([0.0, 5.0], measured_kw=[7.0, 5.0])
    first = correct(5.0, stuck)
    assert not first.not_responding.any()
    assert first.set_point_kw[0] == 0.0, "telling it the same again moves nothing"
    assert first.mismatch_s.tolist() == [5.0, 0.0]
    later = correct(5.0, replace(stuck, mismatch_s=np.array([28.0, 0.0])))
    assert later.not_responding.tolist() == [True, False]
    assert later.expected_kw == pytest.approx(12.0)
    assert later.set_point_kw.tolist() == [0.0, -2.0]


def test_asset_that_follows_again_is_taken_back():
    result = correct(20.0, tracked([5.0], mismatch_s=100.0))
    assert not result.not_responding.any()
    assert result.mismatch_s.tolist() == [0.0]
    assert result.changed.all()


def test_silent_assets_are_taken_to_follow_but_are_not_moved():
    silent = tracked([5.0, 5.0, 5.0], measured_kw=[np.nan, 9.0, 5.0], measured_age_s=[1.0, 500.0, 1.0])
    result = correct(12.0, silent)
    assert result.expected_kw == pytest.approx(15.0)
    assert result.changed.tolist() == [False, False, True]


def test_change_of_the_total_is_limited():
    gentle = replace(RULES, most_change_kw=3.0)
    result = track(-10.0, tracked([5.0, 5.0]), gentle, elapsed_s=1.0)
    assert result.set_point_kw.sum() == pytest.approx(7.0)


def test_computing_counts_towards_the_target():
    result = correct(10.0, tracked([5.0, 5.0]), other_kw=3.0)
    assert result.set_point_kw.sum() == pytest.approx(7.0)


def test_nobody_takes_part():
    result = correct(-5.0, tracked(np.zeros(0)))
    assert result.unresolved_kw == pytest.approx(-5.0)
    assert result.set_point_kw.size == 0


def range_of(**changes):
    state = {
        "energy_kwh": 20.0,
        "least_kwh": 19.0,
        "most_kwh": 40.0,
        "charge_kw": 10.0,
        "discharge_kw": 10.0,
        "charge_efficiency": 0.5,
        "discharge_efficiency": 0.8,
    } | changes
    lower, upper = power_range(**{name: np.array([value]) for name, value in state.items()}, hours=0.25)
    return lower[0], upper[0]


def test_range_is_bounded_by_power_and_by_energy_until_the_next_plan():
    assert range_of() == pytest.approx((-3.2, 10.0))
    assert range_of(most_kwh=20.5) == pytest.approx((-3.2, 4.0))
    assert range_of(least_kwh=0.0) == pytest.approx((-10.0, 10.0))


def test_car_that_must_charge_is_not_free_to_stop():
    assert range_of(least_kwh=20.5) == pytest.approx((4.0, 10.0))
    assert range_of(least_kwh=30.0) == pytest.approx((10.0, 10.0)), "as hard as it can"


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 0), st.floats(0, 10)), min_size=1, max_size=12),
    st.floats(-200, 200),
)
def test_set_points_stay_in_range_and_never_overshoot(rows, target_kw):
    commanded, lower, upper = (np.array(column) for column in zip(*rows, strict=True))
    commanded = np.clip(commanded, lower, upper)
    result = correct(target_kw, tracked(commanded, lower_kw=lower, upper_kw=upper))
    assert np.all(result.set_point_kw >= lower - 1e-9)
    assert np.all(result.set_point_kw <= upper + 1e-9)
    assert result.unresolved_kw * result.error_kw >= -1e-9
    assert abs(result.unresolved_kw) <= abs(result.error_kw) + 1e-9


def test_loop_with_a_late_meter_settles_without_overshoot_or_flapping():
    """Twenty chargers answer after 4 s, their meters come 3 s late, one is stuck, one tapers at 6 kW."""
    rules = TrackingRules(deadband_kw=0.5, least_change_kw=0.2, response_s=4, rest_s=8, not_responding_after_s=20)
    commanded, actual = np.full(20, 8.0), np.full(20, 8.0)
    actual[0], commanded_at, mismatch = 3.0, np.full(20, -1000.0), np.zeros(20)
    history, commands, totals = [], 0, []
    for second in range(0, 120):
        arrived = second - commanded_at >= 3.5
        follows = np.where(arrived, commanded, actual)
        follows[0] = 3.0
        follows[1] = min(follows[1], 6.0)
        actual = follows
        history.append(actual.copy())
        totals.append(actual.sum())
        if second % 4 or second < 4:
            continue
        cars = tracked(
            commanded,
            measured_kw=history[second - 3],
            measured_age_s=3.0,
            commanded_age_s=second - commanded_at,
            mismatch_s=mismatch,
        )
        result = track(-40.0, cars, rules, elapsed_s=4.0)
        mismatch = result.mismatch_s
        commands += int(result.changed.sum())
        commanded_at[result.changed] = second
        commanded = result.set_point_kw
    assert totals[-1] == pytest.approx(-40.0, abs=0.5)
    assert min(totals) >= -41.0, "no overshoot"
    assert np.ptp(totals[60:]) == pytest.approx(0.0), "and then rest"
    assert commands <= 30


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.5, 7.4, 7.4, 11.0, 0.01]), st.integers(0, 7)), max_size=60),
    st.floats(0, 200),
)
def test_rooms_are_taken_as_if_all_were_sorted(rooms, wanted_kw):
    room_kw = np.array([room for room, _ in rooms])
    tier = np.array([number for _, number in rooms], dtype=np.int8)
    order = np.lexsort((-room_kw, tier))
    sorted_kw = room_kw[order]
    expected_kw = np.zeros(room_kw.size)
    expected_kw[order] = np.clip(wanted_kw - (np.cumsum(sorted_kw) - sorted_kw), 0.0, sorted_kw)
    np.testing.assert_allclose(take_by_tier(room_kw, tier, wanted_kw), expected_kw, atol=1e-9)
