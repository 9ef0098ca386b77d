"""A small portfolio that stands for a large one, to find prices with.

Assets are laid in an order in which neighbours are alike, and every k-th of them is taken: such a draw misses sums by far
less than one by luck. Each of those taken stands for k, and so do the limits of the portfolio's own rows.

Sites and grid nodes are not in the sample. What their limits leave to all of their assets together is,

    −Σ_s min(export room_st, Σ_{j at s, present at t} discharge_j) ≤ Σ_i power_it ≤ Σ_s min(import room_st, Σ_j charge_j),

which each plan that keeps every site's limit keeps too; how one site must differ from another is for the region's own plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.slack import NEGLIGIBLE_KW, present_power_kw
from aggregator.core.dispatch.problem import ComputingLoad, DispatchProblem, EventTarget
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
DEFAULT_SIZE = 1_000
FIRM = 10.0  # what the sites leave is dearer to cross than anything else by this factor


@dataclass(frozen=True, eq=False)
class RegionSample:
    """A part of a region, each asset of which stands for `weight` of them."""

    problem: DispatchProblem
    weight: float


def sample_of(problem: DispatchProblem, size: int = DEFAULT_SIZE) -> RegionSample:
    """About `size` assets of a portfolio, with its prices and its own rows; reserves are left out."""
    count = len(problem.assets)
    every = max(1, count // max(size, 1))
    rows = np.sort(_alike(problem.assets)[every // 2 :: every])
    weight = count / rows.size if rows.size else 1.0
    assets, nowhere = problem.assets, np.full(rows.size, -1)
    import_limit_kw, export_limit_kw = problem.import_limit_kw, problem.export_limit_kw
    for limits, group_of in ((problem.sites, assets.site_index), (problem.nodes, assets.node_index)):
        if limits is not None:
            room_kw = _room(limits.import_limit_kw - limits.base_load_kw, assets.charge_kw, assets, group_of)
            import_limit_kw = np.minimum(import_limit_kw, room_kw + problem.base_load_kw)
            room_kw = _room(limits.export_limit_kw + limits.base_load_kw, assets.discharge_kw, assets, group_of)
            export_limit_kw = np.minimum(export_limit_kw, room_kw - problem.base_load_kw)
    dearest = max(1.0, float(np.abs(problem.price_per_kwh).max()), float(problem.missed_price_per_kwh.max()))
    narrowed = import_limit_kw is not problem.import_limit_kw or export_limit_kw is not problem.export_limit_kw
    return RegionSample(
        replace(
            problem,
            assets=replace(assets.select(rows), site_index=nowhere, node_index=nowhere),
            base_load_kw=problem.base_load_kw / weight,
            import_limit_kw=import_limit_kw / weight,
            export_limit_kw=export_limit_kw / weight,
            missed_price_per_kwh=FIRM * dearest if narrowed else problem.missed_price_per_kwh,
            sites=None,
            nodes=None,
            targets=tuple(_scaled(target, rows, weight) for target in problem.targets),
            computing=_every(problem.computing, every, weight),
            reserves=(),
        ),
        weight,
    )


def _alike(assets: FlexibleAssets) -> NDArray[np.int64]:  # [asset]
    """The assets in an order in which neighbours have like directions, windows and needs."""
    lack_kwh = assets.required_kwh - assets.energy_kwh
    keys = (lack_kwh, assets.arrival_step, assets.departure_step, assets.discharge_kw > 0)
    return np.lexsort(keys).astype(np.int64)


def _room(
    room_kw: Numbers,  # [site, step]
    power_kw: Numbers,  # [asset]
    assets: FlexibleAssets,
    group_of: NDArray[np.int64],  # [asset]
) -> Numbers:  # [step]
    """The most that all assets can do together for their sites' sake; infinite where no site holds anybody back."""
    sites, steps = room_kw.shape
    present_kw = present_power_kw(power_kw, assets, group_of, sites, steps)
    within_kw = np.minimum(present_kw, np.concatenate([np.maximum(room_kw, 0.0), np.full((1, steps), np.inf)]))
    held_back = (within_kw < present_kw - NEGLIGIBLE_KW).any(axis=0)
    return np.where(held_back, within_kw.sum(axis=0), np.inf)


def _scaled(target: EventTarget, rows: NDArray[np.int64], weight: float) -> EventTarget:
    participates = target.participates
    return replace(
        target,
        target_power_kw=target.target_power_kw / weight,
        participates=None if participates is None else participates[rows],
    )


def _every(computing: ComputingLoad | None, every: int, weight: float) -> ComputingLoad | None:
    """Every k-th computer, with the power that makes all of them together as strong as the assets' weight says."""
    if computing is None or not len(computing):
        return None
    rows = np.arange((every // 2) % len(computing), len(computing), every)
    nowhere = np.full(rows.size, -1)
    power_kw = computing.power_kw[rows] * (len(computing) / rows.size / weight)
    return ComputingLoad(
        computing.computer_id[rows],
        nowhere,
        nowhere,
        power_kw,
        computing.value_per_kwh[rows],
        computing.availability[rows],
    )
