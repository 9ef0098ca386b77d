"""When cars really leave: enough data or the driver's word, and the probability that was said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidInput
from fleet.core.departure import (
    Basis,
    EndedStays,
    RunningStay,
    StayHistory,
    exceeded_with,
    forecast_departure,
    least_samples,
    presence_probability,
)

H = 3600.0


def history(fractions, *, vehicle=1, site=1, stated_h=8.0, recent=True):
    count = len(fractions)
    stays = EndedStays(
        vehicle_id=np.full(count, vehicle),
        site_id=np.full(count, site),
        arrived_s=np.zeros(count),
        stated_s=np.full(count, stated_h * H),
        left_s=np.asarray(fractions) * stated_h * H,
    )
    return StayHistory(stays, pooled_from_s=0.0 if recent else 1e12)


def forecast(known, *, vehicle=1, site=1, stated_h=8.0, now_h=0.0, served_h=0.0, probability=0.95):
    stay = RunningStay(vehicle, site, 0.0, stated_h * H)
    return forecast_departure(known, stay, now_s=now_h * H, served_s=served_h * H, probability=probability)


@pytest.mark.parametrize(("probability", "least"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_a_probability_needs_its_number_of_samples(probability, least):
    assert least_samples(probability) == least
    assert exceeded_with(np.arange(least, dtype=float), probability) == 0.0  # the least of them
    assert exceeded_with(np.arange(least - 1, dtype=float), probability) is None


@pytest.mark.parametrize("probability", [0.0, 0.49, 1.0, 1.2])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(InvalidInput):
        least_samples(probability)


@pytest.mark.parametrize(("count", "probability"), [(19, 0.95), (50, 0.9), (100, 0.95), (333, 0.9)])
def test_the_next_one_exceeds_it_as_often_as_was_said(count, probability):
    draws = np.random.default_rng(7).lognormal(size=(4000, count + 1))
    bounds = np.array([exceeded_with(row[:-1], probability) for row in draws])
    was = float(np.mean(draws[:, -1] > bounds))
    # at least what was said, at most one rank more; three standard deviations of 4,000 trials
    assert probability - 0.011 <= was <= probability + 1.0 / (count + 1) + 0.011


def test_with_enough_stays_of_its_own_a_car_is_known_by_them():
    known = history(np.linspace(0.5, 1.5, 19))
    told = forecast(known)
    assert (told.basis, told.samples) == (Basis.OWN, 19)
    assert told.leaves_after_s == pytest.approx(0.5 * 8 * H)
    assert told.expected_s == pytest.approx(1.0 * 8 * H)


def test_with_fewer_its_site_then_its_region_then_the_drivers_word_is_taken():
    known = history(np.linspace(0.5, 1.5, 18))
    assert forecast(known).basis is Basis.STATED
    assert forecast(known).leaves_after_s == 8 * H and np.isnan(forecast(known).probability)
    known = history(np.linspace(0.5, 1.5, 40), vehicle=2)
    assert forecast(known).basis is Basis.SITE
    assert forecast(known, site=9).basis is Basis.REGION
    assert forecast(history(np.ones(40), vehicle=2, recent=False)).basis is Basis.STATED


def test_drivers_words_bind_though_cars_stay_longer():
    told = forecast(history(np.linspace(1.2, 3.0, 40)))
    assert told.leaves_after_s == 8 * H
    assert told.expected_s > 8 * H


def test_a_longer_stay_is_as_much_less_certain():
    known = history(np.linspace(0.5, 1.5, 19), stated_h=4.0)
    assert forecast(known, stated_h=10.0).leaves_after_s == pytest.approx(5 * H)


def test_that_it_is_still_there_counts():
    known = history(np.concatenate([np.full(20, 0.25), np.linspace(0.6, 1.0, 20)]))
    assert forecast(known).leaves_after_s == pytest.approx(0.25 * 8 * H)
    assert forecast(known, now_h=4.0).leaves_after_s == pytest.approx(0.6 * 8 * H)
    assert forecast(known, now_h=7.9).basis is Basis.STATED  # nearly all others had left


def test_who_leaves_before_anything_could_serve_them_does_not_make_the_others_charge_early():
    known = history(np.concatenate([np.full(20, 0.1), np.linspace(0.6, 1.0, 20)]))
    assert forecast(known).leaves_after_s == pytest.approx(0.1 * 8 * H)
    told = forecast(known, served_h=2.0)
    assert told.leaves_after_s == pytest.approx(0.6 * 8 * H)
    assert told.samples == 40 and told.quantiles_s[0] < 2 * H  # for the grid every departure counts
    assert forecast(known, served_h=7.95).leaves_after_s == pytest.approx(7.95 * H)  # flat out, like any plan


def test_of_a_pool_the_stays_of_the_nearest_stated_length_count():
    count = 300
    stated_h = np.repeat([2.0, 12.0], count // 2)
    fraction = np.repeat([1.0, 0.3], count // 2)
    stays = EndedStays(
        vehicle_id=np.arange(count) + 100,
        site_id=np.ones(count, dtype=np.int64),
        arrived_s=np.zeros(count),
        stated_s=stated_h * H,
        left_s=stated_h * fraction * H,
    )
    known = StayHistory(stays, pooled_from_s=0.0)
    assert forecast(known, stated_h=2.0).leaves_after_s == pytest.approx(2 * H)
    assert forecast(known, stated_h=11.0).leaves_after_s == pytest.approx(0.3 * 11 * H)


def test_a_driver_who_says_nothing_is_expected_to_stay_as_long_as_others_did():
    known = history(np.linspace(0.5, 1.5, 21))
    told = forecast(known, stated_h=np.nan)
    assert told.expected_s == pytest.approx(8 * H)
    assert told.leaves_after_s == pytest.approx(4 * H)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.lists(st.floats(0.01, 5.0), min_size=0, max_size=60),
    st.floats(0.05, 30.0),
    st.floats(0.0, 10.0),
    st.sampled_from([0.5, 0.9, 0.95]),
)
def test_a_forecast_never_lies_after_the_drivers_word_nor_before_it_was_made(fractions, stated_h, now_h, probability):
    told = forecast(history(fractions), stated_h=stated_h, now_h=now_h, probability=probability)
    assert told.leaves_after_s <= stated_h * H
    assert told.leaves_after_s >= min(now_h, stated_h) * H - 1e-6
    assert told.basis is Basis.STATED or told.samples >= least_samples(probability)


def test_presence_falls_from_one_and_is_conditional_on_being_there():
    marks = np.linspace(1.0, 19.0, 19) * H  # 5 % of the cars go each hour, from 1 h to 20 h
    at = np.array([0.0, 5.0, 10.0, 30.0]) * H
    assert presence_probability(marks[None], at, 0.0)[0] == pytest.approx([1.0, 0.75, 0.5, 0.0])
    later = presence_probability(marks[None], at + 10 * H, 10 * H)[0]
    assert later == pytest.approx([1.0, 0.5, 0.0, 0.0])
    unknown = np.full((1, 19), np.nan)
    assert presence_probability(unknown, at, 0.0)[0].tolist() == [1.0] * 4
    assert presence_probability(marks[None], at + 40 * H, 40 * H)[0].tolist() == [1.0] * 4
