"""Baselines against vectors worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.errors import InvalidInput
from grid.core.baseline import choose_days, high_4_of_5, meter_before, nominated

DAY_MEANS = np.array([900.0, 1000.0, 800.0, 950.0, 1050.0])
WINDOW_MEANS = np.array([700.0, 800.0, 760.0, 780.0, 860.0])
TODAY_WINDOW = 845.0


def constant_days(day_kw: np.ndarray, slots: int) -> np.ndarray:
    return np.repeat(day_kw[None, :, None], slots, axis=2)


def test_high_4_of_5_golden_vector() -> None:
    # drop the third day; mean of the rest 975; their window 785; today's window 845: adjustment +60; baseline 1,035 kW
    result = high_4_of_5(
        history_kw=constant_days(DAY_MEANS, 4),
        history_window_kw=constant_days(WINDOW_MEANS, 6),
        today_window_kw=np.full((1, 6), TODAY_WINDOW),
    )
    assert result.kept_days == (0, 1, 3, 4)
    assert result.adjustment_kw == pytest.approx([60.0])
    assert result.baseline_kw == pytest.approx(np.full((1, 4), 1035.0))


def test_the_profile_within_the_day_is_kept_slot_by_slot() -> None:
    history = constant_days(DAY_MEANS, 2) + np.array([-50.0, 50.0])
    result = high_4_of_5(
        history_kw=history,
        history_window_kw=constant_days(WINDOW_MEANS, 6),
        today_window_kw=np.full((1, 6), 785.0 - 100.0),
    )
    assert result.baseline_kw == pytest.approx(np.array([[825.0, 925.0]])), "the adjustment may be negative"


def test_a_day_far_below_the_others_is_no_day_like_them() -> None:
    assert choose_days(np.array([1000.0, 200.0, 1000.0, 1000.0, 1000.0])) == (0, 2, 3, 4)
    # mean of the five is 680, a quarter of it 170
    assert choose_days(np.array([1000.0, 160.0, 1000.0, 150.0, 1090.0])) == (0, 2, 4)


def test_days_without_meters_are_skipped_for_earlier_ones() -> None:
    days = np.array([np.nan, 900.0, 1000.0, np.nan, 800.0, 950.0, 1050.0, 5000.0])
    assert choose_days(days) == (1, 2, 5, 6), "the sixth metered day is not looked at"


@pytest.mark.parametrize(
    ("days", "kept"),
    [([], ()), ([np.nan], ()), ([5.0], (0,)), ([5.0, 6.0], (0, 1)), ([5.0, 6.0, 7.0, 8.0], (0, 1, 2, 3))],
)
def test_fewer_than_five_days(days: list[float], kept: tuple[int, ...]) -> None:
    assert choose_days(np.array(days)) == kept


def test_of_equal_days_the_latest_are_kept() -> None:
    assert choose_days(np.full(5, 7.0)) == (0, 1, 2, 3)


def test_a_portfolio_that_exports_keeps_its_days() -> None:
    assert choose_days(np.array([-10.0, -20.0, -30.0, -40.0, -50.0])) == (0, 1, 2, 3)


def test_without_history_there_is_no_baseline() -> None:
    result = high_4_of_5(
        history_kw=np.full((2, 3, 4), np.nan),
        history_window_kw=np.full((2, 3, 6), np.nan),
        today_window_kw=np.ones((2, 6)),
    )
    assert np.isnan(result.baseline_kw).all() and result.kept_days == ()


def test_an_asset_that_was_not_there_has_none_and_spoils_nobody_elses() -> None:
    history = np.concatenate([constant_days(DAY_MEANS, 4), np.full((1, 5, 4), np.nan)])
    window = np.concatenate([constant_days(WINDOW_MEANS, 6), np.full((1, 5, 6), np.nan)])
    today = np.stack([np.full(6, TODAY_WINDOW), np.full(6, 10.0)])
    result = high_4_of_5(history_kw=history, history_window_kw=window, today_window_kw=today)
    assert result.baseline_kw[0] == pytest.approx(1035.0) and np.isnan(result.baseline_kw[1]).all()


powers = st.floats(-500, 500).map(lambda value: round(value, 3))


@given(
    history=arrays(np.float64, (3, 6, 2), elements=powers),
    window=arrays(np.float64, (3, 6, 6), elements=powers),
    today=arrays(np.float64, (3, 6), elements=powers),
)
def test_baselines_of_assets_add_up_to_that_of_all(history: np.ndarray, window: np.ndarray, today: np.ndarray) -> None:
    apart = high_4_of_5(history_kw=history, history_window_kw=window, today_window_kw=today)
    days = list(apart.kept_days)
    together = high_4_of_5(
        history_kw=history[:, days].sum(axis=0, keepdims=True),
        history_window_kw=window[:, days].sum(axis=0, keepdims=True),
        today_window_kw=today.sum(axis=0, keepdims=True),
    )
    if len(together.kept_days) == len(days):
        assert apart.baseline_kw.sum(axis=0) == pytest.approx(together.baseline_kw[0], abs=1e-6)


def test_arrays_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        high_4_of_5(
            history_kw=np.ones((2, 3, 4)), history_window_kw=np.ones((2, 2, 6)), today_window_kw=np.ones((2, 6))
        )
    assert caught.value.field == "history_kw"


def test_meter_before_holds_through_the_event() -> None:
    held = meter_before(np.array([5.0, np.nan]), 3)
    assert held.shape == (2, 3) and (held[0] == 5.0).all() and np.isnan(held[1]).all()


def test_a_nomination_is_the_sum_of_its_parts() -> None:
    parts = nominated(100.0, np.array([10.0, 20.0, np.nan]), 2)
    assert parts[:2].sum(axis=0) == pytest.approx([100.0, 100.0]) and parts[1, 0] - parts[0, 0] == pytest.approx(10.0)
    assert np.isnan(parts[2]).all()
    assert np.isnan(nominated(100.0, np.array([np.nan]), 2)).all()
