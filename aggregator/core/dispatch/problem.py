"""The dispatch problem as data: assets, steps, prices, limits, targets, reserves and idle computing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aggregator.core.dispatch.result import MissKind
from common.errors import InvalidInput
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
PerStep = Any  # one number for all steps, or [step]; an array [step] once the problem is made

# What a kWh beyond a soft limit or short of a target costs when the caller names no price.
DEFAULT_MISSED_PRICE_PER_KWH = 3.0


class TargetDirection(StrEnum):
    """How the wanted total power is meant."""

    AT_MOST = "at_most"  # a reduction: less is as good
    AT_LEAST = "at_least"  # an increase: more is as good
    EXACTLY = "exactly"  # hold a level: both sides miss


class ReserveDirection(StrEnum):
    """Which way the held power moves when it is called: up feeds the grid (draws less), down draws more."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, eq=False)
class SiteLimits:
    """Hard limits of every site (or feeder, or grid node) in every step, and its emergency reserve.

    base_load + Σ set-points + computing must stay between −export_limit_kw and import_limit_kw; these are safety limits,
    given up only where base load and physics leave no choice. The energies of the site's assets with `holds_reserve`
    must add up to at least `emergency_reserve_kwh` at the end of every step: no market may touch it.

    Attributes:
        site_id: what the caller calls the site.
        base_load_kw: load that the plan does not steer, positive = import; PV makes it negative.
        import_limit_kw, export_limit_kw: never negative; infinite for none.
        emergency_reserve_kwh: energy kept for an emergency; None for none.
    """

    site_id: NDArray[Any]  # [site]
    base_load_kw: Numbers  # [site, step]
    import_limit_kw: Numbers  # [site, step]
    export_limit_kw: Numbers  # [site, step]
    emergency_reserve_kwh: Numbers | None = None  # [site]

    @classmethod
    def constant(
        cls,
        site_id: ArrayLike,
        *,
        steps: int,
        import_limit_kw: ArrayLike = np.inf,
        export_limit_kw: ArrayLike = np.inf,
        base_load_kw: ArrayLike = 0.0,
        emergency_reserve_kwh: ArrayLike | None = None,
    ) -> SiteLimits:
        """Limits that are the same in all steps: one value per site, or one for all."""
        names = np.asarray(site_id)

        def spread(values: ArrayLike) -> Numbers:
            return np.repeat(
                np.broadcast_to(np.asarray(values, dtype=np.float64), names.shape)[:, None],
                steps,
                axis=1,
            )

        reserve = None
        if emergency_reserve_kwh is not None:
            reserve = np.broadcast_to(np.asarray(emergency_reserve_kwh, dtype=np.float64), names.shape).copy()
        return cls(
            names,
            spread(base_load_kw),
            spread(import_limit_kw),
            spread(export_limit_kw),
            reserve,
        )


@dataclass(frozen=True, eq=False)
class EventTarget:
    """A grid event as the total power wanted from the participating assets, step by step.

    For a reduction against a baseline the wanted total is baseline − reduction: what is delivered is baseline − metered.
    With several events their assets should not overlap in the same step, or the same kW is promised twice.

    Attributes:
        event_id: what the caller calls the event.
        target_power_kw: wanted sum of set-points (and computing, if included); NaN outside the event.
        direction: whether less, more, or neither is as good.
        missed_price_per_kwh: cost of a kWh on the wrong side of the target, per step or for all.
        excess_price_per_kwh: cost of a kWh on the other side; None: free for AT_MOST and AT_LEAST, the missed price for
            EXACTLY.
        participates: which assets count; None for all.
        includes_computing: whether the power of idle computing counts.
        missed_as: which promise is missed when the target is.
    """

    event_id: Any
    target_power_kw: Numbers  # [step]
    direction: TargetDirection = TargetDirection.EXACTLY
    missed_price_per_kwh: Numbers | float = DEFAULT_MISSED_PRICE_PER_KWH  # [step] or one
    excess_price_per_kwh: Numbers | float | None = None  # [step] or one
    participates: NDArray[np.bool_] | None = None  # [asset]
    includes_computing: bool = True
    missed_as: MissKind = MissKind.EVENT_TARGET


@dataclass(frozen=True, eq=False)
class ComputingLoad:
    """Idle on-board computers that could run: a load that earns, and that can be curtailed.

    Attributes:
        computer_id: what the caller calls the computer.
        site_index, node_index: row of its site and node in `SiteLimits`, −1 for none.
        power_kw: power while it computes.
        value_per_kwh: what computing earns per kWh that it draws, before the energy's own price.
        availability: part of each step in which it could compute, 0 to 1.
    """

    computer_id: NDArray[Any]  # [computer]
    site_index: NDArray[np.int64]  # [computer]
    node_index: NDArray[np.int64]  # [computer]
    power_kw: Numbers  # [computer]
    value_per_kwh: Numbers  # [computer, step]
    availability: Numbers  # [computer, step]

    def __len__(self) -> int:
        return len(self.computer_id)


