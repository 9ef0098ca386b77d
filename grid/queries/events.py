"""Events as plain data, with the terms of their programme."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from common.errors import NotFound
from grid.models import EventState, GridEvent

# a reading after the end is needed to know the register at the end; chargers report every few seconds
METERS_REPORT_WITHIN = timedelta(seconds=10)
UNSETTLED_STATES = (EventState.RECEIVED, EventState.PLANNED)


class EventNotFound(NotFound):
    """No such event, or another operator's."""

    code = "event_not_found"

    def __init__(self, event_id: int) -> None:
        super().__init__(f"There is no event {event_id}.", field="event_id", remedy="GET /api/events lists yours.")


@dataclass(frozen=True, slots=True)
class EventView:
    """One event. `target_kw` is the change against the baseline, never negative; `ends_at` is half-open.

    `participants` and `baseline_kw` are set when the event is planned. `cancelled_at` with another state than
    cancelled: it was called off while it ran, and ended then.
    """

    event_id: int
    requested_by: str
    idempotency_key: str
    programme_code: str
    region_id: int
    region_code: str
    direction: str
    target_kw: float
    starts_at: datetime
    ends_at: datetime
    state: str
    received_at: datetime
    cancelled_at: datetime | None
    participants: tuple[int, ...]
    baseline_kw: float | None
    slot_s: int
    ramp_s: int
    energy_price_per_kwh: Decimal
    capacity_price_per_kw: Decimal
    missed_price_per_kwh: Decimal
    tolerance_fraction: float
    owner_share_fraction: Decimal
    baseline_method: str
    baseline_window_s: int
    currency: str
    time_zone: str
    country: str


def event_view(row: GridEvent) -> EventView:
    """A row, with its programme and region loaded, as plain data."""
    terms = row.programme
    return EventView(
        event_id=row.pk,
        requested_by=row.requested_by,
        idempotency_key=row.idempotency_key,
        programme_code=terms.code,
        region_id=terms.region_id,
        region_code=terms.region.code,
        direction=row.direction,
        target_kw=row.target_kw,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        state=row.state,
        received_at=row.received_at,
        cancelled_at=row.cancelled_at,
        participants=tuple(row.participants),
        baseline_kw=row.baseline_kw,
        slot_s=terms.slot_s,
        ramp_s=terms.ramp_s,
        energy_price_per_kwh=terms.energy_price_per_kwh,
        capacity_price_per_kw=terms.capacity_price_per_kw,
        missed_price_per_kwh=terms.missed_price_per_kwh,
        tolerance_fraction=terms.tolerance_fraction,
        owner_share_fraction=terms.owner_share_fraction,
        baseline_method=terms.baseline_method,
        baseline_window_s=terms.baseline_window_s,
        currency=terms.currency,
        time_zone=terms.region.time_zone,
        country=terms.region.country,
    )


def event(event_id: int, *, requested_by: str | None = None) -> EventView:
    """One event; with `requested_by` only if it is that operator's.

    Raises:
        EventNotFound: there is no such event for this caller.
    """
    rows = GridEvent.objects.select_related("programme__region").filter(pk=event_id)
    if requested_by is not None:
        rows = rows.filter(requested_by=requested_by)
    row = rows.first()
    if row is None:
        raise EventNotFound(event_id)
    return event_view(row)


def events_page(
    *, requested_by: str, before_id: int | None, limit: int, state: str = "", programme_code: str = ""
) -> list[EventView]:
    """An operator's events, the latest recorded first, below an identifier."""
    rows = GridEvent.objects.select_related("programme__region").filter(requested_by=requested_by)
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    if state:
        rows = rows.filter(state=state)
    if programme_code:
        rows = rows.filter(programme__code=programme_code)
    return [event_view(row) for row in rows.order_by("-pk")[:limit]]


def open_events(*, region_id: int | None = None, now: datetime) -> list[EventView]:
    """Events of a region (None: of all) that are neither over nor called off, by start."""
    rows = GridEvent.objects.select_related("programme__region").filter(state__in=UNSETTLED_STATES, ends_at__gt=now)
    if region_id is not None:
        rows = rows.filter(programme__region_id=region_id)
    return [event_view(row) for row in rows.order_by("starts_at", "pk")]


def ended_events(*, region_id: int, ended_after: datetime, now: datetime) -> list[EventView]:
    """Events of a region that were not called off and ended lately, by start."""
    rows = GridEvent.objects.select_related("programme__region").filter(
        programme__region_id=region_id, ends_at__gt=ended_after, ends_at__lte=now
    )
    return [event_view(row) for row in rows.exclude(state=EventState.CANCELLED).order_by("starts_at", "pk")]


def participations(*, region_id: int, starts_at: datetime, ends_at: datetime) -> list[tuple[int, datetime, list[int]]]:
    """Events of a region that began in an interval and were not called off: identifier, start, participants."""
    rows = GridEvent.objects.filter(
        programme__region_id=region_id, starts_at__gte=starts_at, starts_at__lt=ends_at
    ).exclude(state=EventState.CANCELLED)
    return list(rows.order_by("pk").values_list("pk", "starts_at", "participants"))


def event_windows(*, region_id: int, starts_at: datetime, ends_at: datetime) -> list[tuple[datetime, datetime]]:
    """When events of a region that were not called off ran, within an interval: such days are left out of baselines."""
    rows = GridEvent.objects.filter(
        programme__region_id=region_id, starts_at__lt=ends_at, ends_at__gt=starts_at
    ).exclude(state=EventState.CANCELLED)
    return list(rows.order_by("starts_at").values_list("starts_at", "ends_at"))
