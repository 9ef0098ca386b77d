"""Fleets of a thousand to a million assets by column generation: time, memory and proven gap, each in a process of its own.

    python benchmarks/dispatch_fleet.py [--plot FILE.svg]

Prints one JSON line: the scaling curve on one and on two processors, the goals, a new event and a tick at a million
assets, limited sites, and the exact programme on the same thousand assets in the same run. Times run from the problem to
the plan that has passed its check; compiling is left out, and done before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aggregator.core.dispatch import DispatchProblem, SiteLimits, solve
from aggregator.core.dispatch.fleet.plan import solve_fleet, warm_up
from aggregator.management.instances.writing import peak_rss_mib
from aggregator.management.simulation.charts import Line, line_chart
from aggregator.management.simulation.report import CSS
from tests.unit.aggregator.core.dispatch.instances import study_problem

REPOSITORY = Path(__file__).resolve().parents[1]
CURVE = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
CURVE_GAP = 1e-3
GOALS = {
    "300 at 5e-4": {"assets": 300, "gap": 5e-4},
    "1,000 at 1e-4": {"assets": 1_000, "gap": 1e-4},
    "100,000 at 5e-4": {"assets": 100_000, "gap": 5e-4},
    "1,000,000 at 1e-3": {"assets": 1_000_000, "gap": 1e-3},
    "1,000,000 at 1e-4": {"assets": 1_000_000, "gap": 1e-4},
    "50 feeders x 200": {"sites": 50, "assets": 200, "gap": 5e-3},
    "1,000 sites x 100": {"sites": 1_000, "assets": 100, "gap": 5e-3},
    "1,000,000, tick and event": {"assets": 1_000_000, "gap": 1e-3, "again": True},
}
SITE_IMPORT_KW_EACH = 2.0


def sited_problem(sites: int, each: int) -> DispatchProblem:
    """The study's fleet behind so many connections, whose limits bind for most of the night."""
    whole, one = study_problem(sites * each), study_problem(each)
    limits = SiteLimits(
        np.arange(sites),
        np.tile(one.base_load_kw, (sites, 1)),
        np.tile(np.minimum(one.import_limit_kw, SITE_IMPORT_KW_EACH * each), (sites, 1)),
        np.tile(one.export_limit_kw, (sites, 1)),
    )
    fleet = replace(whole.assets, site_index=np.repeat(np.arange(sites), each))
    return replace(
        whole, assets=fleet, sites=limits, base_load_kw=0.0, import_limit_kw=np.inf, export_limit_kw=np.inf
    )  # fmt: skip


def changed_event(problem: DispatchProblem) -> DispatchProblem:
    """A new event: a fifth less in the evening, and all prices a little different."""
    evening = problem.import_limit_kw < problem.import_limit_kw.max()  # where the study's event already stands
    noise = np.random.default_rng(5).uniform(-0.02, 0.02, problem.horizon.steps)
    return replace(
        problem,
        import_limit_kw=np.where(evening, 0.8 * problem.import_limit_kw, problem.import_limit_kw),
        price_per_kwh=problem.price_per_kwh * (1 + noise),
    )


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Plan one case in this process."""
    warm_up()
    before_mib = peak_rss_mib()
    problem = sited_problem(case["sites"], case["assets"]) if "sites" in case else study_problem(case["assets"])
    plan = solve_fleet(problem, gap=case["gap"])
    told = {
        "wall_s": round(plan.wall_s, 3),
        "cpu_s": round(plan.cpu_s, 3),
        "gap": float(f"{plan.gap:.3g}"),
        "cost": plan.cost,
        "rounds": plan.rounds,
        "missed": len(plan.missed),
        "peak_rss_mib": round(peak_rss_mib()),
        "before_the_problem_mib": round(before_mib),
    }
    if case.get("again"):
        known_duals = plan.duals
        del plan
        told = {
            "tick": again(problem, known_duals, case["gap"]),
            "event": again(changed_event(problem), known_duals, case["gap"]),
        }
    return told


def again(problem: DispatchProblem, known_duals: Any, gap: float) -> dict[str, float]:
    """Plan three times more with what the plan before has learnt; medians."""
    first_step_s, wall_s, proven = [], [], []
    for _ in range(3):
        started, at_s = perf_counter(), []

        def note(power_kw: Any, started: float = started, at_s: list[float] = at_s) -> None:
            at_s.append(perf_counter() - started)

        plan = solve_fleet(problem, gap=gap, known_duals=known_duals, on_first_step=note)
        first_step_s.append(at_s[0])
        wall_s.append(plan.wall_s)
        proven.append(plan.gap)
        del plan
    medians = (float(np.median(values)) for values in (first_step_s, wall_s, proven))
    return dict(zip(("first_step_s", "wall_s", "gap"), (float(f"{value:.3g}") for value in medians), strict=True))


def in_own_process(case: dict[str, Any], processors: int = 2) -> dict[str, Any]:
    """Measure a case in a fresh process that may use so many processors."""
    command = [sys.executable, __file__, "--case", json.dumps(case), "--processors", str(processors)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def exact(count: int) -> dict[str, float]:
    """The exact programme on the same instance."""
    problem = study_problem(count)
    cpu_s, wall_s = process_time(), perf_counter()
    plan = solve(problem)
    return {
        "wall_s": round(perf_counter() - wall_s, 3),
        "cpu_s": round(process_time() - cpu_s, 3),
        "cost": plan.cost,
    }


def plot(curve: dict[str, dict[str, Any]], path: Path) -> None:
    """The curve as a picture: seconds over the number of assets, that on a logarithmic axis."""
    at = np.log10(np.array(CURVE, dtype=float)).tolist()
    lines = [
        Line(f"{name} processor{'s' if name != '1' else ''}", [curve[name][str(n)]["wall_s"] for n in CURVE], style)
        for name, style in (("1", "s1"), ("2", "s2"))
    ]  # fmt: skip
    figure = line_chart(
        "Time to a plan that has passed its check",
        "Seconds for a thousand to a million assets over 96 steps, to a proven gap of 1e-3: dotted on one processor, solid on two.",
        at,
        lines,
        x_ticks=[(float(np.log10(n)), f"{n:,}") for n in CURVE],
        unit="s",
    )
    svg = figure[figure.index("<svg viewBox") : figure.rindex("</svg>") + len("</svg>")]
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    path.write_text(svg.replace("<title", f"<style>{CSS}</style><title", 1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", type=json.loads)
    parser.add_argument("--processors", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.case is not None:
        usable = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, usable[: options.processors])
        print(json.dumps(measure(options.case)))
        return
    curve = {
        str(processors): {str(n): in_own_process({"assets": n, "gap": CURVE_GAP}, processors) for n in CURVE}
        for processors in (1, 2)
    }
    goals = {name: in_own_process(case) for name, case in GOALS.items()}
    if options.plot is not None:
        plot(curve, options.plot)
    print(json.dumps({"benchmark": "dispatch_fleet", "curve": curve, "goals": goals, "exact 1,000": exact(1_000)}))


if __name__ == "__main__":
    main()
