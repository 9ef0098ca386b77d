"""Sharing a hub's power: as good as a solver's answer, within every limit, and fair to the weak over the years."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.hub import HubPacks, SharingWeights, fill, share_power

WEIGHTS = SharingWeights(energy_price_per_kwh=20.0, health_per_kwh=10.0, level_per_kwh=4.0)


def hub(seed: int, *, packs: int = 9, inverters: int = 3) -> HubPacks:
    random = np.random.default_rng(seed)
    full = random.uniform(5, 25, packs)
    able = random.uniform(0, 1, packs) * (random.uniform(size=packs) > 0.15)
    return HubPacks(
        inverter=random.integers(0, inverters, packs),
        charge_kw=full * able,
        discharge_kw=full * able * random.uniform(0.5, 1, packs),
        charge_efficiency=random.uniform(0.88, 0.98, packs),
        discharge_efficiency=random.uniform(0.88, 0.98, packs),
        full_charge_kw=full,
        full_discharge_kw=full,
        state_of_health_fraction=random.uniform(0.6, 0.95, packs),
        soc_fraction=random.uniform(0.1, 0.9, packs),
        wear_per_kwh=random.uniform(0, 5, packs),
        inverter_charge_kw=random.uniform(5, 60, inverters),
        inverter_discharge_kw=random.uniform(5, 60, inverters),
    )


def solved(total_kw: float, packs: HubPacks) -> np.ndarray:
    """The same programme, stated again and given to a solver."""
    charging = total_kw > 0
    limit = packs.charge_kw if charging else packs.discharge_kw
    inverter_kw = packs.inverter_charge_kw if charging else packs.inverter_discharge_kw
    efficiency = packs.charge_efficiency if charging else packs.discharge_efficiency
    able = limit > 0
    mean_health = packs.state_of_health_fraction[able].mean() if able.any() else 0.0
    mean_level = packs.soc_fraction[able].mean() if able.any() else 0.0
    sign = 1.0 if charging else -1.0
    cost = packs.wear_per_kwh + WEIGHTS.health_per_kwh * (mean_health - packs.state_of_health_fraction)
    cost = cost + sign * WEIGHTS.level_per_kwh * (packs.soc_fraction - mean_level)
    x = cp.Variable(limit.size)
    loss = (1 - efficiency) / packs.full_charge_kw
    behind = [packs.inverter == j for j in range(inverter_kw.size)]
    most = sum(min(float(limit[b].sum()), float(k)) for b, k in zip(behind, inverter_kw, strict=True))
    constraints = [x >= 0, x <= limit, cp.sum(x) == min(abs(total_kw), most)]
    constraints += [cp.sum(x[np.flatnonzero(b)]) <= k for b, k in zip(behind, inverter_kw, strict=True) if b.any()]
    objective = WEIGHTS.energy_price_per_kwh * cp.sum(cp.multiply(loss, cp.square(x))) + cost @ x
    cp.Problem(cp.Minimize(objective), constraints).solve(solver=cp.HIGHS, highs_options={"threads": 1})
    return sign * x.value


@given(seed=st.integers(0, 10_000), total_kw=st.floats(-150, 150).filter(lambda kw: abs(kw) > 0.5))
@settings(max_examples=60, deadline=None)
def test_it_is_the_solvers_answer(seed: int, total_kw: float) -> None:
    packs = hub(seed)
    assert share_power(total_kw, packs, WEIGHTS) == pytest.approx(solved(total_kw, packs), abs=0.02)


@given(seed=st.integers(0, 10_000), total_kw=st.floats(-300, 300))
@settings(max_examples=200, deadline=None)
def test_every_limit_is_kept_and_the_sum_is_what_was_asked_for_or_all_there_is(seed: int, total_kw: float) -> None:
    packs = hub(seed, packs=20, inverters=4)
    shared = share_power(total_kw, packs, WEIGHTS)
    limit = packs.charge_kw if total_kw > 0 else packs.discharge_kw
    inverter_kw = packs.inverter_charge_kw if total_kw > 0 else packs.inverter_discharge_kw
    assert np.all(shared * np.sign(total_kw) >= -1e-12)
    assert np.all(np.abs(shared) <= limit + 1e-9)
    behind = np.array([np.abs(shared[packs.inverter == j]).sum() for j in range(4)])
    assert np.all(behind <= inverter_kw + 1e-9)
    most = sum(min(limit[packs.inverter == j].sum(), inverter_kw[j]) for j in range(4))
    assert np.abs(shared).sum() == pytest.approx(min(abs(total_kw), most), abs=1e-9)


def test_equal_packs_share_alike_and_lose_least() -> None:
    packs = replace(hub(1, packs=4, inverters=1), charge_kw=np.full(4, 20.0), inverter_charge_kw=np.array([80.0]))
    packs = replace(packs, full_charge_kw=np.full(4, 20.0), charge_efficiency=np.full(4, 0.94))
    packs = replace(
        packs, wear_per_kwh=np.zeros(4), state_of_health_fraction=np.full(4, 0.8), soc_fraction=np.full(4, 0.5)
    )
    assert share_power(40.0, packs) == pytest.approx([10.0] * 4)


def test_an_isolated_pack_is_left_out_and_the_others_take_its_part() -> None:
    packs = hub(3)
    alone = replace(packs, discharge_kw=np.where(np.arange(9) == 2, 0.0, packs.discharge_kw + 5))
    shared = share_power(-20.0, alone, WEIGHTS)
    assert shared[2] == 0.0
    assert shared.sum() == pytest.approx(-20.0)


def test_the_fuller_pack_gives_first_and_takes_last() -> None:
    packs = replace(hub(5, packs=2, inverters=1), soc_fraction=np.array([0.8, 0.3]))
    even = np.full(2, 20.0)
    packs = replace(packs, charge_kw=even, discharge_kw=even, full_charge_kw=even, full_discharge_kw=even)
    packs = replace(packs, wear_per_kwh=np.zeros(2), state_of_health_fraction=np.full(2, 0.8))
    packs = replace(packs, charge_efficiency=np.full(2, 0.94), discharge_efficiency=np.full(2, 0.94))
    packs = replace(packs, inverter_charge_kw=np.array([40.0]), inverter_discharge_kw=np.array([40.0]))
    given, taken = share_power(-10.0, packs), share_power(10.0, packs)
    assert given[0] < given[1]
    assert taken[0] < taken[1]


def test_health_grows_together_over_years_of_use() -> None:
    """Wear of 20 % per 3,000 full cycles of the nameplate: after ten years of two cycles a day the spread has shrunk."""
    packs = replace(hub(8, packs=6, inverters=1), inverter_discharge_kw=np.array([1e3]))
    full = np.full(6, 20.0)
    packs = replace(packs, discharge_kw=full, full_discharge_kw=full, discharge_efficiency=np.full(6, 0.94))
    packs = replace(packs, wear_per_kwh=np.zeros(6), soc_fraction=np.full(6, 0.5))
    health = np.array([0.70, 0.74, 0.78, 0.82, 0.86, 0.90])
    before, alike = np.ptp(health), health.copy()
    for _ in range(120):  # a month each: 60 cycles of 24 kWh a pack, in hours at 40 kW for the hub
        shared = -share_power(-40.0, replace(packs, state_of_health_fraction=health))
        health = health - 0.2 / 3000 * 60 * shared / (40.0 / 6)
        alike = alike - 0.2 / 3000 * 60
    assert np.ptp(health) < 0.5 * before
    assert np.ptp(alike) == pytest.approx(before)
    assert health.mean() == pytest.approx(alike.mean(), abs=1e-9)


def test_nothing_to_share_and_nobody_to_share_it() -> None:
    assert np.all(share_power(0.0, hub(2)) == 0)
    assert fill(5.0, np.zeros(0), np.zeros(0), np.zeros(0)).size == 0
