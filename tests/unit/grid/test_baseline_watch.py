"""Conspicuous windows, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from grid.core.baseline_watch import WatchRule, watch_window

RULE = WatchRule()
EARLIER = np.array([[4.0, 5.0, 6.0, 5.0, 5.0]])  # mean 5, standard deviation 0.7071


def watch(today: float, *, direction: str = "reduce", planned: float = np.nan, earlier: np.ndarray = EARLIER) -> bool:
    seen = watch_window(
        RULE, direction=direction, today_kw=np.array([today]), earlier_kw=earlier, planned_kw=np.array([planned])
    )
    return bool(seen.conspicuous[0])


def test_the_numbers_are_kept() -> None:
    seen = watch_window(
        RULE, direction="reduce", today_kw=np.array([9.0]), earlier_kw=EARLIER, planned_kw=np.array([5.5])
    )
    assert seen.typical_kw == pytest.approx([5.0]) and seen.spread_kw == pytest.approx([0.70711], abs=1e-5)
    assert seen.excess_kw == pytest.approx([4.0]) and seen.conspicuous.tolist() == [True]


@pytest.mark.parametrize(("today", "flagged"), [(6.7, False), (6.8, True)])
def test_beyond_what_earlier_days_vary(today: float, flagged: bool) -> None:
    # 2.5 standard deviations are 1.7678 kW
    assert watch(today) is flagged


def test_only_what_pays_is_conspicuous() -> None:
    assert not watch(1.0) and watch(1.0, direction="increase") and not watch(9.0, direction="increase")


def test_what_was_planned_explains_it() -> None:
    assert not watch(9.0, planned=8.5), "the platform itself had asked for it"
    assert watch(9.0, planned=5.0)


def test_too_few_days_or_no_meter_say_nothing() -> None:
    assert not watch(50.0, earlier=np.array([[5.0, np.nan, 5.0, np.nan]])) and not watch(np.nan)


def test_a_steady_asset_needs_more_than_noise() -> None:
    steady = np.full((1, 5), 1.0)
    assert not watch(1.4, earlier=steady) and watch(1.6, earlier=steady)
