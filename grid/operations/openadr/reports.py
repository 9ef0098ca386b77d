"""Reports: nodes tell what they measured, offer and do; grid operators read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from grid.core.openadr.privacy import shown_targets
from grid.core.openadr.text import storable
from grid.models import OpenAdrEvent, OpenAdrReport
from grid.operations.openadr.notifications import announce
from grid.operations.openadr.recording import content, unknown
from grid.queries.openadr.objects import Caller, granted_targets, not_found, visible_reports
from grid.queries.openadr.representations import ownership, represent


@transaction.atomic
def create_report(*, caller: Caller, body: Mapping[str, Any], now: datetime, origin_key: str = "") -> dict[str, Any]:
    """Keep a node's report on an event that it can see.

    Args:
        origin_key: names a report of our own portfolio; made once, made again it is the one that there is.

    Raises:
        UnknownReference: the node sees no such event.
    """
    if origin_key:
        made = OpenAdrReport.objects.filter(
            event_ref=body["eventID"], client_id=caller.client_id, origin_key=origin_key
        ).first()
        if made is not None:
            return represent(made)
    row = OpenAdrReport(client_id=caller.client_id, created_at=now, origin_key=origin_key)
    _write(row, caller, body, now)
    announce(row, "CREATE", now=now)
    return represent(row)


@transaction.atomic
def update_report(*, caller: Caller, report_id: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Put another content in place of a report's.

    Raises:
        ObjectNotFound: the node made no such report.
        UnknownReference: the node sees no such event.
    """
    row = _own(caller, report_id)
    _write(row, caller, body, now)
    announce(row, "UPDATE", now=now)
    return represent(row)


@transaction.atomic
def delete_report(*, caller: Caller, report_id: str, now: datetime) -> dict[str, Any]:
    """Take a report back.

    Raises:
        ObjectNotFound: the node made no such report.
    """
    row = _own(caller, report_id)
    announce(row, "DELETE", now=now)
    shown = represent(row)
    row.delete()
    return shown


def _own(caller: Caller, report_id: str) -> OpenAdrReport:
    row = visible_reports(caller).select_for_update().filter(object_id=report_id).first()
    if row is None:
        raise not_found(report_id)
    return row


def _write(row: OpenAdrReport, caller: Caller, body: Mapping[str, Any], now: datetime) -> None:
    if row.event_ref != body["eventID"]:  # a report on an event that is gone by now may still be corrected
        event = _visible_event(caller, body["eventID"])
        row.event_ref, row.program_ref = event.object_id, event.program.object_id
        row.operator_client_id = event.program.operator_client_id
    row.body, row.modified_at, row.client_name = content(body), now, storable(body["clientName"])
    row.save()


def _visible_event(caller: Caller, event_id: str) -> OpenAdrEvent:
    row = OpenAdrEvent.objects.select_related("program").filter(object_id=event_id).first()
    if row is not None and row.targets:
        granted = granted_targets(caller.client_id)
        if shown_targets(ownership(row), caller.reader, requested=granted, granted=granted) is None:
            row = None
    if row is None:
        raise unknown("eventID", event_id)
    return row
