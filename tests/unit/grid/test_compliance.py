"""Compliance with market rules, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.core.compliance import (
    DroopCurve,
    droop_up_kw,
    endurance_kwh,
    judge_call,
    judge_energy,
    judge_following,
    judge_limit,
    judge_slots,
)

FCR = DroopCurve(50.0, 0.01, 0.2)


@pytest.mark.parametrize(
    ("frequency_hz", "up_kw"),
    [
        (50.0, 0.0),
        (50.01, 0.0),  # at the edge of the dead band
        (49.99, 0.0),
        (49.98, 100.0),  # 20 of 200 mHz below: a tenth of 1 MW, up
        (50.1, -500.0),
        (49.8, 1000.0),
        (49.5, 1000.0),  # never more than what was sold
        (50.3, -1000.0),
    ],
)
def test_the_droop_of_fcr(frequency_hz: float, up_kw: float) -> None:
    assert droop_up_kw(FCR, np.array([frequency_hz]), 1000.0) == pytest.approx([up_kw])


def test_a_reservoir_holds_its_endurance_both_ways() -> None:
    assert endurance_kwh(1000.0, 900.0) == (250.0, 250.0)


def follow(ordered: list[float], delivered: list[float]) -> list[bool]:
    judged = judge_following(
        ordered_up_kw=np.array(ordered),
        delivered_up_kw=np.array(delivered),
        contracted_kw=1000.0,
        response_s=8.0,
        interval_s=4.0,
        tolerance_fraction=0.1,
    )
    return judged.compliant.tolist()


def test_a_step_may_be_followed_at_once_and_must_be_within_the_response_time() -> None:
    step = [0.0, 500.0, 500.0, 500.0, 500.0]
    assert follow(step, [0.0, 500.0, 500.0, 500.0, 500.0]) == [True] * 5
    assert follow(step, [0.0, 0.0, 250.0, 400.0, 500.0]) == [True] * 5
    assert follow(step, [0.0, 0.0, 0.0, 390.0, 500.0]) == [True, True, True, False, True]
    assert follow(step, [0.0, 0.0, 0.0, 610.0, 400.0]) == [True, True, True, False, True]


def test_silence_is_not_following() -> None:
    assert follow([0.0, 0.0], [0.0, np.nan]) == [True, False]


def test_how_much_is_short_of_a_set_point() -> None:
    judged = judge_following(
        ordered_up_kw=np.array([-600.0] * 4),
        delivered_up_kw=np.array([-600.0, -400.0, -550.0, -900.0]),
        contracted_kw=1000.0,
        response_s=4.0,
        interval_s=4.0,
        tolerance_fraction=0.1,
    )
    assert judged.short_kw.tolist() == [0.0, 200.0, 0.0, 0.0] and judged.fraction == 0.5


def test_the_two_assessments_of_the_japanese_market() -> None:
    judged = judge_slots(
        ordered_up_kw=np.array([0.0, 1000.0, 1000.0, 1000.0, 500.0, 0.0, 1000.0]),
        delivered_up_kw=np.array([-50.0, 900.0, 899.0, 1101.0, 500.0, 0.0, np.nan]),
        available_kw=np.array([1000.0, 1000.0, 1000.0, 1000.0, 950.0, 700.0, 1000.0]),
        contracted_kw=1000.0,
        tolerance_fraction=0.1,
    )
    assert judged.compliant.tolist() == [True, True, False, False, False, False, False]
    assert judged.short_kw == pytest.approx([0.0, 0.0, 101.0, 0.0, 50.0, 300.0, 1000.0])


def test_an_order_down_counts_downwards() -> None:
    judged = judge_slots(
        ordered_up_kw=np.array([-400.0, -400.0]),
        delivered_up_kw=np.array([-390.0, 100.0]),
        available_kw=np.full(2, 400.0),
        contracted_kw=400.0,
        tolerance_fraction=0.1,
    )
    assert judged.short_kw == pytest.approx([0.0, 400.0]), "working against it is no more than everything short"


def test_a_call_a_limit_and_energy() -> None:
    call = judge_call(
        called=np.array([False, True, True]), delivered_up_kw=np.array([0.0, 1200.0, 800.0]), contracted_kw=1000.0
    )
    assert call.short_kw == pytest.approx([0.0, 0.0, 200.0]) and call.compliant.tolist() == [True, True, False]
    limit = judge_limit(
        limit_kw=np.array([np.nan, 300.0, 300.0, 300.0]), metered_kw=np.array([900.0, 300.0, 310.0, np.nan])
    )
    assert limit.short_kw == pytest.approx([0.0, 0.0, 10.0, 0.0])
    assert limit.compliant.tolist() == [True, True, False, False], "what is not metered is not proven"
    energy = judge_energy(
        ordered_up_kw=np.array([0.0, 500.0, 500.0, -500.0]),
        delivered_up_kw=np.array([50.0, 460.0, 440.0, -700.0]),
        contracted_kw=500.0,
        tolerance_fraction=0.1,
    )
    assert energy.short_kw == pytest.approx([0.0, 0.0, 60.0, 0.0])


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=30))
def test_who_does_exactly_what_is_ordered_is_compliant(ordered: list[float]) -> None:
    assert all(follow(ordered, ordered))


@given(st.lists(st.floats(49.0, 51.0), min_size=1, max_size=30))
def test_a_droop_never_asks_for_more_than_was_sold_and_pushes_back(frequency: list[float]) -> None:
    asked = droop_up_kw(FCR, np.array(frequency), 100.0)
    assert (np.abs(asked) <= 100.0).all() and (asked * (50.0 - np.array(frequency)) >= 0).all()
