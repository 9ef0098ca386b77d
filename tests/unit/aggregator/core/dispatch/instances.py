"""Random portfolios for the optimiser's tests: 24 hours from noon, cars that come and go, a few packs, one event.

The draws follow, in number and order, those of the study whose optima the tests pin.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from aggregator.core.dispatch import DispatchProblem
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def bump(hour, at, width):
    return np.exp(-(((hour - at) / width) ** 2))


def study_prices(steps):
    """A tariff-like day with an evening peak, a small morning peak, and cheap night and noon."""
    hour = (12 + np.arange(steps) * 24 / steps) % 24
    shape = 0.22 + 0.10 * bump(hour, 19, 1.8) + 0.06 * bump(hour, 8, 1.5)
    shape = shape - 0.09 * bump(hour, 3.5, 2.5) - 0.08 * bump(hour, 13.5, 2)
    return shape + np.repeat(np.random.default_rng(7).normal(0, 0.008, 24), steps // 24)


def study_fleet(count, steps=96, seed=0):
    """Cars at home overnight or out by day, half of them bidirectional, and one pack in twenty assets."""
    draw = np.random.default_rng(seed)
    step_h, scale = 24 / steps, steps / 96
    kind = draw.random(count)
    overnight = kind < 0.7
    arrival = np.where(overnight, draw.normal(24, 7, count), draw.uniform(0, 80, count)) * scale
    leaves_at, stays = draw.normal(78, 6, count) * scale, draw.uniform(8, 40, count) * scale
    departure = np.where(overnight, leaves_at, arrival + stays)
    pack = draw.random(count) < 0.05
    arrival = np.clip(np.rint(arrival), 0, steps - 5).astype(int)
    departure = np.clip(np.rint(departure), arrival + 4, steps).astype(int)
    arrival[pack], departure[pack] = 0, steps
    capacity = draw.choice([40.0, 52.0, 60.0, 77.0, 100.0], count, p=[0.2, 0.2, 0.25, 0.25, 0.1])
    charge = draw.choice([3.7, 7.4, 11.0, 22.0], count, p=[0.1, 0.5, 0.35, 0.05])
    discharge = np.where(draw.random(count) < 0.5, np.minimum(charge, 11.0), 0.0)
    gain, loss = draw.uniform(0.91, 0.96, count), draw.uniform(0.91, 0.96, count)
    packs = int(pack.sum())
    capacity[pack] = draw.uniform(25, 60, packs)
    charge[pack] = discharge[pack] = 10.0
    gain[pack], loss[pack] = draw.uniform(0.88, 0.93, packs), draw.uniform(0.88, 0.93, packs)
    energy = draw.uniform(0.2, 0.7, count) * capacity
    floor = np.minimum(0.2 * capacity, energy)
    required = draw.uniform(0.7, 0.9, count) * capacity
    required[pack] = energy[pack]
    required = np.minimum(required, energy + 0.95 * (departure - arrival) * step_h * gain * charge)
    required = np.maximum(required, floor)
    return FlexibleAssets(
        asset_id=np.arange(count),
        site_index=np.full(count, -1),
        node_index=np.full(count, -1),
        arrival_step=arrival,
        departure_step=departure,
        energy_kwh=energy,
        required_kwh=required,
        capacity_kwh=capacity,
        floor_kwh=floor,
        charge_kw=charge,
        discharge_kw=discharge,
        charge_efficiency=gain,
        discharge_efficiency=loss,
        wear_per_kwh=draw.uniform(0.03, 0.08, count),
    )


def study_problem(count, steps=96, seed=0, **changes):
    """The fleet behind one connection whose import limit falls to 0.2 kW per asset from 17:30 to 19:30."""
    hour = (12 + np.arange(steps) * 24 / steps) % 24
    base = 0.45 + 0.35 * bump(hour, 19, 2.5) + 0.15 * bump(hour, 8, 1.5) - 0.25 * bump(hour, 13, 2.5)
    event = (hour >= 17.5) & (hour < 19.5)
    settings = {
        "assets": study_fleet(count, steps, seed),
        "horizon": Horizon.uniform(NOON, steps=steps, step_s=86400 / steps),
        "price_per_kwh": study_prices(steps),
        "base_load_kw": count * base,
        "import_limit_kw": np.where(event, 0.2 * count, 3.0 * count),
        "export_limit_kw": np.full(steps, 0.5 * count),
        "missed_price_per_kwh": 3.0,
    }
    return DispatchProblem(**(settings | changes))
