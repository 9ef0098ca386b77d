"""Power that is there with a stated probability: few assets, many, and none."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from aggregator.core.margin import borne_out_deviation, firm_power_kw, with_margin_kw


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


def test_earlier_sums_tell_how_cars_leave_together():
    residuals = {1.0: np.linspace(-4.0, 4.0, 41), 4.0: np.linspace(-9.0, 1.0, 41), 8.0: np.zeros(5)}
    deviation = borne_out_deviation(residuals, np.array([0.0, 1.0, 2.0, 4.0, 30.0]), 0.95)
    assert deviation[:4] == pytest.approx([3.8, 3.8, 8.75, 8.75])  # the second smallest of 41
    assert np.isnan(deviation[4])  # five are too few for 95 %
    assert np.isnan(borne_out_deviation({}, np.array([1.0]), 0.95)).all()


def test_what_they_bear_out_is_promised_and_no_less_than_nothing_nor_more_than_all():
    power, there = column([10.0] * 100), column([0.9] * 100)
    for z, firm_kw in ((2.0, 840.0), (100.0, 0.0), (-100.0, 1000.0)):
        assert firm_power_kw(power, there, 0.95, np.array([z]))[0] == pytest.approx(firm_kw)
    assert firm_power_kw(power, there, 0.95, np.array([np.nan])) == pytest.approx(firm_power_kw(power, there, 0.95))


def test_with_them_the_sum_is_there_as_often_as_was_said_though_all_leave_for_one_reason():
    noise = np.random.default_rng(5)
    count, days = 60, 600
    expected, spread = 0.8 * count, np.sqrt(0.8 * 0.2 * count)
    leaves_together = noise.random(days) < 0.15  # on one day in seven half of those who would stay go too
    there = np.where(leaves_together, 0.4, 0.87)
    sums = (noise.random((days, count)) < there[:, None]).sum(axis=1)
    residuals = (sums - expected) / spread
    power, presence = np.ones((count, 1)), np.full((count, 1), 0.8)
    kept = {"independent": [], "borne out": []}
    for day in range(100, days):
        z = borne_out_deviation({1.0: residuals[day - 100 : day]}, np.array([1.0]), 0.95)
        kept["independent"].append(sums[day] >= firm_power_kw(power, presence, 0.95)[0])
        kept["borne out"].append(sums[day] >= firm_power_kw(power, presence, 0.95, z)[0])
    assert np.mean(kept["independent"]) < 0.9
    assert np.mean(kept["borne out"]) > 0.93
