"""Charging sessions as they were recorded, and what has to be assumed about the vehicles behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidInput

Numbers = NDArray[np.float64]

# State of charge that a vehicle is assumed to arrive with at the least.
LEAST_ARRIVAL_FRACTION = 0.1


class DepartureKnowledge(StrEnum):
    """What the planner is told at arrival about when the driver will leave."""

    ACTUAL = "actual"  # drivers state the time at which they then leave
    ESTIMATED = "estimated"  # the estimate on record, right or wrong
    FORECAST = "forecast"  # the estimate on record, and how others' had turned out by then


@dataclass(frozen=True, slots=True)
class ChargingSession:
    """One stay at a charger.

    Attributes:
        arrives_at, leaves_at: half-open stay.
        announced_at: when the driver said, at arrival, that they would leave; None if nothing was said.
        requested_kwh: energy asked for at arrival, at the meter.
        delivered_kwh: energy that was really delivered, at the meter; None if not recorded.
    """

    session_id: str
    station_id: str
    arrives_at: datetime
    leaves_at: datetime
    announced_at: datetime | None
    requested_kwh: float
    delivered_kwh: float | None


@dataclass(frozen=True, slots=True)
class VehicleAssumptions:
    """What charging records do not tell about the vehicles.

    Attributes:
        battery_kwh: capacity; raised for a session whose request would not fit.
        charge_kw, discharge_kw: power at the meter each way.
        charge_efficiency, discharge_efficiency: each way, in (0, 1].
        wear_per_kwh: cost of a kWh discharged, at the meter, in the prices' currency.
        floor_fraction: state of charge below which a vehicle is never discharged.
        filled_fraction: state of charge once the request has been met.
    """

    battery_kwh: float = 60.0
    charge_kw: float = 6.6
    discharge_kw: float = 6.6
    charge_efficiency: float = 0.93
    discharge_efficiency: float = 0.93
    wear_per_kwh: float = 0.05
    floor_fraction: float = 0.3
    filled_fraction: float = 0.9

    def __post_init__(self) -> None:
        for name in ("battery_kwh", "charge_kw"):
            if not getattr(self, name) > 0:
                raise InvalidInput("must be above zero", field=name, remedy="Give a positive number.")
        for name in ("discharge_kw", "wear_per_kwh"):
            if not getattr(self, name) >= 0:
                raise InvalidInput("must not be negative", field=name, remedy="Give zero or more.")
        for name in ("charge_efficiency", "discharge_efficiency"):
            if not 0 < getattr(self, name) <= 1:
                raise InvalidInput("must be above 0 and at most 1", field=name, remedy="0.93 means 93 %.")
        if not LEAST_ARRIVAL_FRACTION < self.filled_fraction <= 1 or not 0 <= self.floor_fraction <= 1:
            raise InvalidInput("must be a fraction", field="filled_fraction, floor_fraction", remedy="0.9 means 90 %.")


@dataclass(frozen=True, eq=False)
class ReplayFleet:
    """The sessions as arrays, in the order of arrival; instants in seconds since 1970 (UTC).

    Attributes:
        announced_s: departure that the planner is told at arrival.
        energy_kwh, required_kwh: in the battery at arrival, and wanted at departure.
    """

    sessions: tuple[ChargingSession, ...]
    vehicle: VehicleAssumptions
    arrives_s: Numbers  # [session]
    leaves_s: Numbers  # [session]
    announced_s: Numbers  # [session]
    energy_kwh: Numbers  # [session]
    required_kwh: Numbers  # [session]
    capacity_kwh: Numbers  # [session]
    floor_kwh: Numbers  # [session]

    def __len__(self) -> int:
        return len(self.sessions)


def build_fleet(
    sessions: Sequence[ChargingSession], vehicle: VehicleAssumptions, knowledge: DepartureKnowledge
) -> ReplayFleet:
    """Put a vehicle behind every session.

    The battery is filled to `filled_fraction` once the request is met: it arrives with
    filled_fraction · capacity − charge_efficiency · requested. If that would be less than a tenth, the battery is taken
    to be larger. The floor is never above what the vehicle arrives with.
    """
    ordered = tuple(sorted(sessions, key=lambda one: (one.arrives_at, one.session_id)))
    gain_kwh = vehicle.charge_efficiency * np.array([one.requested_kwh for one in ordered], dtype=np.float64)
    usable = vehicle.filled_fraction - LEAST_ARRIVAL_FRACTION
    capacity_kwh = np.maximum(vehicle.battery_kwh, gain_kwh / usable)
    required_kwh = vehicle.filled_fraction * capacity_kwh
    leaves_s = np.array([one.leaves_at.timestamp() for one in ordered], dtype=np.float64)
    announced_s = leaves_s
    if knowledge is not DepartureKnowledge.ACTUAL:
        announced_s = np.array([(one.announced_at or one.leaves_at).timestamp() for one in ordered], dtype=np.float64)
    return ReplayFleet(
        sessions=ordered,
        vehicle=vehicle,
        arrives_s=np.array([one.arrives_at.timestamp() for one in ordered], dtype=np.float64),
        leaves_s=leaves_s,
        announced_s=announced_s,
        energy_kwh=required_kwh - gain_kwh,
        required_kwh=required_kwh,
        capacity_kwh=capacity_kwh,
        floor_kwh=np.minimum(vehicle.floor_fraction * capacity_kwh, required_kwh - gain_kwh),
    )
