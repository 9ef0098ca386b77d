"""What the fleet can do: assets as arrays, what their physics can reach, and how far their power can move now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidInput
from common.horizon import Horizon
from fleet.core.power_curves import (
    charging_fault,
    charging_lines,
    discharging_fault,
    discharging_lines,
    most_held_kw,
    most_kw,
    no_curves,
)

Numbers = NDArray[np.float64]

_NON_NEGATIVE = (
    "energy_kwh",
    "required_kwh",
    "capacity_kwh",
    "floor_kwh",
    "charge_kw",
    "discharge_kw",
)


@dataclass(frozen=True, eq=False)
class FlexibleAssets:
    """N assets (vehicles at a charger, stationary packs) over the steps of one horizon.

    An asset can move power in the steps [arrival_step, departure_step). Its energy is known at the start of its arrival
    step, must be at least `required_kwh` at the end of its last step, and at least `floor_kwh` all the while. Needs that
    the physics cannot meet are no error here: the plan meets them as far as it can and lists the rest.

    Attributes:
        asset_id: what the caller calls the asset.
        site_index: row of the asset's site in `SiteLimits`, −1 for none.
        node_index: row of the asset's grid node in `SiteLimits`, −1 for none.
        arrival_step, departure_step: half-open window of steps, 0 ≤ arrival ≤ departure ≤ steps.
        energy_kwh: energy in the battery at arrival.
        required_kwh: energy wanted at departure.
        capacity_kwh: most energy the battery may hold.
        floor_kwh: least energy wanted while plugged in.
        charge_kw, discharge_kw: largest power each way, never negative; zero discharge for one-way chargers.
        charge_efficiency, discharge_efficiency: in (0, 1].
        wear_per_kwh: cost of wear per kWh discharged, measured at the grid side.
        availability: part of the power limits that is usable in a step, 0 to 1; None for all. A step during which the
            asset leaves can be used in part; the set-point is then a mean over the step.
        fixed_power_kw: power that the plan may not change, NaN where it is free; None for all free. Fixed steps must
            come first in the asset's window (an owner's "charge now", a device that does not answer).
        milestone_kwh: least energy wanted at the end of every step on top of the floor ("half full by 18:00"), NaN or
            zero where nothing is; None for none.
        holds_reserve: whether the asset's energy counts towards its site's emergency reserve; None for none.
        ready_step: step from whose start on the need must be met and held until departure, because the driver may leave
            earlier than stated (fleet.core.departure); None, or the departure step, for the need at departure only.
        discharge_part: part of the discharging power that a contract allows in a step, 0 to 1, on top of the availability;
            None for all of it. Fixed power is what it is.
        charge_curve, discharge_curve: points (kWh, kW) of the power that the battery takes or gives at an energy; see
            `power_curves`. NaN for an asset without one, None for none. The power limits hold as well.
    """

    asset_id: NDArray[Any]  # [asset]
    site_index: NDArray[np.int64]  # [asset]
    node_index: NDArray[np.int64]  # [asset]
    arrival_step: NDArray[np.int64]  # [asset]
    departure_step: NDArray[np.int64]  # [asset]
    energy_kwh: Numbers  # [asset]
    required_kwh: Numbers  # [asset]
    capacity_kwh: Numbers  # [asset]
    floor_kwh: Numbers  # [asset]
    charge_kw: Numbers  # [asset]
    discharge_kw: Numbers  # [asset]
    charge_efficiency: Numbers  # [asset]
    discharge_efficiency: Numbers  # [asset]
    wear_per_kwh: Numbers  # [asset]
    availability: Numbers | None = None  # [asset, step]
    fixed_power_kw: Numbers | None = None  # [asset, step]
    milestone_kwh: Numbers | None = None  # [asset, step]
    holds_reserve: NDArray[np.bool_] | None = None  # [asset]
    ready_step: NDArray[np.int64] | None = None  # [asset]
    discharge_part: Numbers | None = None  # [asset, step]
    charge_curve: Numbers | None = None  # [asset, point, 2]
    discharge_curve: Numbers | None = None  # [asset, point, 2]

    def __post_init__(self) -> None:
        count = len(self.asset_id)
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or field.name == "asset_id":
                continue
            kind: Any = np.float64
            if field.name.endswith(("_index", "_step")):
                kind = np.int64
            elif field.name == "holds_reserve":
                kind = np.bool_
            array = np.asarray(value, dtype=kind)
            if array.shape[:1] != (count,):
                raise InvalidInput(f"has {array.shape} values for {count} assets", field=field.name)
            object.__setattr__(self, field.name, array)
        self._check_values()

    def _check_values(self) -> None:
        for name in (*_NON_NEGATIVE, "wear_per_kwh"):
            values = getattr(self, name)
            self._refuse(
                ~(np.isfinite(values) & (values >= 0)),
                name,
                "must be a number that is not negative",
            )
        for name in ("charge_efficiency", "discharge_efficiency"):
            values = getattr(self, name)
            self._refuse(~((values > 0) & (values <= 1)), name, "must be above 0 and at most 1")
        self._refuse(self.arrival_step < 0, "arrival_step", "must not be negative")
        self._refuse(
            self.departure_step < self.arrival_step,
            "departure_step",
            "comes before the arrival step",
        )
        if self.ready_step is not None:
            self._refuse(self.ready_step > self.departure_step, "ready_step", "lies after the departure step")
        if self.availability is not None:
            bad = ~((self.availability >= 0) & (self.availability <= 1)).all(axis=1)
            self._refuse(bad, "availability", "must lie between 0 and 1")
        if self.charge_curve is not None:
            bad, expected = charging_fault(self.charge_curve, self.capacity_kwh)
            self._refuse(bad, "charge_curve", f"must have {expected}")
        if self.discharge_curve is not None:
            bad, expected = discharging_fault(self.discharge_curve)
            self._refuse(bad, "discharge_curve", f"must have {expected}")
        if self.discharge_part is not None:
            bad = ~((self.discharge_part >= 0) & (self.discharge_part <= 1)).all(axis=1)
            self._refuse(bad, "discharge_part", "must lie between 0 and 1")
        if self.fixed_power_kw is not None:
            later = np.isnan(self.fixed_power_kw[:, :-1]) & ~np.isnan(self.fixed_power_kw[:, 1:])
            inside = np.arange(1, self.fixed_power_kw.shape[1]) > self.arrival_step[:, None]
            self._refuse(
                (later & inside).any(axis=1),
                "fixed_power_kw",
                "has a fixed step after a free one",
            )

    def _refuse(self, bad: Any, field: str, message: str) -> None:
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise InvalidInput(
                f"{message} (asset {self.asset_id[first]!s})",
                field=field,
                remedy="Correct the asset's data.",
            )

    def __len__(self) -> int:
        return len(self.asset_id)

    @classmethod
    def none(cls) -> FlexibleAssets:
        """An empty fleet."""
        whole, real = np.zeros(0, dtype=np.int64), np.zeros(0)
        return cls(
            np.zeros(0, dtype=object),
            *(whole, whole, whole, whole),
            *(real, real, real, real, real, real, real, real, real),
        )

    def select(self, index: NDArray[Any] | Sequence[int]) -> FlexibleAssets:
        """The assets at an index or mask, in its order."""
        picked: dict[str, Any] = {
            field.name: (None if (value := getattr(self, field.name)) is None else value[np.asarray(index)])
            for field in fields(self)
        }
        return FlexibleAssets(**picked)

    def plugged(self, steps: int) -> NDArray[np.bool_]:  # [asset, step]
        """Whether each asset can move power in each step."""
        step = np.arange(steps)
        return (step >= self.arrival_step[:, None]) & (step < self.departure_step[:, None])

    def ready(self, steps: int) -> NDArray[np.bool_]:  # [asset, step]
        """Steps at whose end the need must be met already, the last step of the window not included."""
        if self.ready_step is None:
            return np.zeros((len(self), steps), dtype=np.bool_)
        step = np.arange(steps)
        inside = (step >= self.arrival_step[:, None]) & (step < self.departure_step[:, None] - 1)
        return inside & (step >= self.ready_step[:, None] - 1)

    def usable_part(self, steps: int) -> Numbers:  # [asset, step]
        """Part of each step in which each asset can move power, 0 to 1."""
        plugged = self.plugged(steps).astype(np.float64)
        return plugged if self.availability is None else plugged * self.availability

    @property
    def ceiling_kwh(self) -> Numbers:  # [asset]
        """Most energy: the capacity, or what a battery fuller than full arrives with."""
        return np.maximum(self.capacity_kwh, self.energy_kwh)

    def charging_lines(self) -> Numbers:  # [asset, line, 2]
        """The lines that bound the charging power by the energy; no line at all where no asset has a curve."""
        points = no_curves(len(self)) if self.charge_curve is None else self.charge_curve
        return charging_lines(points, self.ceiling_kwh)

    def discharging_lines(self) -> Numbers:  # [asset, line, 2]
        """The lines that bound the discharging power by the energy."""
        return discharging_lines(no_curves(len(self)) if self.discharge_curve is None else self.discharge_curve)

    def charge_limit_kw(self, steps: int) -> Numbers:  # [asset, step]
        """Largest charging power in every step: zero outside the window, scaled by the availability."""
        return self._limit(self.charge_kw, steps)

    def discharge_limit_kw(self, steps: int) -> Numbers:  # [asset, step]
        """Largest discharging power in every step: zero outside the window, scaled by availability and contract."""
        limit = self._limit(self.discharge_kw, steps)
        return limit if self.discharge_part is None else limit * self.discharge_part

    def allowed_part(self, rows: slice) -> Numbers | float:  # [asset, step]
        """What contracts allow of the discharging power; all of it where the power is fixed."""
        if self.discharge_part is None:
            return 1.0
        if self.fixed_power_kw is None:
            return self.discharge_part[rows]
        return np.where(np.isnan(self.fixed_power_kw[rows]), self.discharge_part[rows], 1.0)

    def _limit(self, power_kw: Numbers, steps: int) -> Numbers:
        return power_kw[:, None] * self.usable_part(steps)


def most_reachable_kwh(assets: FlexibleAssets, horizon: Horizon) -> Numbers:  # [asset, step]
    """Most energy that each battery can hold at the end of every step if it charges as hard as it can from arrival on.

    min(capacity, energy + Σ step_h · charge_efficiency · charge_kw); the energy at arrival before the window begins.
    Where a battery has a charging curve, the power of each step is the most that it can hold through the step.
    """
    lines = assets.charging_lines()
    if lines.shape[1]:
        return _most_reachable_along_curves_kwh(assets, horizon, lines)
    gain = horizon.step_h * assets.charge_efficiency[:, None] * assets.charge_limit_kw(horizon.steps)
    ceiling = np.maximum(assets.capacity_kwh, assets.energy_kwh)
    return np.minimum(ceiling[:, None], assets.energy_kwh[:, None] + np.cumsum(gain, axis=1))


def _most_reachable_along_curves_kwh(assets: FlexibleAssets, horizon: Horizon, lines: Numbers) -> Numbers:
    usable = assets.usable_part(horizon.steps)
    energy_kwh, reached_kwh = assets.energy_kwh, np.zeros(usable.shape)
    for step, hours in enumerate(horizon.step_h):
        gain_kwh = hours * usable[:, step] * assets.charge_efficiency  # of a kW held while the asset is there
        held_kw = np.minimum(assets.charge_kw, most_held_kw(lines, energy_kwh, gain_kwh))
        energy_kwh = np.minimum(assets.ceiling_kwh, energy_kwh + gain_kwh * held_kw)
        reached_kwh[:, step] = energy_kwh
    return reached_kwh


def least_reachable_kwh(assets: FlexibleAssets, horizon: Horizon) -> Numbers:  # [asset, step]
    """Least energy that each battery can hold at the end of every step if it discharges as hard as it can."""
    loss = horizon.step_h / assets.discharge_efficiency[:, None] * assets.discharge_limit_kw(horizon.steps)
    return np.maximum(0.0, assets.energy_kwh[:, None] - np.cumsum(loss, axis=1))


def latest_charging_kwh(
    assets: FlexibleAssets,
    horizon: Horizon,
    least_kwh: Numbers,  # [asset, step]
) -> Numbers:  # [asset, step]
    """Least energy at the end of every step from which all later needs can still be met by charging at full power.

    Backwards: L_t = max(least_t, L_{t+1} − step_h · charge_efficiency · charge_kw), with the power that a battery with a
    charging curve takes at L_{t+1}.
    """
    gain_h = horizon.step_h * assets.charge_efficiency[:, None] * assets.usable_part(horizon.steps)
    lines, latest = assets.charging_lines(), least_kwh.copy()
    for step in range(horizon.steps - 2, -1, -1):
        later_kwh = latest[:, step + 1]
        full_kw = np.minimum(assets.charge_kw, np.maximum(most_kw(lines, later_kwh), 0.0))
        np.maximum(latest[:, step], later_kwh - gain_h[:, step + 1] * full_kw, out=latest[:, step])
    return latest


@dataclass(frozen=True, eq=False)
class AvailableFlexibility:
    """How far each asset's power can move away from where it is, and for how long.

    Attributes:
        reduction_kw: how much less the asset can draw (or more deliver), never negative.
        reduction_h: hours for which it can hold that reduction before it meets its floor or its driver's need.
        increase_kw: how much more the asset can draw, never negative.
        increase_h: hours for which it can hold that increase before it is full.
    """

    reduction_kw: Numbers  # [asset]
    reduction_h: Numbers  # [asset]
    increase_kw: Numbers  # [asset]
    increase_h: Numbers  # [asset]


def available_flexibility(
    *,
    power_kw: Numbers,  # [asset]
    energy_kwh: Numbers,  # [asset]
    capacity_kwh: Numbers,  # [asset]
    floor_kwh: Numbers,  # [asset]
    required_kwh: Numbers,  # [asset]
    hours_left: Numbers,  # [asset]
    charge_kw: Numbers,  # [asset]
    discharge_kw: Numbers,  # [asset]
    charge_efficiency: Numbers,  # [asset]
    discharge_efficiency: Numbers,  # [asset]
) -> AvailableFlexibility:
    """How much up and down each plugged-in asset can offer now, and for how long.

    Reducing to the discharge limit can go on until the energy e, falling at rate r = discharge_kw/discharge_efficiency,
    meets the floor, or until charging at full power from then on just reaches the need at departure:
    e − r·h = required − charge_efficiency·charge_kw·(hours_left − h). An asset that has no such room offers nothing.
    Increasing to the charge limit can go on until the battery is full; neither goes on beyond the departure.
    """
    gain_kw, fall_kw = (
        charge_efficiency * charge_kw,
        discharge_kw / discharge_efficiency,
    )
    spare_kwh = energy_kwh - (required_kwh - gain_kw * hours_left)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_need_h = np.where(gain_kw + fall_kw > 0, spare_kwh / (gain_kw + fall_kw), np.inf)
        to_floor_h = np.where(fall_kw > 0, (energy_kwh - floor_kwh) / fall_kw, np.inf)
        to_full_h = np.where(gain_kw > 0, (capacity_kwh - energy_kwh) / gain_kw, np.inf)
    reduction_h = np.clip(np.minimum(to_need_h, to_floor_h), 0.0, hours_left)
    increase_h = np.clip(to_full_h, 0.0, hours_left)
    return AvailableFlexibility(
        reduction_kw=np.where(reduction_h > 0, np.maximum(power_kw + discharge_kw, 0.0), 0.0),
        reduction_h=reduction_h,
        increase_kw=np.where(increase_h > 0, np.maximum(charge_kw - power_kw, 0.0), 0.0),
        increase_h=increase_h,
    )