@dataclass(frozen=True, eq=False)
class ReserveProduct:
    """Power held ready for the grid operator, on top of everything else that is promised.

    Attributes:
        product: its name.
        direction: up (draw less, deliver more) or down (draw more).
        price_per_kw: payment per kW held through a step.
        duration_h: how long the power must be deliverable once called.
        max_kw: most that the market takes.
        committed_kw: what is already sold; holding less is a missed promise at `missed_price_per_kw`.
        missed_price_per_kw: cost of a kW short of the commitment, per step.
        participates: which assets may hold it; None for all.
    """

    product: str
    direction: ReserveDirection
    price_per_kw: Numbers  # [step]
    duration_h: float
    max_kw: Numbers  # [step]
    committed_kw: Numbers | None = None  # [step]
    missed_price_per_kw: float = 0.0
    participates: NDArray[np.bool_] | None = None  # [asset]


@dataclass(frozen=True, eq=False)
class DispatchProblem:
    """Everything that a plan is made from.

    The portfolio's limits hold for `base_load_kw` plus all set-points plus computing; beyond them every kWh costs
    `missed_price_per_kwh`. Sites and nodes are hard. What it minimises:

        Σ price·step_h·(set-points + computing) + Σ wear·step_h·discharge − Σ value·step_h·computing
        + Σ missed kWh · their price − Σ reserve payment

    Attributes:
        price_per_kwh: price of energy in each step, may be negative; the same for import and export.
        base_load_kw: load of the portfolio that the plan does not steer.
        import_limit_kw, export_limit_kw: soft limits of the portfolio, never negative in meaning but may be any number
            (an event may want a net export); infinite for none.
        sites, nodes: two independent groupings of the assets, each with hard limits.
    """

    assets: FlexibleAssets
    horizon: Horizon
    price_per_kwh: PerStep
    base_load_kw: PerStep = 0.0
    import_limit_kw: PerStep = np.inf
    export_limit_kw: PerStep = np.inf
    missed_price_per_kwh: PerStep = DEFAULT_MISSED_PRICE_PER_KWH
    sites: SiteLimits | None = None
    nodes: SiteLimits | None = None
    targets: tuple[EventTarget, ...] = field(default=())
    computing: ComputingLoad | None = None
    reserves: tuple[ReserveProduct, ...] = field(default=())

    def __post_init__(self) -> None:
        steps = self.horizon.steps
        fill = {
            "price_per_kwh": 0.0,
            "base_load_kw": 0.0,
            "import_limit_kw": np.inf,
            "export_limit_kw": np.inf,
        }
        for name, default in fill.items():
            value = getattr(self, name)
            object.__setattr__(self, name, _per_step(default if value is None else value, steps, name))
        object.__setattr__(
            self,
            "missed_price_per_kwh",
            _per_step(self.missed_price_per_kwh, steps, "missed_price_per_kwh"),
        )
        if not np.all(np.isfinite(self.price_per_kwh)) or not np.all(np.isfinite(self.base_load_kw)):
            raise InvalidInput("must be finite in every step", field="price_per_kwh, base_load_kw")
        if len(self.assets) and int(self.assets.departure_step.max()) > steps:
            raise InvalidInput(
                f"lies beyond the {steps} steps of the horizon",
                field="departure_step",
                remedy="Clip it to the horizon.",
            )
        self._check_groups("site_index", self.sites)
        self._check_groups("node_index", self.nodes)
        for shaped in ("availability", "fixed_power_kw", "milestone_kwh", "discharge_part"):
            value = getattr(self.assets, shaped)
            if value is not None and value.shape != (len(self.assets), steps):
                raise InvalidInput(
                    f"has shape {value.shape}, not one value per asset and step",
                    field=shaped,
                )

    def _check_groups(self, index_name: str, limits: SiteLimits | None) -> None:
        count = 0 if limits is None else len(limits.site_id)
        for holder in (self.assets, self.computing):
            index = np.zeros(0) if holder is None else getattr(holder, index_name)
            if limits is not None and index.size and (index.max() >= count or index.min() < -1):
                raise InvalidInput(
                    f"names row {index.max()} of {count}",
                    field=index_name,
                    remedy="Give its limits.",
                )
        if limits is None:
            return
        for name in ("base_load_kw", "import_limit_kw", "export_limit_kw"):
            shape = getattr(limits, name).shape
            if shape != (count, self.horizon.steps):
                raise InvalidInput(f"has shape {shape}, not one value per site and step", field=name)
        if np.any(limits.import_limit_kw < 0) or np.any(limits.export_limit_kw < 0):
            raise InvalidInput("must not be negative", field="import_limit_kw, export_limit_kw")


def _per_step(value: ArrayLike, steps: int, name: str) -> Numbers:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim > 1 or (array.ndim == 1 and array.size != steps) or np.any(np.isnan(array)):
        raise InvalidInput(
            f"needs one number for each of {steps} steps",
            field=name,
            remedy="Fill every step.",
        )
    return np.broadcast_to(array, (steps,)).copy()
