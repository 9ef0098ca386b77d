"""Events: grid operators create, change and delete them; the portfolio answers afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from grid.core.openadr.timing import event_end
from grid.models import OpenAdrEvent, OpenAdrProgram
from grid.operations.openadr.answers import withdraw_answers
from grid.operations.openadr.notifications import announce
from grid.operations.openadr.recording import content, stored_targets, unknown
from grid.queries.openadr.objects import Caller, not_found, visible_row
from grid.queries.openadr.representations import represent


@transaction.atomic
def create_event(*, caller: Caller, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Record an event of one of the operator's programmes.

    Raises:
        UnknownReference: the operator has no such programme.
    """
    row = OpenAdrEvent(program=_program(caller, body), created_at=now)
    _write(row, body, now)
    announce(row, "CREATE", now=now)
    return represent(row)


@transaction.atomic
def update_event(*, caller: Caller, event_id: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Put another content in place of an event's.

    Raises:
        ObjectNotFound: the operator has no such event.
        UnknownReference: the operator has no such programme.
    """
    visible_row(caller, OpenAdrEvent, event_id)
    # the programme before the event, as whoever changes a programme holds them: two that wait for each other never end
    program = _program(caller, body)
    row = _own(caller, event_id)
    row.program = program
    row.revision += 1
    _write(row, body, now)
    announce(row, "UPDATE", now=now)
    return represent(row)


@transaction.atomic
def delete_event(*, caller: Caller, event_id: str, now: datetime) -> tuple[dict[str, Any], list[int]]:
    """Delete an event and call off what the portfolio promised for it.

    Returns: the event as it was, and the grid events that were called off.

    Raises:
        ObjectNotFound: the operator has no such event.
    """
    row = _own(caller, event_id)
    announce(row, "DELETE", now=now)
    called_off = list(withdraw_answers(row, now=now).grid_event_ids)
    shown = represent(row)
    row.delete()
    return shown, called_off


def _own(caller: Caller, event_id: str) -> OpenAdrEvent:
    row = (
        OpenAdrEvent.objects.select_for_update(of=("self",))
        .select_related("program")
        .filter(object_id=event_id, program__operator_client_id=caller.client_id)
        .first()
    )
    if row is None:
        raise not_found(event_id)
    return row


def _program(caller: Caller, body: Mapping[str, Any]) -> OpenAdrProgram:
    # held, so that it cannot go while an event of it comes
    row = (
        OpenAdrProgram.objects.select_for_update(of=("self",), no_key=True)
        .filter(object_id=body["programID"], operator_client_id=caller.client_id)
        .first()
    )
    if row is None:
        raise unknown("programID", body["programID"])
    return row


def _write(row: OpenAdrEvent, body: Mapping[str, Any], now: datetime) -> None:
    row.body, row.modified_at = content(body), now
    row.targets, row.ends_at = stored_targets(body), event_end(body, now)
    row.save()
