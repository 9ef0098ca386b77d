"""Contracts of use: an owner sets how far a car may be used. What held before stays on record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, time

from django.db import transaction

from common.errors import InvalidInput
from fleet.models import ChargingSession, UseContract, Vehicle
from fleet.operations.changes import announce_change
from fleet.operations.goals import VehicleNotFound


class LimitImpossible(InvalidInput):
    """A limit that makes no sense."""

    code = "limit_impossible"


@dataclass(frozen=True, slots=True)
class UseLimits:
    """Limits on one car's use; None for no limit. Hours are local time of its home."""

    max_discharge_kwh_per_day: float | None = None
    max_discharge_kwh_per_month: float | None = None
    max_events_per_month: int | None = None
    discharge_from: time | None = None
    discharge_until: time | None = None


@transaction.atomic
def agree_use_limits(*, owner_id: int, vehicle_id: int, limits: UseLimits, now: datetime) -> bool:
    """Let these limits hold for a car from now on; whoever plans is told. Returns whether anything changed.

    Raises:
        VehicleNotFound, LimitImpossible.
    """
    _check(limits)
    vehicle = (
        Vehicle.objects.select_for_update().filter(pk=vehicle_id, owner_id=owner_id, withdrawn_at__isnull=True).first()
    )
    if vehicle is None:
        raise VehicleNotFound("There is no such car of yours.", field="vehicle")
    standing = UseContract.objects.filter(vehicle=vehicle, valid_until__isnull=True).first()
    if _limits_of(standing) == limits:
        return False
    if standing is not None:
        standing.valid_until = max(now, standing.valid_from)
        standing.save(update_fields=["valid_until"])
    if limits != UseLimits():
        UseContract.objects.create(
            owner_id=owner_id,
            vehicle=vehicle,
            valid_from=now,
            max_discharge_kwh_per_day=limits.max_discharge_kwh_per_day,
            max_discharge_kwh_per_month=limits.max_discharge_kwh_per_month,
            max_events_per_month=limits.max_events_per_month,
            discharge_from=limits.discharge_from,
            discharge_until=limits.discharge_until,
        )
    _announce(vehicle)
    return True


def _limits_of(contract: UseContract | None) -> UseLimits:
    if contract is None:
        return UseLimits()
    return UseLimits(
        contract.max_discharge_kwh_per_day,
        contract.max_discharge_kwh_per_month,
        contract.max_events_per_month,
        contract.discharge_from,
        contract.discharge_until,
    )


def _check(limits: UseLimits) -> None:
    for field in ("max_discharge_kwh_per_day", "max_discharge_kwh_per_month", "max_events_per_month"):
        value = getattr(limits, field)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise LimitImpossible(
                "A limit is not negative.", field=field, remedy="Give zero or more, or leave it empty."
            )
    if (limits.discharge_from is None) != (limits.discharge_until is None):
        field = "discharge_until" if limits.discharge_until is None else "discharge_from"
        raise LimitImpossible("Hours have a beginning and an end.", field=field, remedy="Give both, or neither.")


def _announce(vehicle: Vehicle) -> None:
    session = (
        ChargingSession.objects.select_related("evse__asset__site__grid_node")
        .filter(vehicle=vehicle, ended_at__isnull=True)
        .first()
    )
    if session is not None:
        asset = session.evse.asset
        announce_change(kind="owner", asset_id=asset.pk, region_id=asset.site.grid_node.region_id)
