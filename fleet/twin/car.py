"""A car as its charger sees it: a battery with losses both ways, a charging curve, and power that takes a moment to follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.units import seconds_to_hours
from fleet.core.battery import ChargingCurve, deliverable_power_kw, energy_after_step, power_for_energy_change
from fleet.twin.world import CAR_FULL_POWER_FRACTION, CAR_TAPER_FROM_FRACTION, WorldCar

# from standing still to full power
RAMP_S = 1.0


@dataclass(frozen=True, slots=True)
class PowerOffer:
    """What an EVSE lets its car do now.

    Attributes:
        wanted_kw: the power to follow, positive into the car; in plain charging simply the most it may take.
        charge_kw, discharge_kw: largest power each way that EVSE and profiles allow, never negative.
        least_charge_kw: below it the control pilot cannot go: a smaller positive `wanted_kw` is a pause.
    """

    wanted_kw: float = 0.0
    charge_kw: float = 0.0
    discharge_kw: float = 0.0
    least_charge_kw: float = 0.0

    @property
    def settable_kw(self) -> float:
        """What can really be signalled of `wanted_kw`."""
        if 0 < self.wanted_kw < self.least_charge_kw:
            return 0.0
        return min(max(self.wanted_kw, -self.discharge_kw), self.charge_kw)


NOTHING = PowerOffer()


@dataclass(slots=True)
class SimulatedCar:
    """A car: its battery, its limits, and what its driver wants.

    `power_kw` is what flows now, positive into the car, at the connector. `floor_soc_fraction` is kept by the car
    itself: below it, it does not discharge.
    """

    identity: str
    id_token: str
    battery_capacity_kwh: float
    energy_kwh: float
    max_charge_kw: float
    max_discharge_kw: float = 0.0
    charge_efficiency: float = 0.92
    discharge_efficiency: float = 0.92
    target_soc_fraction: float = 0.8
    floor_soc_fraction: float = 0.3
    departure_in_s: float = 36_000.0
    taper_from_fraction: float = CAR_TAPER_FROM_FRACTION
    full_power_fraction: float = CAR_FULL_POWER_FRACTION
    power_kw: float = 0.0

    @classmethod
    def of_world(cls, car: WorldCar) -> SimulatedCar:
        """The car of a world file."""
        return cls(
            identity=car.identity,
            id_token=car.id_token,
            battery_capacity_kwh=car.battery_capacity_kwh,
            energy_kwh=car.battery_capacity_kwh * car.soc_fraction,
            max_charge_kw=car.max_charge_kw,
            max_discharge_kw=car.max_discharge_kw,
            charge_efficiency=car.charge_efficiency,
            discharge_efficiency=car.discharge_efficiency,
            target_soc_fraction=car.target_soc_fraction,
            floor_soc_fraction=car.floor_soc_fraction,
            departure_in_s=car.departure_in_s,
            taper_from_fraction=car.taper_from_fraction,
            full_power_fraction=car.full_power_fraction,
        )

    @property
    def soc_fraction(self) -> float:
        """State of charge, 0 to 1."""
        return self.energy_kwh / self.battery_capacity_kwh

    def energy_to_kwh(self, soc_fraction: float) -> float:
        """Energy through the connector that brings the battery to a state of charge; negative if it must give some."""
        change_kwh = soc_fraction * self.battery_capacity_kwh - self.energy_kwh
        return float(
            power_for_energy_change(
                change_kwh,
                step_h=1.0,
                charge_efficiency=self.charge_efficiency,
                discharge_efficiency=self.discharge_efficiency,
            )
        )


def advance_cars(cars: Sequence[SimulatedCar], offers: Sequence[PowerOffer], *, step_s: float) -> None:
    """Let a step of time pass for all cars at once: power follows the offers, batteries fill or empty.

    Power moves towards its goal by at most its largest value within `RAMP_S`, and never beyond what charging curve,
    room in the battery and floor allow. The power set is held over the whole step.

    Args:
        cars: the cars that are plugged in; changed in place.
        offers: what each one's EVSE allows, in the same order.
        step_s: length of the step in seconds of the world.
    """
    if not cars or step_s <= 0:
        return
    step_h = seconds_to_hours(step_s)
    power_kw, energy_kwh, capacity_kwh, floor_soc, charge_eff, discharge_eff, full_kw, taper_from, full_part = np.array(
        [
            (
                car.power_kw,
                car.energy_kwh,
                car.battery_capacity_kwh,
                car.floor_soc_fraction,
                car.charge_efficiency,
                car.discharge_efficiency,
                car.max_charge_kw,
                car.taper_from_fraction,
                car.full_power_fraction,
            )
            for car in cars
        ]
    ).T
    wanted_kw, charge_kw, discharge_kw = np.array(
        [
            (offer.settable_kw, min(offer.charge_kw, car.max_charge_kw), min(offer.discharge_kw, car.max_discharge_kw))
            for car, offer in zip(cars, offers, strict=True)
        ]
    ).T
    # the curve is the battery's own: a weaker EVSE is not slowed down before the car is
    taken_kw = full_kw * ChargingCurve(taper_from, full_part).accepted_fraction(energy_kwh / capacity_kwh)
    reach_kw = np.array([max(car.max_charge_kw, car.max_discharge_kw) for car in cars]) * step_s / RAMP_S
    ramped_kw = power_kw + np.clip(wanted_kw - power_kw, -reach_kw, reach_kw)
    power_kw = deliverable_power_kw(
        ramped_kw,
        energy_kwh=energy_kwh,
        capacity_kwh=capacity_kwh,
        floor_kwh=floor_soc * capacity_kwh,
        charge_kw=np.minimum(charge_kw, taken_kw),
        discharge_kw=discharge_kw,
        step_h=step_h,
        charge_efficiency=charge_eff,
        discharge_efficiency=discharge_eff,
    )
    energy_kwh = energy_after_step(
        energy_kwh, power_kw, step_h=step_h, charge_efficiency=charge_eff, discharge_efficiency=discharge_eff
    )
    for car, power, energy in zip(cars, power_kw.tolist(), energy_kwh.tolist(), strict=True):
        car.power_kw, car.energy_kwh = power, min(energy, car.battery_capacity_kwh)
