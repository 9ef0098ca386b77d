"""Registering vehicles with their tokens, their driver's wish and consents, and the computers on board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal

from common.clock import require_aware
from common.errors import InvalidInput
from fleet.models import Consent, GoalKind, IdToken, OnboardComputer, Owner, Site, Vehicle, VehicleGoal
from fleet.models import VehicleModel as VehicleModelRow
from fleet.operations.assets.checks import (
    TERMS_VERSION,
    check_service,
    find,
    registering,
    require_fraction,
    require_identity,
    require_not_negative,
    require_positive,
    require_text,
)
from fleet.operations.secrets import generate_secret, hash_secret

LONGEST_OCPP_16_TOKEN = 20
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class RegisteredVehicle:
    """A vehicle as registered, with the token that its driver shows a station."""

    vehicle_id: int
    identity: str
    owner_identity: str
    id_token: str
    consents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegisteredComputer:
    """An on-board computer as registered. `token` is here once and kept nowhere."""

    computer_id: int
    identity: str
    vehicle_identity: str
    token: str


@dataclass(frozen=True, slots=True)
class VehicleSpecification:
    """What a car can do. Powers in kW at its AC side, never negative; zero discharge for one-way cars."""

    make: str = "Generic"
    model: str = "Car"
    battery_capacity_kwh: float = 60.0
    max_charge_kw: float = 11.0
    max_discharge_kw: float = 0.0
    charge_efficiency: float = 0.92
    discharge_efficiency: float = 0.92


@dataclass(frozen=True, slots=True)
class Goal:
    """The driver's wish: `target_soc_fraction` by `ready_by` (local time of the home site) on `weekdays`, and never
    below `floor_soc_fraction`; without `ready_by` the target has no fixed time."""

    target_soc_fraction: float = 0.8
    floor_soc_fraction: float = 0.3
    ready_by: time | None = None
    weekdays: tuple[int, ...] = EVERY_DAY


def register_vehicle(
    *,
    identity: str,
    owner_identity: str,
    now: datetime,
    specification: VehicleSpecification = VehicleSpecification(),
    label: str = "",
    home_site_identity: str = "",
    id_token: str = "",
    goal: Goal | None = None,
    soc_fraction: float | None = None,
    wear_per_kwh: Decimal = Decimal(0),
    consents: Sequence[str] = (),
) -> RegisteredVehicle:
    """Register a car of an owner. Without a token one is generated; without consents it takes part in nothing.

    Args:
        consents: services that the owner has explicitly agreed to: flexibility, computing, emergency.

    Raises:
        InvalidInput, NotRegistered (owner or home site), AlreadyRegistered (identity or token).
    """
    require_identity(identity)
    _check_specification(specification)
    wish = goal or Goal()
    _check_goal(wish)
    require_not_negative(float(wear_per_kwh), field="wear_per_kwh")
    if soc_fraction is not None:
        require_fraction(soc_fraction, field="soc_fraction")
    for service in consents:
        check_service(service)
    token = require_identity(
        id_token or f"V{generate_secret()[:15].replace('_', 'x').replace('-', 'y')}", field="id_token"
    )
    owner = find(Owner, field="owner", identity=owner_identity)
    home = find(Site, field="home_site", identity=home_site_identity) if home_site_identity else None
    if Vehicle.objects.filter(identity=identity).exists():
        taken, field = identity, "identity"
    else:
        taken, field = token, "id_token"
    with registering(taken, field=field):
        vehicle = Vehicle.objects.create(
            identity=identity,
            label=require_text(label or identity, field="label", longest=80),
            owner=owner,
            model=_model_row(specification),
            home_site=home,
            battery_capacity_kwh=specification.battery_capacity_kwh,
            v2g_capable=specification.max_discharge_kw > 0,
            wear_per_kwh=wear_per_kwh,
            soc_fraction=soc_fraction,
            soc_measured_at=None if soc_fraction is None else require_aware(now, "now"),
        )
        _add_goal(vehicle, wish)
        IdToken.objects.create(token=token, vehicle=vehicle)
        Consent.objects.bulk_create(
            Consent(owner=owner, vehicle=vehicle, service=service, terms_version=TERMS_VERSION, granted_at=now)
            for service in consents
        )
    return RegisteredVehicle(vehicle.pk, identity, owner.identity, token, tuple(consents))


def register_computer(
    *,
    identity: str,
    vehicle_identity: str,
    token: str = "",
    cpu_cores: int = 4,
    memory_mib: int = 4096,
    active_power_kw: float = 0.3,
    performance_tflops: float = 10.0,
) -> RegisteredComputer:
    """Register the computer of a vehicle; without a token, with which its agent logs in, one is generated.

    Raises:
        InvalidInput, NotRegistered (the vehicle), AlreadyRegistered (the identity, or the car has a computer).
    """
    require_identity(identity)
    require_positive(cpu_cores, field="cpu_cores")
    require_positive(memory_mib, field="memory_mib")
    require_not_negative(active_power_kw, field="active_power_kw")
    require_positive(performance_tflops, field="performance_tflops")
    vehicle = find(Vehicle, field="vehicle", identity=vehicle_identity)
    secret = token or generate_secret()
    with registering(identity, remedy="Choose another; a vehicle has one computer."):
        computer = OnboardComputer.objects.create(
            vehicle=vehicle,
            identity=identity,
            cpu_cores=cpu_cores,
            memory_mib=memory_mib,
            active_power_kw=active_power_kw,
            performance_tflops=performance_tflops,
            token_hash=hash_secret(secret, generated=not token),
        )
    return RegisteredComputer(computer.pk, identity, vehicle.identity, secret)


def _model_row(specification: VehicleSpecification) -> VehicleModelRow:
    """The row of this make and model; a car that differs from it gets a model of its own."""
    figures = {
        "battery_capacity_kwh": specification.battery_capacity_kwh,
        "max_charge_kw": specification.max_charge_kw,
        "max_discharge_kw": specification.max_discharge_kw,
        "charge_efficiency": specification.charge_efficiency,
        "discharge_efficiency": specification.discharge_efficiency,
    }
    row, _ = VehicleModelRow.objects.get_or_create(make=specification.make, name=specification.model, defaults=figures)
    if all(getattr(row, field) == value for field, value in figures.items()):
        return row
    name = (
        f"{specification.model[:20]} {specification.battery_capacity_kwh:g} kWh"
        f" +{specification.max_charge_kw:g}/−{specification.max_discharge_kw:g} kW"
        f" η{specification.charge_efficiency:g}/{specification.discharge_efficiency:g}"
    )
    return VehicleModelRow.objects.get_or_create(make=specification.make, name=name, defaults=figures)[0]


def _add_goal(vehicle: Vehicle, goal: Goal) -> None:
    VehicleGoal.objects.create(
        vehicle=vehicle,
        kind=GoalKind.NONE if goal.ready_by is None else GoalKind.WEEKLY,
        weekdays=list(goal.weekdays) if goal.ready_by is not None else [],
        ready_by=goal.ready_by,
        target_soc_fraction=goal.target_soc_fraction,
        floor_soc_fraction=goal.floor_soc_fraction,
    )


def _check_specification(specification: VehicleSpecification) -> None:
    require_text(specification.make, field="make", longest=60)
    require_text(specification.model, field="model", longest=80)
    require_positive(specification.battery_capacity_kwh, field="battery_capacity_kwh")
    require_positive(specification.max_charge_kw, field="max_charge_kw")
    require_not_negative(specification.max_discharge_kw, field="max_discharge_kw")
    require_fraction(specification.charge_efficiency, field="charge_efficiency", above_zero=True)
    require_fraction(specification.discharge_efficiency, field="discharge_efficiency", above_zero=True)


def _check_goal(goal: Goal) -> None:
    require_fraction(goal.target_soc_fraction, field="target_soc_fraction")
    require_fraction(goal.floor_soc_fraction, field="floor_soc_fraction")
    if goal.floor_soc_fraction > goal.target_soc_fraction:
        raise InvalidInput(
            f"{goal.floor_soc_fraction:.0%} is above the target of {goal.target_soc_fraction:.0%}.",
            field="floor_soc_fraction",
            remedy="Lower it, or raise target_soc_fraction.",
        )
    if any(day not in EVERY_DAY for day in goal.weekdays):
        raise InvalidInput("holds a day that is none.", field="weekdays", remedy="Give 0 (Monday) to 6 (Sunday).")
