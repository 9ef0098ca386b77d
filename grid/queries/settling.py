"""Which events can be settled now, and which may have to be settled again."""

from __future__ import annotations

from datetime import datetime, timedelta

from grid.models import EventState, GridEvent
from grid.queries.baseline_rules import evidence_complete_at
from grid.queries.events import METERS_REPORT_WITHIN, UNSETTLED_STATES, EventView, event_view


def events_to_settle(*, now: datetime) -> list[EventView]:
    """Events that are over, whose meters have had time to report, and that are not settled; oldest first."""
    rows = (
        GridEvent.objects.select_related("programme__region")
        .filter(state__in=UNSETTLED_STATES, ends_at__lte=now - METERS_REPORT_WITHIN)
        .order_by("ends_at", "pk")
    )
    return [view for view in map(event_view, rows) if evidence_complete_at(view) <= now]


def recently_settled_events(*, now: datetime, within: timedelta) -> list[EventView]:
    """Settled events that ended not longer ago than `within`: late readings may still change them."""
    rows = (
        GridEvent.objects.select_related("programme__region")
        .filter(state=EventState.SETTLED, ends_at__gt=now - within)
        .order_by("ends_at", "pk")
    )
    return [event_view(row) for row in rows]
