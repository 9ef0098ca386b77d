"""Events as lists, for the operator's pages: without the identifiers of their participants, which may be many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Func, IntegerField, Q

from grid.models import GridEvent


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line of a list of events."""

    event_id: int
    requested_by: str
    programme_code: str
    region_code: str
    time_zone: str
    direction: str
    target_kw: float
    starts_at: datetime
    ends_at: datetime
    state: str
    participant_count: int


class _ArrayLength(Func):
    function = "jsonb_array_length"
    output_field = IntegerField()


def recent_events(*, limit: int, before: tuple[datetime, int] | None = None) -> list[EventLine]:
    """Events by start, the latest first; `before` (start, identifier) of the last one seen gives the next page."""
    rows = GridEvent.objects.order_by("-starts_at", "-pk")
    if before is not None:
        starts_at, event_id = before
        rows = rows.filter(Q(starts_at__lt=starts_at) | Q(starts_at=starts_at, pk__lt=event_id))
    fields = (
        "pk",
        "requested_by",
        "programme__code",
        "programme__region__code",
        "programme__region__time_zone",
        "direction",
        "target_kw",
        "starts_at",
        "ends_at",
        "state",
    )
    return [
        EventLine(*row)
        for row in rows.annotate(count=_ArrayLength("participants")).values_list(*fields, "count")[:limit]
    ]
