"""The exact planner against the bare linear programme on the same instances, in one run.

    python benchmarks/dispatch_exact.py [50,100,300]

Prints one JSON line: for each number of assets the planner's CPU and wall seconds (from problem to checked plan), those
of the same programme handed straight to HiGHS, both optima, and how far they are apart.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aggregator.core.dispatch import DispatchProblem, solve
from tests.unit.aggregator.core.dispatch.instances import study_problem


def measure(count: int) -> dict[str, Any]:
    """Solve one instance both ways."""
    problem = study_problem(count)
    cpu_s, wall_s = process_time(), perf_counter()
    plan = solve(problem)
    planner = {"cpu_s": process_time() - cpu_s, "wall_s": perf_counter() - wall_s}
    cpu_s, wall_s = process_time(), perf_counter()
    optimum = bare_optimum(problem)
    bare = {"cpu_s": process_time() - cpu_s, "wall_s": perf_counter() - wall_s}
    return {
        "assets": count,
        "steps": problem.horizon.steps,
        "planner": {name: round(value, 4) for name, value in planner.items()} | {"cost": plan.cost, "gap": plan.gap},
        "bare_programme": {name: round(value, 4) for name, value in bare.items()} | {"cost": optimum},
        "relative_difference": abs(plan.cost - optimum) / abs(optimum),
    }


def bare_optimum(problem: DispatchProblem) -> float:
    """The same programme without CVXPY: columns charge, discharge, energy per slot, then what goes beyond the limits."""
    import highspy

    assets, hours = problem.assets, problem.horizon.step_h
    steps = hours.size
    asset, step = np.nonzero(assets.plugged(steps))
    slots, slot = asset.size, np.arange(asset.size)
    later = slot[step != assets.arrival_step[asset]]
    start = np.where(step == assets.arrival_step[asset], assets.energy_kwh[asset], 0.0)
    gain, loss = hours[step] * assets.charge_efficiency[asset], hours[step] / assets.discharge_efficiency[asset]
    beyond = 3 * slots + np.arange(steps)
    rows = [slot, later, slot, slot, slots + step, slots + step, slots + np.arange(steps), slots + np.arange(steps)]
    columns = [2 * slots + slot, 2 * slots + later - 1, slot, slots + slot, slot, slots + slot, beyond, beyond + steps]
    values = [np.ones(slots), -np.ones(later.size), -gain, loss, np.ones(slots), -np.ones(slots), -np.ones(steps)]
    values.append(np.ones(steps))
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    matrix = sp.csc_matrix(entries, shape=(slots + steps, 3 * slots + 2 * steps))
    least = assets.floor_kwh[asset].copy()
    last = step == assets.departure_step[asset] - 1
    least[last] = np.maximum(least[last], assets.required_kwh[asset][last])
    price = (hours * problem.price_per_kwh)[step]
    wear = hours[step] * assets.wear_per_kwh[asset]
    missed = hours * problem.missed_price_per_kwh
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.col_cost_ = np.concatenate([price, wear - price, np.zeros(slots), missed, missed])
    model.col_lower_ = np.concatenate([np.zeros(2 * slots), least, np.zeros(2 * steps)])
    power = [assets.charge_kw[asset], assets.discharge_kw[asset], assets.capacity_kwh[asset]]
    model.col_upper_ = np.concatenate([*power, np.full(2 * steps, highspy.kHighsInf)])
    model.row_lower_ = np.concatenate([start, -problem.export_limit_kw - problem.base_load_kw])
    model.row_upper_ = np.concatenate([start, problem.import_limit_kw - problem.base_load_kw])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
    model.a_matrix_.value_ = matrix.data
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.passModel(model)
    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise SystemExit(f"HiGHS ended with {status}")
    return float(solver.getInfo().objective_function_value)


def main() -> None:
    """Measure, and print one line."""
    counts = [int(text) for text in (sys.argv[1] if len(sys.argv) > 1 else "50,100,300").split(",")]
    # HiGHS greets on the file descriptor of standard output when it is first made: send that to standard error.
    kept = os.dup(1)
    os.dup2(2, 1)
    solve(study_problem(4))
    results = [measure(count) for count in counts]
    sys.stdout.flush()
    os.dup2(kept, 1)
    print(json.dumps({"benchmark": "dispatch_exact", "results": results}))


if __name__ == "__main__":
    main()
