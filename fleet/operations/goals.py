"""The driver's wish: setting it, and overriding it for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.db import transaction

from common.clock import require_aware
from common.errors import Conflict, InvalidInput, NotFound
from fleet.core.goals import next_ready_at
from fleet.models import ChargingSession, GoalKind, Vehicle, VehicleGoal
from fleet.operations.changes import announce_change
from fleet.operations.priority import TELL_WITHIN, ask_priority

LONGEST_CHARGE_NOW = timedelta(hours=24)


class VehicleNotFound(NotFound):
    """No such car, or another owner's."""

    code = "vehicle_not_found"


class GoalImpossible(InvalidInput):
    """The wish contradicts itself."""

    code = "goal_impossible"


class NotPluggedIn(Conflict):
    """The car is not at a charger."""

    code = "not_plugged_in"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a driver wants: weekly by a local time, once by an instant, or with no fixed time."""

    kind: str
    target_soc_fraction: float
    floor_soc_fraction: float
    weekdays: tuple[int, ...] = ()
    ready_by: time | None = None
    ready_at: datetime | None = None
    keep_charging_if_late: bool = True


@dataclass(frozen=True, slots=True)
class GoalSet:
    """The wish as kept; `ready_at` is the next instant by which the car must be ready, if there is one."""

    vehicle_id: int
    ready_at: datetime | None


@transaction.atomic
def set_goal(*, vehicle_id: int, owner_id: int, wish: Wish, now: datetime) -> GoalSet:
    """Keep a driver's wish. It holds for the car's present stay too, and whoever plans is told.

    Raises:
        VehicleNotFound, GoalImpossible.
    """
    _check(wish, now)
    vehicle = _vehicle(vehicle_id, owner_id)
    goal, _ = VehicleGoal.objects.update_or_create(
        vehicle=vehicle,
        defaults={
            "kind": wish.kind,
            "weekdays": sorted(set(wish.weekdays)) if wish.kind == GoalKind.WEEKLY else [],
            "ready_by": wish.ready_by if wish.kind == GoalKind.WEEKLY else None,
            "ready_at": wish.ready_at if wish.kind == GoalKind.ONCE else None,
            "target_soc_fraction": wish.target_soc_fraction,
            "floor_soc_fraction": wish.floor_soc_fraction,
            "keep_charging_if_late": wish.keep_charging_if_late,
        },
    )
    ready_at = next_ready_at(
        kind=goal.kind,
        weekdays=goal.weekdays,
        ready_by=goal.ready_by,
        ready_at=goal.ready_at,
        time_zone=vehicle.home_site.time_zone if vehicle.home_site is not None else "UTC",
        now=now,
    )
    session = _open_session(vehicle)
    if session is not None:
        session.departure_at = ready_at
        session.target_soc_fraction = wish.target_soc_fraction
        session.floor_soc_fraction = wish.floor_soc_fraction
        session.save(update_fields=["departure_at", "target_soc_fraction", "floor_soc_fraction"])
    _announce(session)
    return GoalSet(vehicle.pk, ready_at)


@transaction.atomic
def charge_now(*, vehicle_id: int, owner_id: int, until: datetime, now: datetime) -> datetime:
    """Charge at full power from now until an instant, whatever the plan says. It ends with the stay at the latest.

    Returns the instant at which the plan resumes.

    Raises:
        VehicleNotFound, NotPluggedIn, GoalImpossible: `until` is not within the next 24 hours.
    """
    vehicle = _vehicle(vehicle_id, owner_id)
    until = require_aware(until, "until")
    if not now < until <= now + LONGEST_CHARGE_NOW:
        raise GoalImpossible(
            "Charging now ends within 24 hours.", field="until", remedy="Choose a time within the next 24 hours."
        )
    session = _open_session(vehicle)
    if session is None:
        raise NotPluggedIn("The car is not plugged in.", field="vehicle", remedy="Plug it in first.")
    VehicleGoal.objects.update_or_create(
        vehicle=vehicle,
        defaults={"charge_now_until": until},
        create_defaults={
            "charge_now_until": until,
            "kind": GoalKind.NONE,
        },
    )
    ask_priority(session, activate=True, now=now, until=until)
    _announce(session)
    return until


@transaction.atomic
def undo_charge_now(*, vehicle_id: int, owner_id: int, now: datetime) -> bool:
    """Let the plan resume at once. Returns whether there was anything to undo.

    Raises:
        VehicleNotFound.
    """
    vehicle = _vehicle(vehicle_id, owner_id)
    changed = VehicleGoal.objects.filter(vehicle=vehicle, charge_now_until__gt=now).update(charge_now_until=None)
    if changed:
        session = _open_session(vehicle)
        if session is not None:
            ask_priority(session, activate=False, now=now, until=now + TELL_WITHIN)
        _announce(session)
    return bool(changed)


def _vehicle(vehicle_id: int, owner_id: int) -> Vehicle:
    """The car, locked: two taps at once follow one another."""
    vehicle = (
        Vehicle.objects.select_for_update(of=("self",))
        .select_related("home_site")
        .filter(pk=vehicle_id, owner_id=owner_id, withdrawn_at__isnull=True)
        .first()
    )
    if vehicle is None:
        raise VehicleNotFound("There is no such car of yours.", field="vehicle")
    return vehicle


def _open_session(vehicle: Vehicle) -> ChargingSession | None:
    return (
        ChargingSession.objects.select_related("charger", "evse__asset__site__grid_node")
        .filter(vehicle=vehicle, ended_at__isnull=True)
        .first()
    )


def _announce(session: ChargingSession | None) -> None:
    """A wish of a car that is away changes no plan: its next arrival does."""
    if session is None:
        return
    asset = session.evse.asset
    announce_change(kind="owner", asset_id=asset.pk, region_id=asset.site.grid_node.region_id)


def _check(wish: Wish, now: datetime) -> None:
    if wish.kind not in GoalKind.values:
        raise GoalImpossible(f"{wish.kind!r} is no kind of goal.", field="kind", remedy="Give weekly, once or none.")
    _check_fractions(wish.floor_soc_fraction, wish.target_soc_fraction)
    _check_days(wish.weekdays)
    if wish.kind == GoalKind.WEEKLY and (wish.ready_by is None or not wish.weekdays):
        raise GoalImpossible(
            "A weekly goal needs a time and at least one day.",
            field="ready_by",
            remedy="Choose both, or no fixed time.",
        )
    if wish.kind == GoalKind.ONCE:
        if wish.ready_at is None:
            raise GoalImpossible("A goal that holds once needs a date.", field="ready_at", remedy="Choose one.")
        if require_aware(wish.ready_at, "ready_at") <= now:
            raise GoalImpossible("That time has passed.", field="ready_at", remedy="Choose a later one.")


def _check_fractions(floor: float, target: float) -> None:
    for field, value in (("target_soc_fraction", target), ("floor_soc_fraction", floor)):
        if not 0 <= value <= 1:
            raise GoalImpossible("A level lies between 0 and 1.", field=field, remedy="0.8 means 80 %.")
    if floor > target:
        raise GoalImpossible(
            "The lowest level lies above the goal.", field="floor_soc_fraction", remedy="Lower it, or raise the goal."
        )


def _check_days(weekdays: Sequence[int]) -> None:
    if any(day not in range(7) for day in weekdays):
        raise GoalImpossible("A day is 0 (Monday) to 6 (Sunday).", field="weekdays", remedy="Choose among them.")
