"""The plan: set-points, what they cost, how good they are proven to be, and every promise they cannot keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]


class PlanStatus(StrEnum):
    """How the plan came about."""

    OPTIMAL = "optimal"  # every promise that physics allow was planned, and nothing is cheaper
    WITHIN_GAP = "within_gap"  # the same, and nothing is cheaper by more than the gap
    BEST_EFFORT = "best_effort"  # safety limits left some driver's need or reserve unmet; it is listed


class MissKind(StrEnum):
    """What kind of promise is missed."""

    DEPARTURE_NEED = "departure_need"  # energy short at departure
    EARLY_NEED = "early_need"  # energy short should the driver leave as early as the stated probability allows for
    FLOOR = "floor"  # energy below the floor while plugged in
    SITE_IMPORT_LIMIT = "site_import_limit"
    SITE_EXPORT_LIMIT = "site_export_limit"
    EMERGENCY_RESERVE = "emergency_reserve"
    PORTFOLIO_IMPORT_LIMIT = "portfolio_import_limit"
    PORTFOLIO_EXPORT_LIMIT = "portfolio_export_limit"
    EVENT_TARGET = "event_target"
    REBOUND = "rebound"  # power after an event above what it may rise to
    RESERVE = "reserve"


@dataclass(frozen=True, slots=True)
class MissedPromise:
    """One promise that the plan cannot keep, in the terms of whoever it was made to.

    Attributes:
        kind: which promise.
        asset_id, site_id, event_id: to whom it belongs; None where it does not apply.
        step: the step at whose end (energy) or during which (power) it is missed.
        kw: size in power, 0 where only energy is missed.
        kwh: size in energy.
        price: cost per kWh missed, 0 where the promise has no price (it then outranks money).
        money: kwh · price.
        reason: a sentence for the operator.
    """

    kind: MissKind
    step: int
    kw: float
    kwh: float
    price: float
    money: float
    reason: str
    asset_id: Any = None
    site_id: Any = None
    event_id: Any = None


def early_need_missed(assets: FlexibleAssets, row: int, step: int, kwh: float) -> MissedPromise:
    """The need of one asset, missed should its driver leave early; most is missing at the end of a step."""
    reason = (
        f"{kwh:.2f} kWh short of {assets.required_kwh[row]:.2f} kWh if the driver leaves early: there is no more power"
    )
    return MissedPromise(MissKind.EARLY_NEED, step, 0.0, kwh, 0.0, 0.0, reason, asset_id=assets.asset_id[row])


@dataclass(frozen=True, eq=False)
class DispatchPlan:
    """Set-points for every asset and step, with their proof.

    Attributes:
        power_kw: mean power of each asset in each step at the grid side, positive = charging; zero outside its window.
        set_point_kw: what to send so that the mean comes about; differs where an asset can use a step only in part.
        energy_kwh: energy in the battery at the end of each step.
        computing_kw: power of each computer in each step.
        reserve_kw: power held for each reserve product in each step, by the product's name.
        held_kw: which asset holds it.
        cost: energy at its price, wear, missed kWh at their price, less the value of computing and reserve payments.
        lower_bound: no plan that keeps the same promises can cost less.
        gap: (cost − lower_bound) / max(1, |lower_bound|).
        solver: which method solved it.
        wall_s, cpu_s: time taken.
        missed: every promise that is not kept, worst kinds first.
    """

    horizon: Horizon
    asset_id: NDArray[Any]  # [asset]
    power_kw: Numbers  # [asset, step]
    set_point_kw: Numbers  # [asset, step]
    energy_kwh: Numbers  # [asset, step]
    computing_kw: Numbers  # [computer, step]
    cost: float
    lower_bound: float
    gap: float
    status: PlanStatus
    solver: str
    wall_s: float
    cpu_s: float
    missed: tuple[MissedPromise, ...] = field(default=())
    reserve_kw: dict[str, Numbers] = field(default_factory=dict)  # product -> [step]
    held_kw: dict[str, Numbers] = field(default_factory=dict)  # product -> [asset, step]

    @property
    def total_power_kw(self) -> Numbers:  # [step]
        """Sum of all set-points and computing in each step."""
        return self.power_kw.sum(axis=0) + self.computing_kw.sum(axis=0)


def relative_gap(cost: float, lower_bound: float) -> float:
    """(cost − lower_bound) / max(1, |lower_bound|), never negative."""
    return max(0.0, cost - lower_bound) / max(1.0, abs(lower_bound))
