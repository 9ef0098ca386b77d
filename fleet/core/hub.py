"""A hub of packs behind inverters: how its power is shared among them.

A convex programme with one coupling constraint for the hub and one for every inverter, solved exactly by filling two
levels of vessels with water: first each inverter's packs up to its limit, then the hub's up to its power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# A loss of nothing has no curvature, and then any sharing is as good as another: the least that is taken for one, per kW.
_LEAST_LOSS_PER_KW = 1e-6


@dataclass(frozen=True, eq=False)
class HubPacks:
    """The packs of a hub at one moment; powers in kW at the grid side, never negative.

    Attributes:
        inverter: which inverter each stands behind, counted from 0.
        charge_kw, discharge_kw: what each can take and give now, after derating and by its energy; 0 for one that is
            isolated.
        charge_efficiency, discharge_efficiency: at its full power, in (0, 1].
        full_charge_kw, full_discharge_kw: the powers at which those efficiencies hold.
        state_of_health_fraction, soc_fraction: as last measured.
        wear_per_kwh: cost of a kWh discharged.
        inverter_charge_kw, inverter_discharge_kw: limits of each inverter  # [inverter]
    """

    inverter: NDArray[np.intp]  # [pack]
    charge_kw: Numbers  # [pack]
    discharge_kw: Numbers  # [pack]
    charge_efficiency: Numbers  # [pack]
    discharge_efficiency: Numbers  # [pack]
    full_charge_kw: Numbers  # [pack]
    full_discharge_kw: Numbers  # [pack]
    state_of_health_fraction: Numbers  # [pack]
    soc_fraction: Numbers  # [pack]
    wear_per_kwh: Numbers  # [pack]
    inverter_charge_kw: Numbers  # [inverter]
    inverter_discharge_kw: Numbers  # [inverter]


@dataclass(frozen=True, slots=True)
class SharingWeights:
    """What weighs how much, in prices per kWh.

    Attributes:
        energy_price_per_kwh: what a lost kWh costs.
        health_per_kwh: by how much a kWh through a pack is dearer for each unit that its health lies below the mean: what
            equalises health over the years.
        level_per_kwh: the same for the state of charge, in the direction that brings the packs together.
    """

    energy_price_per_kwh: float = 1.0
    health_per_kwh: float = 1.0
    level_per_kwh: float = 0.5


def share_power(total_kw: float, packs: HubPacks, weights: SharingWeights = SharingWeights()) -> Numbers:  # [pack]
    """Share a hub's power among its packs.

    minimise   Σ_i  price · r_i · x_i² + c_i · x_i
    subject to Σ_i x_i = min(|total|, what all can do),  0 ≤ x_i ≤ limit_i,  Σ_{i behind j} x_i ≤ limit of inverter j

    where x_i is the power of pack i in the hub's direction (none works against another), r_i = (1 − η_i) / full power the
    coefficient of its ohmic loss (I²R at nearly constant voltage: the loss grows with the square of the power, and is
    1 − η of it at full power), and c_i its wear, dearer for the weaker and for those whose charge lies behind.

    Args:
        total_kw: positive = into the packs.

    Returns:
        Power of each pack, positive = into it. Its sum falls short of the total where the packs or inverters cannot.
    """
    charging = total_kw > 0
    limit_kw = packs.charge_kw if charging else packs.discharge_kw
    inverter_kw = packs.inverter_charge_kw if charging else packs.inverter_discharge_kw
    efficiency = packs.charge_efficiency if charging else packs.discharge_efficiency
    full_kw = packs.full_charge_kw if charging else packs.full_discharge_kw
    loss_per_kw = np.maximum((1.0 - efficiency) / np.maximum(full_kw, 1e-3), _LEAST_LOSS_PER_KW)
    curvature = 2.0 * weights.energy_price_per_kwh * loss_per_kw
    cost = _cost_per_kwh(packs, weights, charging=charging)
    within_kw = np.zeros_like(limit_kw)
    for inverter, most_kw in enumerate(inverter_kw):
        behind = packs.inverter == inverter
        within_kw[behind] = fill(float(most_kw), cost[behind], curvature[behind], limit_kw[behind])
    shared_kw = fill(abs(total_kw), cost, curvature, within_kw)
    return shared_kw if charging else -shared_kw


def _cost_per_kwh(packs: HubPacks, weights: SharingWeights, *, charging: bool) -> Numbers:  # [pack]
    able = (packs.charge_kw if charging else packs.discharge_kw) > 0
    if not able.any():
        return np.zeros_like(packs.wear_per_kwh)
    health, level = packs.state_of_health_fraction, packs.soc_fraction
    weaker = health[able].mean() - health
    behind = (level - level[able].mean()) * (1.0 if charging else -1.0)
    # wear is booked per kWh discharged; what is charged is discharged later, so only differences count here
    return packs.wear_per_kwh + weights.health_per_kwh * weaker + weights.level_per_kwh * behind


def fill(total: float, cost: Numbers, curvature: Numbers, limit: Numbers) -> Numbers:
    """Minimise Σ ½·curvature·x² + cost·x subject to Σ x = min(total, Σ limit), 0 ≤ x ≤ limit; exactly.

    At the optimum every x lies where its marginal cost meets one common level, x = clip((level − cost) / curvature, 0,
    limit) (Karush–Kuhn–Tucker). Their sum grows with the level along straight pieces between the levels at which an x
    leaves 0 or reaches its limit, so one sort finds the piece and one division the level.

    Args:
        total: never negative.
        cost: any numbers  # [item]
        curvature: above zero  # [item]
        limit: never negative  # [item]
    """
    if total <= 0 or not limit.size:
        return np.zeros_like(limit)
    if total >= limit.sum():
        return limit.copy()
    begins, ends = cost, cost + curvature * limit
    corners = np.concatenate((begins, ends))
    slopes = np.concatenate((1.0 / curvature, -1.0 / curvature))
    order = np.argsort(corners, kind="stable")
    corners, slope = corners[order], np.cumsum(slopes[order])
    sums = np.concatenate(([0.0], np.cumsum(slope[:-1] * np.diff(corners))))
    piece = int(np.searchsorted(sums, total, side="right")) - 1
    level = corners[piece] + (total - sums[piece]) / slope[piece] if slope[piece] > 0 else corners[piece]
    filled = np.clip((level - cost) / curvature, 0.0, limit)
    return _exactly(filled, total, limit)


def _exactly(filled: Numbers, total: float, limit: Numbers) -> Numbers:
    """Take the rounding of the sum out where there is room for it."""
    missing = total - filled.sum()
    room = limit - filled if missing > 0 else filled
    most = room.sum()
    return filled + missing * room / most if most > 0 else filled
