"""Changing an event that was promised: its end moves, its beginning and size do not."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from common.clock import require_aware
from common.errors import InvalidInput
from grid.models import EventState, GridEvent
from grid.operations.events import EventOver, EventOverlaps, EventTooLong
from grid.queries.events import EventNotFound, EventView, event, event_view


def move_event_end(*, event_id: int, requested_by: str, ends_at: datetime, now: datetime) -> EventView:
    """Let an event end earlier or later than it was asked for. Moving it to where it is changes nothing.

    Raises:
        EventNotFound: there is no such event of this operator.
        EventOver: it has ended, or was called off.
        InvalidInput: the new end is not after now and the start.
        EventTooLong: longer than the programme allows.
        EventOverlaps: the programme has another event then.
    """
    ends_at = require_aware(ends_at, "ends_at")
    try:
        with transaction.atomic():
            row = (
                GridEvent.objects.select_for_update(of=("self",))
                .select_related("programme__region")
                .filter(pk=event_id, requested_by=requested_by)
                .first()
            )
            if row is None:
                raise EventNotFound(event_id)
            _check(row, ends_at, now)
            row.ends_at = ends_at
            row.save(update_fields=["ends_at"])
    except IntegrityError as error:
        raise EventOverlaps(
            "The programme has an event in the time by which this one would be longer.",
            field="ends_at",
            remedy="Choose an earlier end.",
        ) from error
    return event_view(row)


def is_running(event_id: int, *, now: datetime) -> bool:
    """Whether an event has begun and is neither over nor called off."""
    view = event(event_id)
    return view.state != EventState.CANCELLED and view.starts_at <= now < view.ends_at


def _check(row: GridEvent, ends_at: datetime, now: datetime) -> None:
    if row.ends_at <= now or row.state in (EventState.CANCELLED, EventState.SETTLED):
        raise EventOver(f"Event {row.pk} is over.", field="ends_at", remedy="Ask for a new event.")
    if ends_at <= max(now, row.starts_at):
        raise InvalidInput("The end is past.", field="ends_at", remedy="Call the event off instead.")
    longest_s = row.programme.max_duration_s
    if (ends_at - row.starts_at).total_seconds() > longest_s:
        raise EventTooLong(f"The programme allows {longest_s} s.", field="ends_at", remedy="Choose an earlier end.")
