"""A small portfolio that stands for a large one, to find prices with.

Assets are laid in an order in which neighbours are alike, and every k-th of them is taken: such a draw misses sums by far
less than one by luck. Each of those taken stands for k, and so do the limits of the portfolio's own rows.

Sites and grid nodes are not in the sample. What their limits leave is dealt out to their assets beforehand,

    power_i ← power_i · mean_t min(1, room_st / Σ_{j at s, present at t} power_j),

which is no more than a guess at how sites will share: good enough for prices, and never used to prove anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.problem import ComputingLoad, DispatchProblem, EventTarget, SiteLimits
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
DEFAULT_SIZE = 1_000


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
    assets = problem.assets
    for limits, group_of in ((problem.sites, assets.site_index), (problem.nodes, assets.node_index)):
        assets = _within(assets, limits, group_of)
    nowhere = np.full(rows.size, -1)
    return RegionSample(
        replace(
            problem,
            assets=replace(assets.select(rows), site_index=nowhere, node_index=nowhere),
            base_load_kw=problem.base_load_kw / weight,
            import_limit_kw=problem.import_limit_kw / weight,
            export_limit_kw=problem.export_limit_kw / weight,
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


def _within(assets: FlexibleAssets, limits: SiteLimits | None, group_of: NDArray[np.int64]) -> FlexibleAssets:
    """Assets with no more power than their site has for them."""
    if limits is None:
        return assets
    somewhere = group_of >= 0
    charge_kw = assets.charge_kw * _room_share(
        limits.import_limit_kw - limits.base_load_kw, assets.charge_kw, assets, group_of
    )
    export_kw = limits.export_limit_kw + limits.base_load_kw
    discharge_kw = assets.discharge_kw * _room_share(export_kw, assets.discharge_kw, assets, group_of)
    return replace(
        assets,
        charge_kw=np.where(somewhere, charge_kw, assets.charge_kw),
        discharge_kw=np.where(somewhere, discharge_kw, assets.discharge_kw),
    )


def _room_share(
    room_kw: Numbers,  # [site, step]
    power_kw: Numbers,  # [asset]
    assets: FlexibleAssets,
    group_of: NDArray[np.int64],  # [asset]
) -> Numbers:  # [asset]
    """The part of its power for which an asset's site has room, on the mean of the steps with somebody there."""
    sites, steps = room_kw.shape
    change_kw = np.zeros((sites + 1, steps + 1))  # the last row is for assets at no site
    np.add.at(change_kw, (group_of, assets.arrival_step), power_kw)
    np.add.at(change_kw, (group_of, assets.departure_step), -power_kw)
    present_kw = np.cumsum(change_kw, axis=1)[:sites, :steps]
    there = present_kw > 0
    share = np.ones((sites, steps))
    share[there] = np.clip(room_kw[there] / present_kw[there], 0.0, 1.0)
    mean = np.where(there.any(axis=1), (share * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1), 1.0)
    return np.append(mean, 1.0)[group_of]


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
