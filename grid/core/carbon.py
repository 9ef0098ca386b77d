"""CO2 of moved energy.

Two kinds of factors, never added and never mixed: marginal factors (what one kWh more or less changes) tell what a
decision avoided; average factors (what a kWh of the mix stands for) make an inventory. What an event avoided is a
decision number: it leaves out the energy that is charged again later, and is no credit without an approved method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.horizon import mean_over_steps

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FactorCurve:
    """Emission factors of one kind: slots [low_s, high_s) on any clock, kg CO2 per kWh."""

    low_s: Numbers  # [factor]
    high_s: Numbers  # [factor]
    kg_per_kwh: Numbers  # [factor]


def factors_of_slots(curve: FactorCurve, boundary_s: Sequence[float]) -> Numbers:  # [slot]
    """Time-weighted factor of each slot between the boundaries; NaN where the curve says nothing."""
    return mean_over_steps(np.asarray(boundary_s, dtype=np.float64), curve.low_s, curve.high_s, curve.kg_per_kwh)


def avoided_kg(baseline_kwh: Numbers, metered_kwh: Numbers, marginal_kg_per_kwh: Numbers) -> Numbers:  # [asset]
    """What each asset's part in an event avoided: Σ over slots of (baseline − metered) · marginal factor.

    Negative where more was drawn than without the event: an increase emits now, whatever it saves later. Slots without
    a factor count nothing.

    Args:
        baseline_kwh, metered_kwh: energy into each asset, without and with the event  # [asset, slot]
        marginal_kg_per_kwh: factor of each slot, NaN where it is not known  # [slot]
    """
    return (baseline_kwh - metered_kwh) @ np.nan_to_num(marginal_kg_per_kwh)


def emitted_kg(energy_kwh: Numbers, average_kg_per_kwh: Numbers) -> float:
    """Location-based inventory of net energy: Σ energy · average factor; slots without a factor count nothing.

    Args:
        energy_kwh: net energy per slot, positive = import  # [slot]
        average_kg_per_kwh: factor of each slot, NaN where it is not known  # [slot]
    """
    return float(np.dot(energy_kwh, np.nan_to_num(average_kg_per_kwh)))
