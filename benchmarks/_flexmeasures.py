"""Runs in an environment of its own, where FlexMeasures is installed: its device scheduler on one instance, as JSON.

    python _flexmeasures.py INSTANCE.npz

Stocks are counted from the energy at arrival, in kW · steps, as the scheduler counts them. Energy has one price both ways;
wear is a price on each device's discharge; the portfolio's limits are commitments whose breach costs what a missed kWh does.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from time import perf_counter, process_time

import numpy as np
import pandas as pd
from flask import Flask
from flexmeasures.data.models.planning import FlowCommitment
from flexmeasures.data.models.planning.linear_optimization import device_scheduler

STEPS_PER_H = 4


def device(instance: dict[str, np.ndarray], row: int, index: pd.DatetimeIndex) -> pd.DataFrame:
    """What one asset may do."""
    step = np.arange(index.size)
    inside = (step >= instance["arrival_step"][row]) & (step < instance["departure_step"][row])
    start_kwh = instance["energy_kwh"][row]
    least_kwh = np.where(inside, instance["floor_kwh"][row], np.nan)
    last = int(instance["departure_step"][row]) - 1
    least_kwh[last] = max(instance["floor_kwh"][row], instance["required_kwh"][row])
    most_kwh = np.where(inside, instance["capacity_kwh"][row], np.nan)
    return pd.DataFrame(
        {
            "min": (least_kwh - start_kwh) * STEPS_PER_H,
            "max": (most_kwh - start_kwh) * STEPS_PER_H,
            "equals": np.nan,
            "efficiency": 1.0,
            "derivative min": np.where(inside, -instance["discharge_kw"][row], 0.0),
            "derivative max": np.where(inside, instance["charge_kw"][row], 0.0),
            "derivative equals": np.nan,
            "derivative down efficiency": instance["discharge_efficiency"][row],
            "derivative up efficiency": instance["charge_efficiency"][row],
            "stock delta": 0.0,
        },
        index=index,
    )


def main() -> None:
    """Solve, and print one line."""
    instance = dict(np.load(sys.argv[1]))
    index = pd.date_range("2026-01-01T12:00", periods=instance["price_per_kwh"].size, freq="15min", tz="UTC")
    hour = 1.0 / STEPS_PER_H

    def series(values: np.ndarray | float) -> pd.Series:
        return pd.Series(np.broadcast_to(values, index.size).astype(float), index=index)

    price, missed = series(instance["price_per_kwh"] * hour), instance["missed_price_per_kwh"] * hour
    base = instance["base_load_kw"]
    commitments = [
        FlowCommitment("energy", index=index, quantity=series(0.0), upwards_deviation_price=price, downwards_deviation_price=price),
        FlowCommitment("import", index=index, quantity=series(instance["import_limit_kw"] - base),
                       upwards_deviation_price=series(missed), downwards_deviation_price=series(0.0)),
        FlowCommitment("export", index=index, quantity=series(-instance["export_limit_kw"] - base),
                       upwards_deviation_price=series(0.0), downwards_deviation_price=series(-missed)),
    ]  # fmt: skip
    for row in np.flatnonzero(instance["discharge_kw"] > 0).tolist():
        wear = series(-instance["wear_per_kwh"][row] * hour)
        commitments.append(
            FlowCommitment(f"wear {row}", index=index, device=pd.Series(row, index=index), quantity=series(0.0),
                           upwards_deviation_price=series(0.0), downwards_deviation_price=wear)
        )  # fmt: skip
    devices = [device(instance, row, index) for row in range(instance["energy_kwh"].size)]
    ems = pd.DataFrame({"derivative min": np.nan, "derivative max": np.nan}, index=index)
    app = Flask("peer")
    app.config["FLEXMEASURES_LP_SOLVER"] = sys.argv[2] if len(sys.argv) > 2 else "highspy"
    app.config["LOGGING_LEVEL"] = "ERROR"
    wall_s, cpu_s = perf_counter(), process_time()
    with app.app_context():
        _, cost, result, _ = device_scheduler(devices, ems, commitments=commitments, initial_stock=0.0)
    told = {
        "version": version("flexmeasures"),
        "cost": float(cost),
        "cpu_s": round(process_time() - cpu_s, 2),
        "wall_s": round(perf_counter() - wall_s, 2),
        "status": str(result.solver.termination_condition),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
