"""A pack's capacity from its telemetry: right within its own error, whatever the cycle, and silent where nothing is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.health import CapacityEstimate, estimate_capacity, plan_capacity_test

EFFICIENCY = 0.94


def series(
    capacity_kwh: float, path: list[tuple[float, float]], *, seed: int = 0, soc_error: float = 0.004, start: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Readings every minute of a pack that does `path`, (power kW, hours) one after the other, with noise on both."""
    random = np.random.default_rng(seed)
    power = np.concatenate([np.full(round(hours * 60), kw) for kw, hours in path])
    inside = np.where(power >= 0, power * EFFICIENCY, power / EFFICIENCY)
    energy = start * capacity_kwh + np.concatenate(([0.0], np.cumsum((inside[1:] + inside[:-1]) / 2 / 60)))
    soc = energy / capacity_kwh + random.normal(0, soc_error, power.size)
    return np.arange(power.size) * 60.0, power * random.normal(1, 0.003, power.size), soc


def estimate(capacity_kwh: float, path: list[tuple[float, float]], **options: float) -> CapacityEstimate | None:
    measured_s, power_kw, soc = series(capacity_kwh, path, **options)  # type: ignore[arg-type]
    return estimate_capacity(
        measured_s=measured_s,
        power_kw=power_kw,
        soc_fraction=soc,
        charge_efficiency=EFFICIENCY,
        discharge_efficiency=EFFICIENCY,
    )


@given(seed=st.integers(0, 500), capacity_kwh=st.floats(8, 60))
@settings(max_examples=40, deadline=None)
def test_a_full_cycle_tells_the_capacity_within_its_error(seed: int, capacity_kwh: float) -> None:
    rate = 0.25 * capacity_kwh
    found = estimate(capacity_kwh, [(rate, 1.9), (0, 0.2), (-rate, 3.2), (0, 0.2), (rate, 1.5)], seed=seed)
    assert found is not None
    assert found.span_fraction > 0.8
    assert found.standard_error_kwh < 0.03 * capacity_kwh
    assert abs(found.capacity_kwh - capacity_kwh) < 3 * found.standard_error_kwh


def test_partial_cycles_tell_it_too_the_less_surely_the_shorter_they_are() -> None:
    deep = estimate(20.0, [(-5, 1.5), (5, 1.5)] * 3)
    shallow = estimate(20.0, [(-5, 0.6), (5, 0.6)] * 3)
    assert deep is not None
    assert shallow is not None
    assert deep.sweeps >= 5
    assert shallow.standard_error_kwh > 1.5 * deep.standard_error_kwh
    for found in (deep, shallow):
        assert abs(found.capacity_kwh - 20.0) < 3 * found.standard_error_kwh


def test_more_cycles_make_it_surer() -> None:
    few, many = (estimate(20.0, [(-5, 1), (5, 1)] * count) for count in (2, 10))
    assert few is not None
    assert many is not None
    assert many.standard_error_kwh < few.standard_error_kwh


def test_nothing_is_said_where_the_charge_hardly_moved_or_readings_are_missing() -> None:
    assert estimate(20.0, [(0.5, 1), (-0.5, 1)]) is None
    measured_s, power_kw, soc = series(20.0, [(-5, 2)])
    holes = np.arange(measured_s.size) % 20 == 0  # every twentieth minute only
    arguments = {"charge_efficiency": EFFICIENCY, "discharge_efficiency": EFFICIENCY}
    assert (
        estimate_capacity(measured_s=measured_s[holes], power_kw=power_kw[holes], soc_fraction=soc[holes], **arguments)
        is None
    )
    nothing = np.zeros(0)
    assert estimate_capacity(measured_s=nothing, power_kw=nothing, soc_fraction=nothing, **arguments) is None


def test_a_test_goes_to_full_to_the_floor_and_back_at_one_power() -> None:
    phases = plan_capacity_test(
        capacity_kwh=20,
        energy_kwh=10,
        floor_kwh=2,
        test_kw=5,
        charge_efficiency=0.9,
        discharge_efficiency=0.9,
    )
    assert [phase.power_kw for phase in phases] == [5, 0, -5, 0, 5]
    assert phases[0].seconds == pytest.approx(10 / 0.9 / 5 * 3600 * 1.1, abs=1)
    assert phases[2].seconds == pytest.approx(18 * 0.9 / 5 * 3600 * 1.1, abs=1)
    assert phases[4].seconds == pytest.approx(8 / 0.9 / 5 * 3600, abs=1)
