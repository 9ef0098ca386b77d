"""Subscriptions: who is to be called when something changes. The edge has made sure that the call-backs answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from grid.core.openadr.text import storable
from grid.models import OpenAdrProgram, OpenAdrSubscription
from grid.operations.openadr.notifications import announce
from grid.operations.openadr.recording import content, stored_targets, unknown
from grid.queries.openadr.objects import Caller, not_found
from grid.queries.openadr.representations import represent


@transaction.atomic
def create_subscription(*, caller: Caller, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Keep a subscription.

    Raises:
        UnknownReference: the caller knows no such programme.
    """
    row = OpenAdrSubscription(client_id=caller.client_id, is_business_logic=caller.is_business_logic, created_at=now)
    _write(row, caller, body, now)
    announce(row, "CREATE", now=now)
    return represent(row, reader_client_id=caller.client_id)


@transaction.atomic
def update_subscription(
    *, caller: Caller, subscription_id: str, body: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Put another content in place of a subscription's; one that was broken is whole again.

    Raises:
        ObjectNotFound: the caller made no such subscription.
        UnknownReference: the caller knows no such programme.
    """
    row = _own(caller, subscription_id)
    _write(row, caller, body, now)
    announce(row, "UPDATE", now=now)
    return represent(row, reader_client_id=caller.client_id)


@transaction.atomic
def delete_subscription(*, caller: Caller, subscription_id: str, now: datetime) -> dict[str, Any]:
    """End a subscription; what it was still to be told is dropped.

    Raises:
        ObjectNotFound: the caller made no such subscription.
    """
    row = _own(caller, subscription_id)
    shown = represent(row, reader_client_id=caller.client_id)
    announce(row, "DELETE", now=now)
    row.delete()
    return shown


def owns_subscription(*, caller: Caller, subscription_id: str) -> None:
    """Make sure that the caller made it.

    Raises:
        ObjectNotFound: it did not.
    """
    if not OpenAdrSubscription.objects.filter(object_id=subscription_id, client_id=caller.client_id).exists():
        raise not_found(subscription_id)


def _own(caller: Caller, subscription_id: str) -> OpenAdrSubscription:
    row = (
        OpenAdrSubscription.objects.select_for_update()
        .filter(object_id=subscription_id, client_id=caller.client_id)
        .first()
    )
    if row is None:
        raise not_found(subscription_id)
    return row


def _write(row: OpenAdrSubscription, caller: Caller, body: Mapping[str, Any], now: datetime) -> None:
    if body.get("programID", "") != row.program_ref:  # a programme that is gone by now may stay
        programs = OpenAdrProgram.objects.filter(object_id=body.get("programID", ""))
        if caller.is_business_logic:
            programs = programs.filter(operator_client_id=caller.client_id)
        if body.get("programID") and not programs.exists():
            raise unknown("programID", body["programID"])
    row.program_ref = body.get("programID", "")
    row.body, row.modified_at = content(body), now
    row.client_name, row.targets = storable(body["clientName"]), stored_targets(body)
    row.failing_since = row.broken_at = None
    row.save()
