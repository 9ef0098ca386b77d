"""Portfolios small enough to work out by hand."""

from __future__ import annotations

import numpy as np

from aggregator.core.dispatch import DispatchProblem
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets
from tests.unit.aggregator.core.dispatch.instances import NOON


def assets(count=1, steps=4, **columns):
    """Cars of 40 kWh with 20 in them and no need, 10 kW both ways without loss or wear, there for all steps."""
    defaults = {
        "asset_id": np.array([f"car-{row}" for row in range(count)], dtype=object),
        "site_index": -1,
        "node_index": -1,
        "arrival_step": 0,
        "departure_step": steps,
        "energy_kwh": 20.0,
        "required_kwh": 0.0,
        "capacity_kwh": 40.0,
        "floor_kwh": 0.0,
        "charge_kw": 10.0,
        "discharge_kw": 10.0,
        "charge_efficiency": 1.0,
        "discharge_efficiency": 1.0,
        "wear_per_kwh": 0.0,
    }
    larger = ("availability", "fixed_power_kw", "charge_curve", "discharge_curve")
    two_dimensional = {name: columns.pop(name) for name in larger if name in columns}
    values = defaults | columns
    spread = {
        name: value if name == "asset_id" else np.broadcast_to(np.asarray(value), (count,)).copy()
        for name, value in values.items()
    }
    return FlexibleAssets(**spread, **two_dimensional)


def problem(fleet, price, **settings):
    """Hours of the given prices."""
    steps = len(price)
    return DispatchProblem(
        assets=fleet,
        horizon=Horizon.uniform(NOON, steps=steps, step_s=3600.0),
        price_per_kwh=np.asarray(price, dtype=float),
        **settings,
    )
