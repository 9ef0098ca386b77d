"""Enrolling a car: its registration, its driver's wish and the consents, together or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from common.errors import Conflict, InvalidInput, NotFound
from fleet.models import ChargingSession, Owner
from fleet.operations.assets import RegisteredVehicle, VehicleSpecification, register_vehicle
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.operations.goals import NotPluggedIn, Wish, set_goal
from fleet.queries.portfolio import charger_check

TEST_PAUSE_S = 60
# after the test the charger goes on by itself until the next plan reaches it
AFTER_TEST = timedelta(minutes=10)


class UnknownCharger(NotFound):
    """No charger has this code."""

    code = "unknown_charger"


class ChargerOfAnother(Conflict):
    """The charger stands at another owner's home."""

    code = "charger_of_another"


@dataclass(frozen=True, slots=True)
class CarDescription:
    """What an owner says of a car. `max_discharge_kw` 0: it cannot send power back, or nobody knows."""

    label: str
    make: str
    model: str
    battery_capacity_kwh: float
    max_charge_kw: float
    max_discharge_kw: float


def usable_charger(*, owner_id: int, code: str) -> str:
    """The site of a charger that this owner may use: a shared place, one without an owner, or their own home.

    Raises:
        UnknownCharger, ChargerOfAnother.
    """
    check = charger_check(code=code)
    if check is None:
        raise UnknownCharger(
            "No charger has this code.", field="charger_code", remedy="It is on the charger's label, such as CP-0412."
        )
    if not check.shared and check.owner_id not in (None, owner_id):
        raise ChargerOfAnother(
            "This charger stands at another owner's home.", field="charger_code", remedy="Check the code on the label."
        )
    return check.site_identity


@transaction.atomic
def enrol_vehicle(
    *,
    owner_id: int,
    car: CarDescription,
    charger_code: str,
    wish: Wish,
    consents: Sequence[str],
    now: datetime,
) -> RegisteredVehicle:
    """Register a car of an owner with its driver's wish and the services that its owner explicitly agreed to.

    Without a charger the car has no home site yet. Without consents it takes part in nothing.

    Raises:
        UnknownCharger, ChargerOfAnother, InvalidInput, GoalImpossible.
    """
    owner = Owner.objects.filter(pk=owner_id).first()
    if owner is None:
        raise InvalidInput("There is no such owner.", field="owner")
    site_identity = usable_charger(owner_id=owner_id, code=charger_code) if charger_code else ""
    registered = register_vehicle(
        identity=f"EV-{secrets.token_hex(5).upper()}",
        owner_identity=owner.identity,
        now=now,
        specification=VehicleSpecification(
            make=car.make,
            model=car.model,
            battery_capacity_kwh=car.battery_capacity_kwh,
            max_charge_kw=car.max_charge_kw,
            max_discharge_kw=car.max_discharge_kw,
        ),
        label=car.label,
        home_site_identity=site_identity,
        consents=consents,
    )
    set_goal(vehicle_id=registered.vehicle_id, owner_id=owner_id, wish=wish, now=now)
    return registered


@transaction.atomic
def queue_pause_test(*, owner_id: int, vehicle_id: int, now: datetime) -> int:
    """Pause charging for 60 s so that owner and platform see that the charger obeys. Returns the asset's identifier.

    Raises:
        NotPluggedIn: there is nothing to pause.
    """
    session = (
        ChargingSession.objects.select_related("evse", "vehicle__model")
        .filter(vehicle_id=vehicle_id, vehicle__owner_id=owner_id, ended_at__isnull=True)
        .first()
    )
    if session is None or session.vehicle is None:
        raise NotPluggedIn("The car is not plugged in.", field="vehicle", remedy="Plug it in first.")
    charge_kw = min(session.evse.max_charge_kw, session.vehicle.model.max_charge_kw)
    queue_schedules(
        schedules=[
            PowerSchedule(
                asset_id=session.evse.asset_id,
                starts_at=now,
                offset_s=(0.0, float(TEST_PAUSE_S)),
                power_kw=(0.0, charge_kw),
                valid_until=now + timedelta(seconds=TEST_PAUSE_S) + AFTER_TEST,
            )
        ],
        now=now,
    )
    return session.evse.asset_id
