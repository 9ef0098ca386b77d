"""Events: recording what a grid operator asks for, calling it off, and keeping its state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from common.clock import require_aware
from common.errors import Conflict, InvalidInput
from grid.models import EventDirection, EventState, GridEvent
from grid.queries.events import EventNotFound, EventView, event_view
from grid.queries.programmes import ProgrammeView, UnknownProgramme, programme_on

__all__ = [
    "DirectionNotOffered",
    "EventEndsBeforeStart",
    "EventNotFound",
    "EventOver",
    "EventOverlaps",
    "EventRecorded",
    "EventTooLarge",
    "EventTooLate",
    "EventTooLong",
    "EventTooShort",
    "EventTooSmall",
    "IdempotencyKeyReused",
    "UnknownProgramme",
    "cancel_event",
    "mark_planned",
    "mark_settled",
    "record_event",
]

LONGEST_KEY = 120
_EXCLUSION_VIOLATION = "23P01"
_UNIQUE_VIOLATION = "23505"


class EventTooLate(InvalidInput):
    """The event starts before the programme's notice has passed."""

    code = "event_too_late"


class EventTooLarge(InvalidInput):
    """The event asks for more than the programme buys at once."""

    code = "event_too_large"


class EventTooSmall(InvalidInput):
    """The event asks for less than the programme buys at once."""

    code = "event_too_small"


class EventEndsBeforeStart(InvalidInput):
    """The event has no duration."""

    code = "event_ends_before_start"


class EventTooLong(InvalidInput):
    """The event lasts longer than the programme allows."""

    code = "event_too_long"


class EventTooShort(InvalidInput):
    """The event is over before it must have reached its target."""

    code = "event_too_short"


class DirectionNotOffered(InvalidInput):
    """The programme does not buy this direction."""

    code = "direction_not_offered"


class EventOverlaps(Conflict):
    """The programme has an event at that time already."""

    code = "event_overlaps"


class IdempotencyKeyReused(Conflict):
    """The key belongs to another request of the same operator."""

    code = "idempotency_key_reused"


class EventOver(Conflict):
    """The event is over: nothing is left to call off."""

    code = "event_over"


@dataclass(frozen=True, slots=True)
class EventRecorded:
    """The event, and whether this call made it (False: the same request came before)."""

    event: EventView
    created: bool


@dataclass(frozen=True, slots=True)
class _Request:
    requested_by: str
    idempotency_key: str
    programme_code: str
    direction: str
    target_kw: float
    starts_at: datetime
    ends_at: datetime


