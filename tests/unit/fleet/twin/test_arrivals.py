"""Draws agree with the published distributions they are drawn from."""

import numpy as np
import pytest

from common.errors import InvalidInput
from fleet.twin.arrivals import draw_parked, draw_stays, remaining_h
from fleet.twin.vehicle_catalogue import vehicle_catalogue


@pytest.mark.parametrize(
    ("use", "median_h", "median_kwh"), [("private", 11.0, 19.4), ("public", 4.4, 7.2), ("workplace", 4.9, 8.8)]
)
def test_medians_are_those_of_the_tables(use: str, median_h: float, median_kwh: float) -> None:
    stays = draw_stays(count=20_000, use=use, seed=1, charge_kw=1e6)
    assert np.median(stays.duration_h) == pytest.approx(median_h, rel=0.06)
    assert np.median(stays.energy_kwh) == pytest.approx(median_kwh, rel=0.06)


def test_work_begins_in_the_morning_and_homes_fill_in_the_evening() -> None:
    work = draw_stays(count=5_000, use="workplace", seed=2)
    home = draw_stays(count=5_000, use="private", seed=2)
    assert 6 < np.median(work.arrival_h) < 11
    assert 15 < np.median(home.arrival_h) < 20
    assert np.all((home.arrival_h >= 0) & (home.arrival_h < 24))


def test_energy_is_never_more_than_the_stay_allows() -> None:
    stays = draw_stays(count=5_000, use="public", seed=3, charge_kw=3.7)
    assert np.all(stays.energy_kwh <= stays.duration_h * 3.7 + 1e-9)
    assert np.all(stays.duration_h > 0)


def test_a_seed_repeats_and_another_differs() -> None:
    first, same, other = (draw_stays(count=50, use="private", seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first.duration_h, same.duration_h)
    assert not np.array_equal(first.duration_h, other.duration_h)


def test_cars_found_parked_stay_longer_than_the_average_and_have_not_left() -> None:
    parked = draw_parked(count=2_000, use="private", seed=4, at_h=21.0)
    left = remaining_h(parked, at_h=21.0)
    assert np.all(left >= 0)
    assert np.all(left <= parked.duration_h)
    everyone = draw_stays(count=5_000, use="private", seed=4)
    assert parked.duration_h.mean() > everyone.duration_h.mean()


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("count", {"count": -1, "use": "private"}),
        ("use", {"count": 1, "use": "stadium"}),
        ("charge_kw", {"count": 1, "use": "private", "charge_kw": 0.0}),
    ],
)
def test_a_wrong_argument_is_named(field: str, arguments: dict) -> None:
    with pytest.raises(InvalidInput) as refused:
        draw_stays(seed=1, **arguments)
    assert refused.value.field == field
    assert refused.value.remedy


def test_the_catalogue_is_physical_and_its_shares_add_up() -> None:
    models = vehicle_catalogue()
    assert sum(model.share for model in models) == pytest.approx(1.0)
    assert len({(model.make, model.name) for model in models}) == len(models) >= 8
    for model in models:
        assert 0.5 < model.charge_efficiency <= 1
        assert 0.5 < model.discharge_efficiency <= 1
        assert 30 < model.battery_capacity_kwh < 120
        assert 0 < model.max_discharge_kw <= model.max_charge_kw <= 22
