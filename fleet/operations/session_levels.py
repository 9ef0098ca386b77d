"""What a car tells of its battery during a stay: how full it is, and the levels that it keeps to."""

from __future__ import annotations

from datetime import datetime

from fleet.models import ChargingSession, Vehicle, VehicleGoal


def note_soc(session: ChargingSession, soc_fraction: float, now: datetime) -> None:
    """The state of charge: at arrival if it is the first, and of the vehicle while it is here. Saves the vehicle alone."""
    if session.arrival_soc_fraction is None:
        session.arrival_soc_fraction = soc_fraction
    if session.vehicle_id is not None and session.ended_at is None:
        Vehicle.objects.filter(pk=session.vehicle_id).update(soc_fraction=soc_fraction, soc_measured_at=now)


def note_levels(session: ChargingSession, target: float | None, minimum_kwh: float | None) -> None:
    """The levels that the car itself keeps to: its target where nobody else has named one, its floor in any case."""
    if target is not None and session.target_soc_fraction is None:
        session.target_soc_fraction = target
    vehicle = session.vehicle
    if minimum_kwh is None or vehicle is None:
        return
    vehicle.refresh_from_db(fields=["soc_fraction"])
    if vehicle.soc_fraction is None:
        return
    goal = VehicleGoal.objects.filter(vehicle=vehicle).first()
    own = vehicle.soc_fraction + minimum_kwh / vehicle.battery_capacity_kwh
    wished = goal.floor_soc_fraction if goal is not None else 0.0
    # to a hundredth: the car tells it relative to a level that moves
    session.floor_soc_fraction = round(min(max(own, wished, 0.0), 1.0), 2)
