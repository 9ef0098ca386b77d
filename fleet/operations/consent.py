"""Consent: an owner allows a service for a car, or takes that back. History is never edited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from common.errors import InvalidInput
from fleet.models import ChargingSession, Consent, ConsentService, Vehicle
from fleet.operations.assets import TERMS_VERSION
from fleet.operations.changes import announce_change
from fleet.operations.goals import VehicleNotFound


class UnknownService(InvalidInput):
    """Nothing of that name can be consented to."""

    code = "unknown_service"


@dataclass(frozen=True, slots=True)
class ConsentChanged:
    """What holds after the call, and whether the call changed it."""

    vehicle_id: int
    service: str
    granted: bool
    changed: bool


@transaction.atomic
def grant_consent(
    *, owner_id: int, vehicle_id: int, service: str, now: datetime, terms_version: str = TERMS_VERSION
) -> ConsentChanged:
    """Let a service use a car from now on. Granting what is granted changes nothing.

    Raises:
        VehicleNotFound, UnknownService.
    """
    vehicle = _vehicle(vehicle_id, owner_id, service)
    if Consent.objects.filter(vehicle=vehicle, service=service, withdrawn_at__isnull=True).exists():
        return ConsentChanged(vehicle.pk, service, granted=True, changed=False)
    Consent.objects.create(
        owner_id=owner_id, vehicle=vehicle, service=service, terms_version=terms_version, granted_at=now
    )
    _announce(vehicle)
    return ConsentChanged(vehicle.pk, service, granted=True, changed=True)


@transaction.atomic
def withdraw_consent(*, owner_id: int, vehicle_id: int, service: str, now: datetime) -> ConsentChanged:
    """Stop a service using a car, at once: whoever plans is told with the commit and leaves the car out.

    Raises:
        VehicleNotFound, UnknownService.
    """
    vehicle = _vehicle(vehicle_id, owner_id, service)
    ended = Consent.objects.filter(vehicle=vehicle, service=service, withdrawn_at__isnull=True).update(withdrawn_at=now)
    if ended:
        _announce(vehicle)
    return ConsentChanged(vehicle.pk, service, granted=False, changed=bool(ended))


def _vehicle(vehicle_id: int, owner_id: int, service: str) -> Vehicle:
    if service not in ConsentService.values:
        raise UnknownService(
            f"{service!r} is no service.", field="service", remedy=f"Give one of {', '.join(ConsentService.values)}."
        )
    vehicle = Vehicle.objects.select_for_update().filter(pk=vehicle_id, owner_id=owner_id).first()
    if vehicle is None:
        raise VehicleNotFound("There is no such car of yours.", field="vehicle")
    return vehicle


def _announce(vehicle: Vehicle) -> None:
    session = (
        ChargingSession.objects.select_related("evse__asset__site__grid_node")
        .filter(vehicle=vehicle, ended_at__isnull=True)
        .first()
    )
    if session is not None:
        asset = session.evse.asset
        announce_change(kind="owner", asset_id=asset.pk, region_id=asset.site.grid_node.region_id)
