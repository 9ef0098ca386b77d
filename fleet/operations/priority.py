"""Priority charging (OCPP 2.1, K21 and K22): the driver's override, asked for here or at the station itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from fleet.models import ChargerProtocol, ChargingSession, CommandKind, GoalKind, VehicleGoal
from fleet.operations.changes import announce_change
from fleet.operations.commands import queue_command

LONGEST_PRIORITY = timedelta(hours=24)
# How long the wish to end it is worth telling a station that cannot be reached.
TELL_WITHIN = timedelta(hours=1)


@transaction.atomic
def note_priority_charging(*, identity: str, transaction_id: str, activated: bool, now: datetime) -> bool:
    """A driver has asked for priority at the station, or taken it back: the car charges now, as if asked for here.

    It ends with the stay, or after a day. Returns whether the platform plans for that car at all.
    """
    session = _sessions().filter(charger__identity=identity, transaction_id=transaction_id, ended_at=None).first()
    if session is None:
        return False
    session.priority_charging = activated
    session.save(update_fields=["priority_charging"])
    if session.vehicle_id is None:
        return False
    until = now + LONGEST_PRIORITY
    if session.departure_at is not None and session.departure_at > now:
        until = min(until, session.departure_at)
    VehicleGoal.objects.update_or_create(
        vehicle_id=session.vehicle_id,
        defaults={"charge_now_until": until if activated else None},
        create_defaults={"charge_now_until": until if activated else None, "kind": GoalKind.NONE},
    )
    _announce(session)
    return True


def ask_priority(session: ChargingSession, *, activate: bool, now: datetime, until: datetime) -> None:
    """Ask the session's station to let it charge before all others, or no longer, if it knows how. In a transaction."""
    charger = session.charger
    purposes = str(charger.capabilities.get("additional_purposes") or "")
    if charger.protocol != ChargerProtocol.OCPP_21 or "PriorityCharging" not in purposes:
        return
    if session.priority_charging == activate:
        return
    session.priority_charging = activate
    session.save(update_fields=["priority_charging"])
    queue_command(
        asset_id=session.evse.asset_id,
        kind=CommandKind.PRIORITY_CHARGING,
        parameters={"activate": activate, "transaction_id": session.transaction_id},
        now=now,
        valid_until=until,
    )


@transaction.atomic
def end_priority(*, now: datetime) -> int:
    """Take priority back from cars whose override is over. Returns from how many."""
    over = list(
        _sessions()
        .filter(ended_at=None, priority_charging=True, vehicle__goal__charge_now_until__lte=now)
        .order_by("pk")
    )
    for session in over:
        VehicleGoal.objects.filter(vehicle=session.vehicle).update(charge_now_until=None)
        ask_priority(session, activate=False, now=now, until=now + TELL_WITHIN)
        _announce(session)
    return len(over)


def _sessions() -> QuerySet[ChargingSession]:
    return ChargingSession.objects.select_for_update(of=("self",)).select_related(
        "charger", "evse__asset__site__grid_node", "vehicle"
    )


def _announce(session: ChargingSession) -> None:
    asset = session.evse.asset
    announce_change(kind="owner", asset_id=asset.pk, region_id=asset.site.grid_node.region_id)
