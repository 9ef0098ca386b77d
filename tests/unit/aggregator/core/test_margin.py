"""Power that is there with a stated probability: few assets, many, and none."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from aggregator.core.margin import firm_power_kw, with_margin_kw


def column(values):
    return np.asarray(values, dtype=float)[:, None]


@pytest.mark.parametrize("count", [3, 12, 29, 30, 200])
@pytest.mark.parametrize("probability", [0.8, 0.95])
def test_the_sum_is_there_as_often_as_was_said(count, probability):
    draw = np.random.default_rng(count)
    power, there = draw.uniform(3, 11, count), draw.uniform(0.5, 0.99, count)
    firm_kw = firm_power_kw(column(power), column(there), probability)[0]
    present = np.random.default_rng(count + 1).random((20_000, count)) < there
    was = float(np.mean(present @ power >= firm_kw - 1e-9))
    assert was >= probability - 0.02
    if count >= 12:  # few assets make few sums: more may be certain than was asked for
        assert was <= probability + 0.05


def test_many_assets_are_the_normal_quantile():
    firm_kw = firm_power_kw(column([10.0] * 100), column([0.9] * 100), 0.95)[0]
    assert firm_kw == pytest.approx(900.0 - NormalDist().inv_cdf(0.95) * 30.0)


def test_who_is_certain_counts_in_full():
    power, there = np.full((4, 2), 5.0), np.ones((4, 2))
    assert firm_power_kw(power, there, 0.99).tolist() == [20.0, 20.0]
    assert firm_power_kw(np.zeros((0, 2)), np.zeros((0, 2)), 0.95).tolist() == [0.0, 0.0]


def test_who_has_left_does_not_come_back():
    power, there = np.full((2, 2), 5.0), np.array([[0.97, 0.6], [0.97, 0.6]])
    assert firm_power_kw(power, there, 0.95).tolist() == [5.0, 0.0]


def test_a_margin_is_planned_so_that_what_is_wanted_is_there_and_never_more_than_can_be():
    power, there = column([10.0] * 100), column([0.9] * 100)
    firm_kw = firm_power_kw(power, there, 0.95)[0]
    wanted = np.array([400.0])
    planned = with_margin_kw(wanted, power, there, 0.95)
    assert planned[0] == pytest.approx(400.0 * 1000.0 / firm_kw)
    assert with_margin_kw(np.array([980.0]), power, there, 0.95)[0] == 1000.0
    assert with_margin_kw(np.array([1500.0]), power, there, 0.95)[0] == 1500.0
    assert np.isnan(with_margin_kw(np.array([np.nan]), power, there, 0.95)[0])
    assert with_margin_kw(wanted, power, np.ones((100, 1)), 0.95).tolist() == [400.0]
