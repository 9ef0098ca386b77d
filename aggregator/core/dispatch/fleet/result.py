"""The plan of a fleet: set-points in single precision, what they cost, the proven gap, and every promise not kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.result import MissedPromise, PlanStatus

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FleetPlan:
    """Set-points for every asset and step, with their proof.

    Attributes:
        power_kw: power of each asset in each step at the grid side, positive = charging; zero outside its window.
        computing_kw: power of each computer in each step.
        total_power_kw: sum of all set-points and computing.
        cost, lower_bound, gap: as in `DispatchPlan`.
        duals: what a kW more in each coupled row is worth, the best first; a later plan of much the same fleet begins with
            them.
        rounds: how often prices were asked for.
        missed: every promise that is not kept.
        reserve_kw: power sold to each reserve product; held_kw: which asset holds it, and that may be more.
    """

    asset_id: NDArray[Any]  # [asset]
    power_kw: NDArray[np.float32]  # [asset, step]
    computing_kw: NDArray[np.float32]  # [computer, step]
    total_power_kw: Numbers  # [step]
    cost: float
    lower_bound: float
    gap: float
    duals: Numbers  # [memory, block, step]
    rounds: int
    wall_s: float
    cpu_s: float
    missed: tuple[MissedPromise, ...]
    status: PlanStatus = PlanStatus.WITHIN_GAP
    solver: str = "column-generation"
    reserve_kw: dict[str, Numbers] = field(default_factory=dict)  # product -> [step]
    held_kw: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # product -> [asset, step]
