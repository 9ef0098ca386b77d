"""Never charge and discharge at once.

The linear programme has no rule against it and does it where burning energy pays: at prices below about
−wear·η_c·η_d/(1 − η_c·η_d), or to fill up a target. Two ways out, tried in this order by `solve`:

1. Keep every battery's energy and take the smaller power that gives the same change (`net_out`). Import falls by
   d/(η_c·η_d) − d, so at prices that are not negative and with no lower limit in the way nothing gets worse.
2. Where that costs money or breaks a limit, forbid the weaker direction of each such pair (`forbid_weaker_direction`)
   and solve again. The batteries can still follow the same energies, so drivers lose nothing; each round forbids at
   least one pair and none is allowed again, so the rounds end. The first optimum, in which pairs were free, remains a
   lower bound for every plan that obeys the rule, and the gap is told against it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.preparation import HardLimits
from fleet.core.battery import power_for_energy_change
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]

# Below this, power is the solver's rounding.
NEGLIGIBLE_KW = 1e-6


def at_once(charge_kw: Numbers, discharge_kw: Numbers) -> NDArray[np.bool_]:  # [asset, step]
    """Where an asset charges and discharges in the same step."""
    return (charge_kw > NEGLIGIBLE_KW) & (discharge_kw > NEGLIGIBLE_KW)


def net_out(charge_kw: Numbers, discharge_kw: Numbers, assets: FlexibleAssets) -> Numbers:  # [asset, step]
    """The one signed power per step that changes each battery's energy by the same amount.

    p = r / η_c if r ≥ 0, else r · η_d, with r = η_c · c − d / η_d.
    """
    charge_efficiency, discharge_efficiency = assets.charge_efficiency[:, None], assets.discharge_efficiency[:, None]
    change_kw = charge_efficiency * charge_kw - discharge_kw / discharge_efficiency
    power_kw = power_for_energy_change(
        change_kw, step_h=1.0, charge_efficiency=charge_efficiency, discharge_efficiency=discharge_efficiency
    )
    power_kw = np.where(at_once(charge_kw, discharge_kw), power_kw, charge_kw - discharge_kw)
    return np.where(np.abs(power_kw) < NEGLIGIBLE_KW, 0.0, power_kw)


def forbid_weaker_direction(
    limits: HardLimits, charge_kw: Numbers, discharge_kw: Numbers, assets: FlexibleAssets
) -> HardLimits:
    """Close the direction that moves less energy wherever an asset does both at once."""
    both = at_once(charge_kw, discharge_kw)
    gains = assets.charge_efficiency[:, None] * charge_kw >= discharge_kw / assets.discharge_efficiency[:, None]
    return replace(
        limits,
        charge_kw=np.where(both & ~gains, 0.0, limits.charge_kw),
        discharge_kw=np.where(both & gains, 0.0, limits.discharge_kw),
    )
