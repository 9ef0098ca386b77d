"""The independent check of what a fleet holds: see `promised_reserves`, here a cache's worth of assets at a time, on threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.check import PlanCheckFailed
from aggregator.core.dispatch.fleet.population import on_threads
from aggregator.core.dispatch.fleet.replay import SLICE, group_load_kw
from aggregator.core.dispatch.fleet.reserve_rows import limited
from aggregator.core.dispatch.problem import DispatchProblem
from aggregator.core.dispatch.promised_reserves import oversold, undeliverable

Numbers = NDArray[np.float64]


def check_reserves(
    problem: DispatchProblem,
    power_kw: NDArray[np.float32],  # [asset, step]
    held_kw: NDArray[np.float32],  # [product, asset, step]
    reserve_kw: dict[str, Numbers],  # product -> [step]
) -> None:
    """Check that everything that is sold is held, and that everything that is held can be delivered.

    Raises:
        PlanCheckFailed: with the first findings.
    """
    if not problem.reserves:
        return

    def share(first: int, end: int) -> list[str]:
        findings = []
        for start in range(first, end, SLICE):
            rows = np.arange(start, min(start + SLICE, end))
            findings += undeliverable(problem, rows, power_kw[rows], held_kw[:, rows])
        return findings

    findings = [finding for part in on_threads(share, len(problem.assets)) for finding in part]
    load_kw = [group_load_kw(groups, group_of, power_kw) for groups, group_of in limited(problem)]
    findings += oversold(problem, load_kw, held_kw, reserve_kw)
    if findings:
        raise PlanCheckFailed(findings)
