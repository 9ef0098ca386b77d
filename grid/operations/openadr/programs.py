"""Programmes: grid operators announce, change and withdraw them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from grid.core.openadr.text import storable
from grid.models import OpenAdrProgram
from grid.operations.openadr.answers import withdraw_answers
from grid.operations.openadr.notifications import announce
from grid.operations.openadr.portfolio_node import enrol_portfolio
from grid.operations.openadr.recording import content, stored_targets, unique_name
from grid.queries.openadr.objects import Caller, not_found
from grid.queries.openadr.representations import represent


@transaction.atomic
def create_program(*, caller: Caller, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Announce a programme.

    Raises:
        NameTaken: the VTN has a programme of that name.
    """
    row = OpenAdrProgram(operator_client_id=caller.client_id, operator_name=caller.name, created_at=now)
    _write(row, body, now)
    enrol_portfolio(row, now=now)
    announce(row, "CREATE", now=now)
    return represent(row)


@transaction.atomic
def update_program(*, caller: Caller, program_id: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Put another content in place of a programme's.

    Raises:
        ObjectNotFound: the operator has no such programme.
        NameTaken: another programme has that name.
    """
    row = _own(caller, program_id)
    _write(row, body, now)
    enrol_portfolio(row, now=now)
    # what binds its events to the portfolio may have changed: they are answered anew
    row.events.filter(Q(ends_at=None) | Q(ends_at__gt=now)).update(revision=F("revision") + 1)
    announce(row, "UPDATE", now=now)
    return represent(row)


@transaction.atomic
def delete_program(*, caller: Caller, program_id: str, now: datetime) -> tuple[dict[str, Any], list[int]]:
    """Withdraw a programme with its events; what the portfolio promised for them is called off.

    Returns: the programme as it was, and the grid events that were called off.

    Raises:
        ObjectNotFound: the operator has no such programme.
    """
    row = _own(caller, program_id)
    called_off: list[int] = []
    for event in row.events.select_related("program").order_by("id"):
        announce(event, "DELETE", now=now)
        called_off += withdraw_answers(event, now=now).grid_event_ids
    announce(row, "DELETE", now=now)
    shown = represent(row)
    row.delete()
    return shown, called_off


def _own(caller: Caller, program_id: str) -> OpenAdrProgram:
    row = (
        OpenAdrProgram.objects.select_for_update()
        .filter(object_id=program_id, operator_client_id=caller.client_id)
        .first()
    )
    if row is None:
        raise not_found(program_id)
    return row


def _write(row: OpenAdrProgram, body: Mapping[str, Any], now: datetime) -> None:
    row.body, row.modified_at = content(body), now
    row.program_name, row.targets = storable(body["programName"]), stored_targets(body)
    with unique_name("programName", body["programName"]):
        row.save()
