"""Fleets that sell two reserve products, up and down, by column generation: time, memory and proven gap.

    python benchmarks/dispatch_reserves.py [--assets 1000 10000 100000] [--duration-h 0.25]

Prints one JSON line. The market takes one kW per asset of each product in every quarter of an hour. Times run from the problem to
the plan that has passed its check; compiling is left out, and done before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aggregator.core.dispatch import DispatchProblem, ReserveDirection, ReserveProduct
from aggregator.core.dispatch.fleet.plan import solve_fleet, warm_up
from aggregator.management.instances.writing import peak_rss_mib
from tests.unit.aggregator.core.dispatch.instances import study_problem

REPOSITORY = Path(__file__).resolve().parents[1]
GAP = 1e-3
UP_PRICE_PER_KW = 0.004  # for a quarter of an hour
DOWN_PRICES_PER_KW = 0.005, 0.003


def problem_with_reserves(count: int, duration_h: float) -> DispatchProblem:
    """The study's fleet with two products."""
    most_kw, step = np.full(96, float(count)), np.arange(96)
    down_price = np.where(step % 24 < 12, *DOWN_PRICES_PER_KW)
    return study_problem(
        count,
        reserves=(
            ReserveProduct("up", ReserveDirection.UP, np.full(96, UP_PRICE_PER_KW), duration_h, most_kw),
            ReserveProduct("down", ReserveDirection.DOWN, down_price, duration_h, most_kw),
        ),
    )


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Plan one case in this process."""
    warm_up()
    solve_fleet(problem_with_reserves(20, case["duration_h"]), gap=1e-2)  # compiled, or loaded
    plan = solve_fleet(problem_with_reserves(case["assets"], case["duration_h"]), gap=GAP)
    return {
        "wall_s": round(plan.wall_s, 2),
        "cpu_s": round(plan.cpu_s, 2),
        "gap": float(f"{plan.gap:.3g}"),
        "cost": plan.cost,
        "rounds": plan.rounds,
        "sold_kw_mean": {name: round(float(kw.mean())) for name, kw in plan.reserve_kw.items()},
        "missed": len(plan.missed),
        "peak_rss_mib": round(peak_rss_mib()),
    }


def in_own_process(case: dict[str, Any]) -> dict[str, Any]:
    """Measure a case in a fresh process."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=json.loads)
    parser.add_argument("--assets", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--duration-h", type=float, default=0.25)
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(measure(options.case)))
        return
    cases = [{"assets": count, "duration_h": options.duration_h} for count in options.assets]
    print(
        json.dumps(
            {
                "benchmark": "dispatch_reserves",
                "gap_asked": GAP,
                "duration_h": options.duration_h,
                "cases": {str(case["assets"]): in_own_process(case) for case in cases},
            }
        )
    )


if __name__ == "__main__":
    main()
