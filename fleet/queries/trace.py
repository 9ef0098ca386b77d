"""The trace of a device's messages: narrowed, searched, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from fleet.models import DeviceCommand, DeviceMessage

MESSAGES_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """What a trace is narrowed to; `before` (instant, identifier) is the last one seen."""

    direction: str = ""
    action: str = ""
    message_id: str = ""
    text: str = ""  # anywhere in the content or the answer
    from_at: datetime | None = None
    to_at: datetime | None = None
    before: tuple[datetime, int] | None = None


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One message with its answer."""

    message_row_id: int
    at: datetime
    device_identity: str
    direction: str
    action: str
    message_id: str
    payload: object
    result: str
    reply_ms: float | None
    command_id: int | None
    plan_id: int | None


def trace(
    *, traced_as: Iterable[str], narrowed: TraceFilter, limit: int = MESSAGES_PER_PAGE
) -> tuple[list[TraceLine], tuple[datetime, int] | None]:
    """A device's messages, the newest first, and the key of the next page (None on the last)."""
    rows = DeviceMessage.objects.filter(device_identity__in=list(traced_as))
    if narrowed.direction:
        rows = rows.filter(direction=narrowed.direction)
    if narrowed.action:
        rows = rows.filter(action__icontains=narrowed.action)
    if narrowed.message_id:
        rows = rows.filter(message_id=narrowed.message_id)
    if narrowed.text:
        rows = rows.annotate(content=Cast("payload", TextField())).filter(
            Q(content__icontains=narrowed.text) | Q(result__icontains=narrowed.text)
        )
    if narrowed.from_at is not None:
        rows = rows.filter(at__gte=narrowed.from_at)
    if narrowed.to_at is not None:
        rows = rows.filter(at__lt=narrowed.to_at)
    if narrowed.before is not None:
        at, row_id = narrowed.before
        rows = rows.filter(Q(at__lt=at) | Q(at=at, id__lt=row_id))
    found = list(rows.order_by("-at", "-id")[: limit + 1])
    shown = found[:limit]
    plans = _plans_of([row.command_id for row in shown if row.command_id is not None])
    lines = [
        TraceLine(
            row.id,
            row.at,
            row.device_identity,
            row.direction,
            row.action,
            row.message_id,
            row.payload,
            row.result,
            row.reply_ms,
            row.command_id,
            plans.get(row.command_id),
        )
        for row in shown
    ]
    return lines, (shown[-1].at, shown[-1].id) if len(found) > limit else None


def _plans_of(command_ids: Sequence[int]) -> dict[int | None, int | None]:
    if not command_ids:
        return {}
    return dict(DeviceCommand.objects.filter(pk__in=command_ids).values_list("pk", "plan_id"))
