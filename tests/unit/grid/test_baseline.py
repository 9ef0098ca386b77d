"""Baselines against vectors worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.errors import InvalidInput
from grid.core.baseline import (
    Adjustment,
    HistoryRule,
    choose_days,
    choose_history,
    history_baseline,
    meter_before,
    meter_before_after,
    nominated,
)

HIGH_4_OF_5 = HistoryRule(5, 4, 0.25, Adjustment.ADDITIVE)
HIGH_5_OF_10 = HistoryRule(10, 5, 0.25, Adjustment.CAPPED_RATIO, 0.2)
TEN_OF_TEN = HistoryRule(10, 10, 0.0, Adjustment.CAPPED_RATIO, 0.2)
DEVICE_METERED = HistoryRule(10, 10)

DAY_MEANS = np.array([900.0, 1000.0, 800.0, 950.0, 1050.0])
WINDOW_MEANS = np.array([700.0, 800.0, 760.0, 780.0, 860.0])
TODAY_WINDOW = 845.0


def constant_days(day_kw: np.ndarray, slots: int) -> np.ndarray:
    return np.repeat(day_kw[None, :, None], slots, axis=2)


def test_high_4_of_5_golden_vector() -> None:
    # drop the third day; mean of the rest 975; their window 785; today's window 845: adjustment +60; baseline 1,035 kW
    result = history_baseline(
        HIGH_4_OF_5,
        history_kw=constant_days(DAY_MEANS, 4),
        history_window_kw=constant_days(WINDOW_MEANS, 6),
        today_window_kw=np.full((1, 6), TODAY_WINDOW),
    )
    assert result.choice.kept_days == (0, 1, 3, 4)
    assert result.adjustment_kw == pytest.approx([60.0])
    assert result.baseline_kw == pytest.approx(np.full((1, 4), 1035.0))


def test_the_profile_within_the_day_is_kept_slot_by_slot() -> None:
    history = constant_days(DAY_MEANS, 2) + np.array([-50.0, 50.0])
    result = history_baseline(
        HIGH_4_OF_5,
        history_kw=history,
        history_window_kw=constant_days(WINDOW_MEANS, 6),
        today_window_kw=np.full((1, 6), 785.0 - 100.0),
    )
    assert result.baseline_kw == pytest.approx(np.array([[825.0, 925.0]])), "the adjustment may be negative"


def test_a_day_far_below_the_others_is_no_day_like_them() -> None:
    assert choose_days(HIGH_4_OF_5, np.array([1000.0, 200.0, 1000.0, 1000.0, 1000.0])) == (0, 2, 3, 4)
    # mean of the five is 680, a quarter of it 170
    assert choose_days(HIGH_4_OF_5, np.array([1000.0, 160.0, 1000.0, 150.0, 1090.0])) == (0, 2, 4)


def test_days_without_meters_are_skipped_for_earlier_ones() -> None:
    days = np.array([np.nan, 900.0, 1000.0, np.nan, 800.0, 950.0, 1050.0, 5000.0])
    assert choose_days(HIGH_4_OF_5, days) == (1, 2, 5, 6), "the sixth metered day is not looked at"


@pytest.mark.parametrize(
    ("days", "kept"),
    [([], ()), ([np.nan], ()), ([5.0], (0,)), ([5.0, 6.0], (0, 1)), ([5.0, 6.0, 7.0, 8.0], (0, 1, 2, 3))],
)
def test_fewer_than_five_days(days: list[float], kept: tuple[int, ...]) -> None:
    assert choose_days(HIGH_4_OF_5, np.array(days)) == kept


def test_of_equal_days_the_latest_are_kept() -> None:
    assert choose_days(HIGH_4_OF_5, np.full(5, 7.0)) == (0, 1, 2, 3)


def test_a_portfolio_that_exports_keeps_its_days() -> None:
    assert choose_days(HIGH_4_OF_5, np.array([-10.0, -20.0, -30.0, -40.0, -50.0])) == (0, 1, 2, 3)


def test_without_history_there_is_no_baseline() -> None:
    result = history_baseline(
        HIGH_4_OF_5,
        history_kw=np.full((2, 3, 4), np.nan),
        history_window_kw=np.full((2, 3, 6), np.nan),
        today_window_kw=np.ones((2, 6)),
    )
    assert np.isnan(result.baseline_kw).all() and result.choice.kept_days == ()


def test_an_asset_that_was_not_there_has_none_and_spoils_nobody_elses() -> None:
    history = np.concatenate([constant_days(DAY_MEANS, 4), np.full((1, 5, 4), np.nan)])
    window = np.concatenate([constant_days(WINDOW_MEANS, 6), np.full((1, 5, 6), np.nan)])
    today = np.stack([np.full(6, TODAY_WINDOW), np.full(6, 10.0)])
    result = history_baseline(HIGH_4_OF_5, history_kw=history, history_window_kw=window, today_window_kw=today)
    assert result.baseline_kw[0] == pytest.approx(1035.0) and np.isnan(result.baseline_kw[1]).all()


powers = st.floats(-500, 500).map(lambda value: round(value, 3))


@given(
    history=arrays(np.float64, (3, 6, 2), elements=powers),
    window=arrays(np.float64, (3, 6, 6), elements=powers),
    today=arrays(np.float64, (3, 6), elements=powers),
)
def test_baselines_of_assets_add_up_to_that_of_all(history: np.ndarray, window: np.ndarray, today: np.ndarray) -> None:
    apart = history_baseline(HIGH_4_OF_5, history_kw=history, history_window_kw=window, today_window_kw=today)
    days = list(apart.choice.kept_days)
    together = history_baseline(
        HIGH_4_OF_5,
        history_kw=history[:, days].sum(axis=0, keepdims=True),
        history_window_kw=window[:, days].sum(axis=0, keepdims=True),
        today_window_kw=today.sum(axis=0, keepdims=True),
    )
    if len(together.choice.kept_days) == len(days):
        assert apart.baseline_kw.sum(axis=0) == pytest.approx(together.baseline_kw[0], abs=1e-6)


def test_arrays_that_do_not_fit_are_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        history_baseline(
            HIGH_4_OF_5,
            history_kw=np.ones((2, 3, 4)),
            history_window_kw=np.ones((2, 2, 6)),
            today_window_kw=np.ones((2, 6)),
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


# ten days by hand: the five largest are 130, 125, 120, 115 and 110 with mean 120; their windows lie 20 below
TEN_DAYS = np.array([100.0, 110.0, 90.0, 120.0, 95.0, 130.0, 105.0, 85.0, 115.0, 125.0])


@pytest.mark.parametrize(("today", "baseline"), [(130.0, 144.0), (90.0, 108.0), (70.0, 96.0), (100.0, 120.0)])
def test_high_5_of_10_golden_vector(today: float, baseline: float) -> None:
    # the ratio to the typical 100 is 1.3, 0.9, 0.7 and 1; capped to 1.2 and 0.8
    result = history_baseline(
        HIGH_5_OF_10,
        history_kw=constant_days(TEN_DAYS, 4),
        history_window_kw=constant_days(TEN_DAYS - 20.0, 2),
        today_window_kw=np.full((1, 2), today),
    )
    assert result.choice.kept_days == (1, 3, 5, 8, 9)
    assert result.baseline_kw == pytest.approx(np.full((1, 4), baseline)) and result.adjustment_kw == [0.0]


def test_ten_of_ten_golden_vector() -> None:
    # the mean of all ten is 107.5, their window 87.5; today's 105 is a fifth more: exactly at the cap
    result = history_baseline(
        TEN_OF_TEN,
        history_kw=constant_days(TEN_DAYS, 3),
        history_window_kw=constant_days(TEN_DAYS - 20.0, 3),
        today_window_kw=np.full((1, 3), 105.0),
    )
    assert len(result.choice.kept_days) == 10 and result.choice.ratio == pytest.approx(1.2)
    assert result.baseline_kw == pytest.approx(np.full((1, 3), 129.0))


def test_a_device_metered_baseline_is_deaf_to_the_day_of_the_event() -> None:
    result = history_baseline(
        DEVICE_METERED,
        history_kw=constant_days(TEN_DAYS, 2),
        history_window_kw=np.zeros((1, 10, 0)),
        today_window_kw=np.zeros((1, 0)),
    )
    assert result.baseline_kw == pytest.approx(np.full((1, 2), 107.5))


def test_same_day_3_plus_2_golden_vector() -> None:
    # three hours at 12 kW and two at 7 kW: 50 kWh in five hours
    held = meter_before_after(np.array([12.0]), np.array([7.0]), before_s=10_800, after_s=7_200, slots=3)
    assert held == pytest.approx(np.full((1, 3), 10.0))


def test_meter_before_and_after_needs_both() -> None:
    held = meter_before_after(
        np.array([8.0, 8.0, np.nan]), np.array([4.0, np.nan, 4.0]), before_s=900, after_s=900, slots=1
    )
    assert held[0, 0] == 6.0 and np.isnan(held[1:]).all()


def test_a_ratio_is_chosen_for_all_together_and_needs_both_sides() -> None:
    history = np.concatenate([constant_days(TEN_DAYS, 1), constant_days(TEN_DAYS, 1)])
    window = np.full((2, 10, 1), 100.0)
    today = np.array([[110.0], [np.nan]])
    choice = choose_history(TEN_OF_TEN, history_kw=history, history_window_kw=window, today_window_kw=today)
    assert choice.ratio == pytest.approx(1.1), "the asset that is silent today counts on neither side"


@pytest.mark.parametrize("typical", [0.0, -50.0, np.nan])
def test_a_portfolio_that_typically_exports_has_no_ratio(typical: float) -> None:
    choice = choose_history(
        TEN_OF_TEN,
        history_kw=constant_days(TEN_DAYS, 1),
        history_window_kw=np.full((1, 10, 1), typical),
        today_window_kw=np.full((1, 1), 80.0),
    )
    assert choice.ratio == 1.0