def record_event(
    *,
    requested_by: str,
    idempotency_key: str,
    programme_code: str,
    direction: str,
    target_kw: float,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> EventRecorded:
    """Record an operator's request once. The terms of the programme that hold at its start apply to it for good.

    Raises:
        UnknownProgramme, DirectionNotOffered, EventEndsBeforeStart, EventTooLate, EventTooLong, EventTooShort,
        EventTooLarge, EventTooSmall: the request breaks a rule; the same request will always be refused.
        EventOverlaps: the programme has another event at that time.
        IdempotencyKeyReused: the operator used the key for another request.
    """
    request = _Request(
        requested_by=requested_by,
        idempotency_key=_checked_key(idempotency_key),
        programme_code=programme_code,
        direction=direction,
        target_kw=float(target_kw),
        starts_at=_aware(starts_at, "starts_at"),
        ends_at=_aware(ends_at, "ends_at"),
    )
    earlier = _earlier(request)
    if earlier is not None:
        return earlier
    programme = programme_on(programme_code, request.starts_at)
    _check_against_terms(request, programme, require_aware(now, "now"))
    try:
        with transaction.atomic():
            _refuse_overlap(request)
            row = GridEvent.objects.create(
                programme_id=programme.programme_id,
                requested_by=requested_by,
                idempotency_key=request.idempotency_key,
                direction=direction,
                target_kw=request.target_kw,
                starts_at=request.starts_at,
                ends_at=request.ends_at,
                received_at=now,
            )
    except IntegrityError as error:
        return _settle_race(request, error)
    except EventOverlaps:
        # the same request may have been recorded while this one waited for the programme's lock
        earlier = _earlier(request)
        if earlier is None:
            raise
        return earlier
    return EventRecorded(event_view(_loaded(row.pk)), created=True)


def cancel_event(*, event_id: int, requested_by: str, now: datetime) -> EventView:
    """Call an event off. Before its start it is cancelled as if it had never been; while it runs it ends now, and what
    was delivered until then is settled. Calling off what is called off changes nothing.

    Raises:
        EventNotFound: there is no such event of this operator.
        EventOver: it has ended.
    """
    require_aware(now, "now")
    with transaction.atomic():
        row = GridEvent.objects.select_for_update().filter(pk=event_id, requested_by=requested_by).first()
        if row is None:
            raise EventNotFound(event_id)
        if row.cancelled_at is None:
            if row.state == EventState.SETTLED or row.ends_at <= now:
                raise EventOver(
                    f"Event {event_id} ended at {row.ends_at.isoformat()}.",
                    field="event_id",
                    remedy="Read its settlement instead.",
                )
            row.cancelled_at = now
            if row.starts_at < now:
                row.ends_at = now
            else:
                row.state = EventState.CANCELLED
            row.save(update_fields=["cancelled_at", "ends_at", "state"])
    return event_view(_loaded(event_id))


def mark_planned(*, event_id: int, participants: Sequence[int], baseline_kw: float | None, now: datetime) -> bool:
    """Keep who takes part in an event and their estimated baseline; False if it is cancelled, over or settled.

    The last plan before the start decides who takes part: once the event runs, participants stay as they are, because
    settlement measures them from before the start.
    """
    with transaction.atomic():
        row = GridEvent.objects.select_for_update().get(pk=event_id)
        if row.state not in (EventState.RECEIVED, EventState.PLANNED) or row.ends_at <= now:
            return False
        if not row.participants or now < row.starts_at:
            row.participants = [int(asset_id) for asset_id in participants]
        row.baseline_kw = baseline_kw
        row.state = EventState.PLANNED
        row.save(update_fields=["participants", "baseline_kw", "state"])
    return True


def mark_settled(*, event_id: int) -> None:
    """An event's settlement is booked. Called inside the transaction that books it."""
    GridEvent.objects.filter(pk=event_id).update(state=EventState.SETTLED)


def lock_event(event_id: int) -> EventView:
    """Hold an event until the end of the transaction, so that two workers never settle it at once.

    Raises:
        EventNotFound: there is none.
    """
    if GridEvent.objects.select_for_update().filter(pk=event_id).first() is None:
        raise EventNotFound(event_id)
    return event_view(_loaded(event_id))


def _loaded(event_id: int) -> GridEvent:
    return GridEvent.objects.select_related("programme__region").get(pk=event_id)


def _aware(instant: datetime, field: str) -> datetime:
    try:
        return require_aware(instant, field)
    except ValueError as error:
        raise InvalidInput("has no time zone.", field=field, remedy="Write it as 2026-11-23T18:30:00Z.") from error


def _checked_key(key: str) -> str:
    if not key.strip() or len(key) > LONGEST_KEY:
        raise InvalidInput(
            "is empty or too long.",
            field="idempotency_key",
            remedy=f"Send a key of your own, 1 to {LONGEST_KEY} characters, in the header Idempotency-Key.",
        )
    return key


def _earlier(request: _Request) -> EventRecorded | None:
    """The event that an earlier request of this key made."""
    row = (
        GridEvent.objects.select_related("programme__region")
        .filter(requested_by=request.requested_by, idempotency_key=request.idempotency_key)
        .first()
    )
    if row is None:
        return None
    # an event called off while it ran ends earlier than was asked for
    same_end = row.ends_at == request.ends_at or (row.cancelled_at is not None and row.ends_at == row.cancelled_at)
    same = (
        same_end
        and row.programme.code == request.programme_code
        and row.direction == request.direction
        and row.target_kw == request.target_kw
        and row.starts_at == request.starts_at
    )
    if not same:
        raise IdempotencyKeyReused(
            f"The key {request.idempotency_key!r} was used for event {row.pk}, which asks for something else.",
            field="idempotency_key",
            remedy="Send a new key with a new request, or the same content with the same key.",
        )
    return EventRecorded(event_view(row), created=False)


def _settle_race(request: _Request, error: IntegrityError) -> EventRecorded:
    """What a broken constraint means when another request came first."""
    state: Any = getattr(error.__cause__, "sqlstate", "")
    earlier = _earlier(request) if state in (_UNIQUE_VIOLATION, _EXCLUSION_VIOLATION) else None
    if earlier is not None:
        return earlier
    if state == _EXCLUSION_VIOLATION:
        raise _overlap(request.programme_code, None) from error
    raise error


def _refuse_overlap(request: _Request) -> None:
    """The constraint guards one row of terms; a change of terms makes two, so the whole code is checked under a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"programme {request.programme_code}"])
    other = (
        GridEvent.objects.filter(
            ~Q(state=EventState.CANCELLED),
            programme__code=request.programme_code,
            starts_at__lt=request.ends_at,
            ends_at__gt=request.starts_at,
        )
        .order_by("starts_at")
        .first()
    )
    if other is not None:
        raise _overlap(request.programme_code, (other.starts_at, other.ends_at))


def _overlap(programme_code: str, window: tuple[datetime, datetime] | None) -> EventOverlaps:
    # whose event it is, is nobody else's business: only when
    when = f" from {window[0].isoformat()} to {window[1].isoformat()}" if window else " at that time"
    return EventOverlaps(
        f"The programme {programme_code!r} has an event{when}.",
        field="starts_at",
        remedy="Choose another time, or call the other event off first.",
    )


def _check_against_terms(request: _Request, programme: ProgrammeView, now: datetime) -> None:
    if request.direction not in EventDirection.values:
        raise InvalidInput(
            f"{request.direction!r} is no direction.",
            field="direction",
            remedy=f"Give one of {', '.join(EventDirection.values)}.",
        )
    offered = programme.allows_reduction if request.direction == EventDirection.REDUCE else programme.allows_increase
    if not offered:
        raise DirectionNotOffered(
            f"The programme {programme.code!r} does not buy this direction.",
            field="direction",
            remedy="Ask for the other direction, or in another programme.",
        )
    _check_power(request.target_kw, programme)
    _check_time(request, programme, now)


def _check_power(target_kw: float, programme: ProgrammeView) -> None:
    if not math.isfinite(target_kw) or target_kw <= 0:
        raise InvalidInput(
            f"{target_kw!r} is no power to ask for.",
            field="target_kw",
            remedy="Give kW above zero; the direction says which way.",
        )
    if target_kw > programme.max_kw:
        raise EventTooLarge(
            f"{target_kw:g} kW is more than the {programme.max_kw:g} kW that the programme buys at once.",
            field="target_kw",
            remedy=f"Ask for at most {programme.max_kw:g} kW.",
        )
    if target_kw < programme.min_kw:
        raise EventTooSmall(
            f"{target_kw:g} kW is less than the {programme.min_kw:g} kW that the programme buys at least.",
            field="target_kw",
            remedy=f"Ask for at least {programme.min_kw:g} kW.",
        )


def _check_time(request: _Request, programme: ProgrammeView, now: datetime) -> None:
    duration_s = (request.ends_at - request.starts_at).total_seconds()
    if duration_s <= 0:
        raise EventEndsBeforeStart(
            f"It ends at {request.ends_at.isoformat()}, not after its start.",
            field="ends_at",
            remedy="Give an end after the start.",
        )
    earliest = now + timedelta(seconds=programme.notice_s)
    if request.starts_at < earliest:
        raise EventTooLate(
            f"The programme asks for {programme.notice_s} s of notice.",
            field="starts_at",
            remedy=f"Start at {earliest.isoformat()} or later.",
        )
    if duration_s > programme.max_duration_s:
        raise EventTooLong(
            f"{duration_s:g} s is longer than the {programme.max_duration_s} s that the programme allows.",
            field="ends_at",
            remedy=f"End at most {programme.max_duration_s} s after the start.",
        )
    if duration_s <= programme.ramp_s:
        raise EventTooShort(
            f"{duration_s:g} s is not longer than the ramp of {programme.ramp_s} s.",
            field="ends_at",
            remedy=f"End more than {programme.ramp_s} s after the start.",
        )
