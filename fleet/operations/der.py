"""Setting DER controls in stations, and keeping what stations tell of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction

from common.errors import Conflict, NotFound
from fleet.core.der_control import CONTENT_OF, check_der_control
from fleet.models import Charger, ChargerProtocol, CommandKind, DerAlarm, DerControl, DerControlState
from fleet.operations.changes import announce_change
from fleet.operations.commands import queue_command

# A control that could not be delivered by then is asked for again by whoever still wants it.
DELIVER_WITHIN = timedelta(hours=24)


class StationNotFound(NotFound):
    """No such station."""

    code = "station_not_found"


class ControlNotFound(NotFound):
    """The station has no such control."""

    code = "der_control_not_found"


class NoDerControl(Conflict):
    """The station's protocol knows no DER control."""

    code = "no_der_control"


@dataclass(frozen=True, slots=True)
class ReportedControl:
    """A control as a station reports it."""

    control_id: str
    control_type: str
    is_default: bool
    is_superseded: bool
    content: Mapping[str, Any]


@transaction.atomic
def set_der_control(
    *, identity: str, control_type: str, is_default: bool, content: Mapping[str, Any], now: datetime
) -> str:
    """Ask a station to take a DER control; returns the control's identifier.

    Raises:
        StationNotFound, NoDerControl, DerControlInvalid.
    """
    check_der_control(control_type, content, is_default=is_default)
    charger = _charger(identity)
    control_id = str(uuid4())
    DerControl.objects.create(
        charger=charger,
        control_id=control_id,
        control_type=control_type,
        is_default=is_default,
        content=dict(content),
        requested_at=now,
        changed_at=now,
    )
    payload = {
        "isDefault": is_default,
        "controlId": control_id,
        "controlType": control_type,
        CONTENT_OF[control_type]: dict(content),
    }
    _queue(charger, CommandKind.SET_DER_CONTROL, payload, now)
    return control_id


@transaction.atomic
def clear_der_control(*, identity: str, control_id: str, now: datetime) -> None:
    """Ask a station to drop a DER control.

    Raises:
        StationNotFound, NoDerControl, ControlNotFound.
    """
    charger = _charger(identity)
    control = DerControl.objects.filter(charger=charger, control_id=control_id).first()
    if control is None:
        raise ControlNotFound("The station has no such control.", field="control_id", remedy="Ask for a report first.")
    payload = {"isDefault": control.is_default, "controlId": control_id}
    _queue(charger, CommandKind.CLEAR_DER_CONTROL, payload, now)


@transaction.atomic
def request_der_report(*, identity: str, now: datetime) -> None:
    """Ask a station which DER controls it has.

    Raises:
        StationNotFound, NoDerControl.
    """
    _queue(_charger(identity), CommandKind.GET_DER_CONTROL, {}, now)


@transaction.atomic
def note_der_answer(
    *, identity: str, kind: str, control_id: str, status: str, superseded_ids: Collection[str] = (), now: datetime
) -> None:
    """A station has answered to a control being set or cleared."""
    controls = DerControl.objects.filter(charger__identity=identity)
    accepted = status == "Accepted"
    if kind == CommandKind.CLEAR_DER_CONTROL:
        state = DerControlState.CLEARED if accepted or status == "NotFound" else None
    else:
        state = DerControlState.SET if accepted else DerControlState.REFUSED
    if state is not None:
        reason = "" if accepted else status
        controls.filter(control_id=control_id).update(state=state, reason=reason[:200], changed_at=now)
    _supersede(identity, superseded_ids, now)
    _announce(identity)


@transaction.atomic
def record_der_report(
    *, identity: str, request_id: int, controls: Sequence[ReportedControl], is_last: bool, now: datetime
) -> None:
    """A part of a station's report of all its controls. After the last part, what it has not named is no longer there."""
    charger = _charger(identity)
    for control in controls:
        state = DerControlState.SUPERSEDED if control.is_superseded else DerControlState.SET
        told = {
            "control_type": control.control_type,
            "is_default": control.is_default,
            "content": dict(control.content),
            "state": state,
            "reported_in": request_id,
            "changed_at": now,
        }
        DerControl.objects.update_or_create(
            charger=charger,
            control_id=control.control_id,
            defaults=told,
            create_defaults={**told, "requested_at": now},
        )
    if is_last:
        there = [DerControlState.SET, DerControlState.SUPERSEDED]
        DerControl.objects.filter(charger=charger, state__in=there).exclude(reported_in=request_id).update(
            state=DerControlState.CLEARED, changed_at=now
        )
    _announce(identity)


@transaction.atomic
def note_der_start_stop(
    *, identity: str, control_id: str, started: bool, at: datetime, superseded_ids: Collection[str] = (), now: datetime
) -> bool:
    """A scheduled control has begun or ended. Returns whether it is known."""
    controls = DerControl.objects.filter(charger__identity=identity, control_id=control_id)
    known = controls.update(
        **({"started_at": at, "stopped_at": None} if started else {"stopped_at": at}), changed_at=now
    )
    if started:
        controls.update(state=DerControlState.SET)
    _supersede(identity, superseded_ids, now)
    _announce(identity)
    return bool(known)


@transaction.atomic
def record_der_alarm(*, identity: str, control_type: str, fault: str, ended: bool, at: datetime, extra: str) -> None:
    """A station has raised or ended an alarm. An end ends the last one of its kind; each is told once or again."""
    charger = _charger(identity)
    if not ended:
        DerAlarm.objects.get_or_create(
            charger=charger, control_type=control_type, fault=fault, began_at=at, defaults={"extra": extra[:200]}
        )
        return
    open_alarms = DerAlarm.objects.filter(charger=charger, control_type=control_type, ended_at=None, began_at__lte=at)
    alarm = (open_alarms.filter(fault=fault) if fault else open_alarms).first()
    if alarm is not None:
        alarm.ended_at = at
        alarm.save(update_fields=["ended_at"])


def _supersede(identity: str, control_ids: Collection[str], now: datetime) -> None:
    DerControl.objects.filter(charger__identity=identity, control_id__in=list(control_ids)).update(
        state=DerControlState.SUPERSEDED, changed_at=now
    )


def _queue(charger: Charger, kind: str, payload: Mapping[str, Any], now: datetime) -> None:
    evse = charger.evses.order_by("number").first()
    if charger.protocol != ChargerProtocol.OCPP_21 or evse is None:
        raise NoDerControl(
            "This station knows no DER control.", field="identity", remedy="It needs OCPP 2.1 and an EVSE."
        )
    queue_command(
        asset_id=evse.asset_id,
        kind=kind,
        parameters={"request": dict(payload)},
        now=now,
        valid_until=now + DELIVER_WITHIN,
    )


def _charger(identity: str) -> Charger:
    charger = Charger.objects.select_related("site__grid_node").filter(identity=identity).first()
    if charger is None:
        raise StationNotFound(f"There is no station {identity!r}.", field="identity", remedy="Correct its identity.")
    return charger


def _announce(identity: str) -> None:
    charger = _charger(identity)
    announce_change(kind="found_device", asset_id=None, region_id=charger.site.grid_node.region_id)
