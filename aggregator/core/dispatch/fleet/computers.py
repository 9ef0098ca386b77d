"""Idle computers among the assets: a load that may run while its car stays, needs nothing, and earns by the kWh.

To column generation a computer is an asset that only charges, into a battery that is never full, at the price of energy
less what computing earns. Computers that earn the same see the same prices, and form price classes of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.problem import ComputingLoad, DispatchProblem, EventTarget
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
NEVER_FULL_KWH = 1e9


@dataclass(frozen=True, eq=False)
class WithComputers:
    """A problem whose computers stand among its assets, after all others.

    Attributes:
        earner: which row of `value_per_kwh` each asset earns by; 0 for true assets, which earn nothing.
        value_per_kwh: what a kWh earns.
    """

    problem: DispatchProblem
    earner: NDArray[np.int64]  # [asset]
    value_per_kwh: Numbers  # [earner, step]

    def earned(self, power_kw: NDArray[np.float32]) -> float:
        """What the computers earn with these set-points, [asset, step]."""
        computers = np.flatnonzero(self.earner)
        worth = self.value_per_kwh[self.earner[computers]] * self.problem.horizon.step_h
        return float(np.sum(worth * power_kw[computers]))


def with_computers(problem: DispatchProblem) -> WithComputers:
    """The problem without its computing, and the computers as assets."""
    steps, computing = problem.horizon.steps, problem.computing
    nothing = np.zeros((1, steps))
    if computing is None or not len(computing):
        return WithComputers(problem, np.zeros(len(problem.assets), dtype=np.int64), nothing)
    values, kind = np.unique(computing.value_per_kwh, axis=0, return_inverse=True)
    assets = _joined(problem.assets, _as_assets(computing), steps)
    targets = tuple(_with_computers_in(target, len(problem.assets), len(computing)) for target in problem.targets)
    return WithComputers(
        replace(problem, assets=assets, targets=targets, computing=None),
        np.concatenate([np.zeros(len(problem.assets), dtype=np.int64), 1 + kind.ravel()]),
        np.concatenate([nothing, values]),
    )


def _as_assets(computing: ComputingLoad) -> FlexibleAssets:
    there = computing.availability > 0
    steps = there.shape[1]
    arrival = np.where(there.any(axis=1), there.argmax(axis=1), 0)
    departure = np.where(there.any(axis=1), steps - there[:, ::-1].argmax(axis=1), 0)
    zero, one = np.zeros(len(computing)), np.ones(len(computing))
    return FlexibleAssets(
        asset_id=computing.computer_id,
        site_index=computing.site_index,
        node_index=computing.node_index,
        arrival_step=arrival,
        departure_step=departure,
        energy_kwh=zero,
        required_kwh=zero,
        capacity_kwh=one * NEVER_FULL_KWH,
        floor_kwh=zero,
        charge_kw=computing.power_kw,
        discharge_kw=zero,
        charge_efficiency=one,
        discharge_efficiency=one,
        wear_per_kwh=zero,
        availability=computing.availability,
    )


def _joined(first: FlexibleAssets, second: FlexibleAssets, steps: int) -> FlexibleAssets:
    """Both, one after the other; what only one of them has is filled up for the other."""
    fills = {"availability": 1.0, "fixed_power_kw": np.nan, "milestone_kwh": np.nan, "holds_reserve": False}
    fills |= {"charge_curve": np.nan, "discharge_curve": np.nan, "discharge_part": 1.0}
    columns: dict[str, Any] = {}
    for name in FlexibleAssets.__dataclass_fields__:
        parts = [getattr(assets, name) for assets in (first, second)]
        if all(part is None for part in parts):
            continue
        for number, assets in enumerate((first, second)):
            if parts[number] is None and name == "ready_step":
                parts[number] = assets.departure_step
            elif parts[number] is None:
                shape = (len(assets),) if name == "holds_reserve" else (len(assets), steps)
                if name.endswith("_curve"):
                    shape = (len(assets), *parts[1 - number].shape[1:])
                parts[number] = np.full(shape, fills[name])
        if name == "asset_id":
            parts = [part.astype(object) for part in parts]
        columns[name] = np.concatenate(parts)
    return FlexibleAssets(**columns)


def _with_computers_in(target: EventTarget, assets: int, computers: int) -> EventTarget:
    inside = np.ones(assets, dtype=np.bool_) if target.participates is None else target.participates
    return replace(target, participates=np.concatenate([inside, np.full(computers, target.includes_computing)]))
