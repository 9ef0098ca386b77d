"""Charging at a connector: current, phases and voltage, and the least current that a car accepts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.units import amperes_to_kw, kw_to_amperes

# IEC 61851-1: the control pilot cannot signal less than 6 A; below it charging pauses.
LEAST_CURRENT_A = 6.0


@dataclass(frozen=True, slots=True)
class ConnectorLimits:
    """What a connector and the car on it can carry.

    Attributes:
        max_current_a: largest current per phase.
        phases: phases in use, 1 to 3.
        voltage_v: phase to neutral.
        least_current_a: smallest current at which the car charges at all.
    """

    max_current_a: float
    phases: int = 1
    voltage_v: float = 230.0
    least_current_a: float = LEAST_CURRENT_A

    @property
    def charge_kw(self) -> float:
        """Largest charging power."""
        return amperes_to_kw(self.max_current_a, voltage_v=self.voltage_v, phases=self.phases)

    @property
    def least_charge_kw(self) -> float:
        """Smallest charging power other than a pause."""
        return amperes_to_kw(self.least_current_a, voltage_v=self.voltage_v, phases=self.phases)

    def current_a(self, power_kw: float) -> float:
        """Current per phase that carries a charging power, never above the limit."""
        return min(
            kw_to_amperes(max(power_kw, 0.0), voltage_v=self.voltage_v, phases=self.phases),
            self.max_current_a,
        )


def nearest_settable_power(
    power_kw: ArrayLike, *, least_charge_kw: ArrayLike, charge_kw: ArrayLike
) -> NDArray[np.float64]:
    """The power that a charger can really be told, nearest to the one that is wanted.

    Discharge passes unchanged. Charging is either a pause or between the least and the largest power; what lies below
    the least power goes to the nearer of the two.

    Args:
        power_kw: wanted set-points, positive into the battery.
        least_charge_kw: smallest charging power of each connector.
        charge_kw: largest charging power of each connector.
    """
    wanted, least = (
        np.asarray(power_kw, dtype=np.float64),
        np.asarray(least_charge_kw, dtype=np.float64),
    )
    below = (wanted > 0) & (wanted < least)
    settled = np.where(below, np.where(wanted >= least / 2, least, 0.0), wanted)
    return np.minimum(settled, np.asarray(charge_kw, dtype=np.float64))


def laxity_h(
    *,
    energy_kwh: ArrayLike,
    required_kwh: ArrayLike,
    hours_left: ArrayLike,
    charge_kw: ArrayLike,
    charge_efficiency: ArrayLike,
) -> NDArray[np.float64]:
    """Hours that a car could still wait before it must charge at full power without a break.

    laxity = hours_left − (required_kwh − energy_kwh) / (charge_efficiency · charge_kw); infinite when nothing is
    needed, minus infinity when something is needed and there is no power.
    """
    need_kwh = np.maximum(np.asarray(required_kwh, dtype=np.float64) - np.asarray(energy_kwh), 0.0)
    rate_kw = np.asarray(charge_efficiency, dtype=np.float64) * np.asarray(charge_kw)
    with np.errstate(divide="ignore", invalid="ignore"):
        needed_h = np.where(need_kwh > 0, need_kwh / rate_kw, -np.inf)
    return np.asarray(hours_left) - needed_h
