"""Ten regions under one portfolio's limit, planned by one and by two worker processes, each on a processor of its own.

    python benchmarks/dispatch_regions.py

Prints one JSON line: for a thousand to a million assets the time until every region has a plan within its part, the time
until the portfolio's gap is proven, that gap, CPU seconds of all workers and the memory of the largest. The workers have
the regions' assets before the clock starts; what the database and the queue add is not in these figures.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aggregator.core.dispatch import DispatchProblem
from aggregator.core.dispatch.fleet.allotment import allot, at_duals, lower_bound, portfolio_rows, with_allotment
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.plan import solve_fleet, warm_up
from aggregator.core.dispatch.fleet.regions import find_prices
from aggregator.core.dispatch.fleet.sample import RegionSample, sample_of
from aggregator.core.dispatch.result import MissKind, relative_gap
from aggregator.management.instances.writing import peak_rss_mib
from tests.unit.aggregator.core.dispatch.instances import study_problem

REGIONS = 10
CURVE = (1_000, 10_000, 100_000, 1_000_000)
GAP = 5e-4
Numbers = NDArray[np.float64]


@cache
def region(number: int, total: int) -> DispatchProblem:
    """A tenth of the study's fleet under prices of its own, without a limit of its own."""
    problem = study_problem(total // REGIONS, seed=number)
    noise = np.random.default_rng(number).normal(0.0, 0.02, 24).repeat(problem.horizon.steps // 24)
    return replace(
        problem,
        price_per_kwh=problem.price_per_kwh + noise,
        base_load_kw=0.0,
        import_limit_kw=np.inf,
        export_limit_kw=np.inf,
    )


def portfolio(total: int) -> Coupling:
    """The study's connection for all of them together."""
    whole = study_problem(1_000)
    times = total / 1_000
    return portfolio_rows(
        whole.horizon.step_h,
        times * (whole.import_limit_kw - whole.base_load_kw),
        times * (whole.export_limit_kw + whole.base_load_kw),
        whole.missed_price_per_kwh,
    )


def get_ready(processors: list[int], total: int) -> None:
    """Bind a worker to a processor, compile, and lay out the regions."""
    os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})
    warm_up()
    for number in range(REGIONS):
        region(number, total)


def hand_over(number: int, total: int) -> tuple[RegionSample, float]:
    cpu_s = process_time()
    return sample_of(region(number, total)), process_time() - cpu_s


def plan(number: int, total: int, least_kw: Numbers, most_kw: Numbers) -> tuple[float, Numbers, float, float]:
    cpu_s = process_time()
    problem = region(number, total)
    made = solve_fleet(with_allotment(problem, least_kw, most_kw, problem.missed_price_per_kwh, "all"), gap=GAP)
    kinds = (MissKind.PORTFOLIO_IMPORT_LIMIT, MissKind.PORTFOLIO_EXPORT_LIMIT)
    own_cost = made.cost - sum(miss.money for miss in made.missed if miss.kind in kinds)
    return own_cost, made.total_power_kw, process_time() - cpu_s, peak_rss_mib()


def prove(number: int, total: int, duals: Numbers) -> tuple[float, float]:
    cpu_s = process_time()
    return solve_fleet(at_duals(region(number, total), duals), gap=GAP).lower_bound, process_time() - cpu_s


@contextmanager
def pool(workers: int, total: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that are ready."""
    usable = sorted(os.sched_getaffinity(0))[:workers]
    with ProcessPoolExecutor(workers, get_context("spawn"), get_ready, (usable, total)) as executor:
        list(executor.map(os.getpgid, [0] * workers * 4))
        yield executor


def measure(workers: int, total: int) -> dict[str, Any]:
    """One portfolio by so many workers."""
    every, sizes = range(REGIONS), [total] * REGIONS
    rows = portfolio(total)
    with pool(workers, total) as executor:
        started, cpu_s = perf_counter(), process_time()
        samples = list(executor.map(hand_over, every, sizes))
        prices = find_prices(rows, [sample for sample, _ in samples], gap=GAP)
        priced_s = perf_counter() - started
        least_kw, most_kw = allot(rows, prices)
        plans = list(executor.map(plan, every, sizes, least_kw, most_kw))
        planned_s = perf_counter() - started
        bounds = list(executor.map(prove, every, sizes, [prices.duals] * REGIONS))
        proven_s = perf_counter() - started
        cpu_s = process_time() - cpu_s + sum(took for _, took in samples + bounds) + sum(made[2] for made in plans)
    total_kw = np.sum([made[1] for made in plans], axis=0)
    cost = sum(made[0] for made in plans) + rows.missed_cost(total_kw[None])
    return {
        "priced_s": round(priced_s, 2),
        "planned_s": round(planned_s, 2),
        "proven_s": round(proven_s, 2),
        "gap": float(f"{relative_gap(cost, lower_bound(rows, prices.duals, [bound for bound, _ in bounds])):.2g}"),
        "cpu_s": round(cpu_s, 2),
        "worker_peak_rss_mib": round(max(made[3] for made in plans)),
    }


def main() -> None:
    warm_up()
    curve = {
        f"{workers} worker{'s' if workers > 1 else ''}": {f"{n:,}": measure(workers, n) for n in CURVE}
        for workers in (1, 2)
    }
    print(json.dumps({"benchmark": "dispatch_regions", "regions": REGIONS, "curve": curve}))


if __name__ == "__main__":
    main()
