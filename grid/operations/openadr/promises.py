"""Turning what an event asks for into grid events of the platform, and keeping them in step when it changes.

Used for events of our own VTN and of outside ones; each caller holds its event for the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from common.errors import PlatformError
from grid.core.openadr.wishes import (
    POWER_TYPES,
    NotUnderstood,
    Portfolio,
    Wish,
    event_wishes,
    joined,
    wanted_change_kw,
)
from grid.models import AnswerState, EventState, GridEvent, OpenAdrAnswer
from grid.operations.event_changes import move_event_end
from grid.operations.events import EventOver, EventOverlaps, cancel_event, record_event
from grid.operations.openadr.signals import forget_signals, record_signals
from grid.queries.programmes import ProgrammeView, UnknownProgramme, programme_on

# what can move is known for the near future; a promise for later than this is planned when it comes near
AVAILABILITY_KNOWN_FOR = timedelta(minutes=15)
LEAST_CHANGE_KW = 0.001
LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Request:
    """An event, from whichever VTN.

    Attributes:
        source: names the event for good, such as `vtn:<id>`.
        requested_by: the operator under whose name the grid events stand.
        event, program: bodies of the event and its programme.
        code: of the platform's programme.
        received_at: when this revision was received: the "now" of its times.
    """

    source: str
    revision: int
    requested_by: str
    code: str
    event: Mapping[str, Any]
    program: Mapping[str, Any]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What answering changed: grid events to plan, and regions whose prices or factors are others now."""

    grid_event_ids: tuple[int, ...] = ()
    region_ids: tuple[int, ...] = ()


@dataclass
class _Keeping:
    """The grid events that an earlier revision promised and that can still be changed."""

    rows: dict[int, GridEvent]
    changed: list[int] = field(default_factory=list)


def answer_request(request: Request, *, portfolio: Callable[[str], Portfolio], now: datetime) -> Outcome:
    """Promise what can be promised, and keep an answer for every interval. Called inside the transaction that holds the
    event.

    Args:
        portfolio: what a region's assets do and can do now; asked only if an interval depends on it.
    """
    keeping = _Keeping({row.pk: row for row in _open_promises(request.source, now)})
    regions = set(forget_signals(request.source))
    try:
        programme = programme_on(request.code, now)
        wishes = event_wishes(request.event, request.program, request.received_at)
    except (NotUnderstood, UnknownProgramme) as error:
        OpenAdrAnswer.objects.create(
            source=request.source,
            revision=request.revision,
            position=0,
            interval_id=0,
            state=AnswerState.REFUSED,
            reason=str(error)[:LONGEST_REASON],
            answered_at=now,
        )
        _call_off(keeping, request.requested_by, now)
        return Outcome(tuple(keeping.changed), tuple(regions))
    moved_kw = sum(_signed(row) for row in keeping.rows.values() if row.starts_at <= now)
    known = _once(portfolio, programme.region_code, moved_kw)
    power = [wish for wish in joined([w for w in wishes if w.payload_type in POWER_TYPES]) if not _over(wish, now)]
    rest = [wish for wish in wishes if wish.payload_type not in POWER_TYPES]
    answers = _promise_all(request, programme, power, known, keeping, now)
    answers += record_signals(request.source, programme, rest)
    if any(answer.state == AnswerState.ACCEPTED and answer.grid_event_id is None for answer in answers):
        regions.add(programme.region_id)
    for answer in answers:
        answer.source, answer.revision, answer.answered_at = request.source, request.revision, now
    OpenAdrAnswer.objects.bulk_create(answers)
    return Outcome(tuple(dict.fromkeys(keeping.changed)), tuple(regions))


def withdraw_request(source: str, *, requested_by: str, now: datetime) -> Outcome:
    """Call off what was promised for an event that is no more. What is over stays as it was."""
    keeping = _Keeping({row.pk: row for row in _open_promises(source, now)})
    _call_off(keeping, requested_by, now)
    return Outcome(tuple(keeping.changed), tuple(forget_signals(source)))


def _open_promises(source: str, now: datetime) -> list[GridEvent]:
    rows = GridEvent.objects.filter(openadr_answers__source=source, ends_at__gt=now).exclude(
        state__in=[EventState.CANCELLED, EventState.SETTLED]
    )
    return list(rows.filter(cancelled_at=None).distinct().order_by("starts_at", "pk"))


def _promise_all(
    request: Request,
    programme: ProgrammeView,
    wishes: Sequence[Wish],
    portfolio: Callable[[], Portfolio],
    keeping: _Keeping,
    now: datetime,
) -> list[OpenAdrAnswer]:
    """Keep what is as it was, change what can be changed, call the rest off, then record what is new."""
    sized = [(wish, _change_kw(wish, portfolio)) for wish in wishes]
    kept = {wish.position: _same(keeping, wish, change_kw, request, now) for wish, change_kw in sized}
    open_wishes = [(wish, change_kw) for wish, change_kw in sized if kept[wish.position] is None]
    _make_room(keeping, [wish for wish, change_kw in open_wishes if change_kw], programme, request.requested_by, now)
    answers = []
    for wish, change_kw in sized:
        answer = _blank(wish, change_kw)
        standing = kept[wish.position]
        if standing is not None:
            answer.grid_event, answer.state = standing, AnswerState.ACCEPTED
            answer.promised_kw = _signed(standing)
        elif abs(change_kw) < LEAST_CHANGE_KW:
            answer.state, answer.reason = AnswerState.NOTED, "there is nothing to change"
        else:
            _promise(answer, request, programme, portfolio, keeping, now)
        answers.append(answer)
    return answers


def _promise(
    answer: OpenAdrAnswer,
    request: Request,
    programme: ProgrammeView,
    portfolio: Callable[[], Portfolio],
    keeping: _Keeping,
    now: datetime,
) -> None:
    """Record a grid event: from when the terms allow, at most so much as they allow and the portfolio can move."""
    assert answer.starts_at is not None and answer.asked_kw is not None
    starts_at = max(answer.starts_at, now + timedelta(seconds=programme.notice_s))
    longest = timedelta(seconds=programme.max_duration_s)
    ends_at = answer.ends_at or starts_at + longest
    target_kw = min(abs(answer.asked_kw), programme.max_kw)
    if starts_at <= now + AVAILABILITY_KNOWN_FOR:
        hours = max(0.0, (ends_at - starts_at).total_seconds() / 3600.0)
        target_kw = min(target_kw, portfolio().movable_kw(hours)[0 if answer.asked_kw < 0 else 1])
    limits = []
    if starts_at > answer.starts_at:
        limits.append(f"from {starts_at.isoformat(timespec='seconds')} on")
    if ends_at - starts_at > longest:
        ends_at = starts_at + longest
        limits.append(f"for {programme.max_duration_s} s")
    if target_kw < abs(answer.asked_kw):
        limits.append(f"{target_kw:g} kW")
    if target_kw < LEAST_CHANGE_KW:
        answer.state, answer.reason = AnswerState.REFUSED, "nothing can move now"
        return
    try:
        with transaction.atomic():
            recorded = record_event(
                requested_by=request.requested_by,
                idempotency_key=f"{request.source}:{request.revision}:{answer.position}"[-120:],
                programme_code=request.code,
                direction="reduce" if answer.asked_kw < 0 else "increase",
                target_kw=target_kw,
                starts_at=starts_at,
                ends_at=ends_at,
                now=now,
            )
    except PlatformError as error:
        answer.state, answer.reason = AnswerState.REFUSED, f"{error.code}: {error}"[:LONGEST_REASON]
        return
    answer.grid_event_id = recorded.event.event_id
    answer.promised_kw = target_kw if answer.asked_kw > 0 else -target_kw
    answer.state = AnswerState.PARTIAL if limits else AnswerState.ACCEPTED
    answer.reason = "; ".join(limits)
    keeping.changed.append(recorded.event.event_id)


def _same(keeping: _Keeping, wish: Wish, change_kw: float, request: Request, now: datetime) -> GridEvent | None:
    """The standing promise that a wish still means; its end is moved if that is all that changed."""
    for row in keeping.rows.values():
        begins_alike = row.starts_at == wish.starts_at or (row.starts_at <= now and wish.starts_at <= now)
        if not begins_alike or abs(_signed(row) - change_kw) > LEAST_CHANGE_KW:
            continue
        if wish.ends_at is not None and wish.ends_at != row.ends_at:
            try:
                move_event_end(event_id=row.pk, requested_by=request.requested_by, ends_at=wish.ends_at, now=now)
            except PlatformError:
                continue
            row.ends_at = wish.ends_at
            keeping.changed.append(row.pk)
        del keeping.rows[row.pk]
        return row
    return None


def _make_room(
    keeping: _Keeping, coming: Sequence[Wish], programme: ProgrammeView, requested_by: str, now: datetime
) -> None:
    """Call off what is wanted no more. What runs goes on until what comes in its place may begin."""
    earliest = now + timedelta(seconds=programme.notice_s)
    for row in list(keeping.rows.values()):
        successor = next((wish for wish in coming if wish.starts_at <= earliest < (wish.ends_at or row.ends_at)), None)
        if row.starts_at <= now and successor is not None and row.ends_at > earliest > now:
            move_event_end(event_id=row.pk, requested_by=requested_by, ends_at=earliest, now=now)
            keeping.changed.append(row.pk)
            del keeping.rows[row.pk]
    _call_off(keeping, requested_by, now)


def _call_off(keeping: _Keeping, requested_by: str, now: datetime) -> None:
    for row in list(keeping.rows.values()):
        try:
            cancel_event(event_id=row.pk, requested_by=requested_by, now=now)
        except (EventOver, EventOverlaps):
            continue
        keeping.changed.append(row.pk)
    keeping.rows.clear()


def _change_kw(wish: Wish, portfolio: Callable[[], Portfolio]) -> float:
    needs_portfolio = wish.payload_type != "DISPATCH_SETPOINT_RELATIVE"
    return wanted_change_kw(wish, portfolio() if needs_portfolio else Portfolio(0.0, ()))


def _blank(wish: Wish, change_kw: float) -> OpenAdrAnswer:
    return OpenAdrAnswer(
        position=wish.position,
        interval_id=wish.interval_id,
        payload_type=wish.payload_type,
        starts_at=wish.starts_at,
        ends_at=wish.ends_at,
        asked_kw=change_kw,
    )


def _signed(row: GridEvent) -> float:
    return -row.target_kw if row.direction == "reduce" else row.target_kw


def _over(wish: Wish, now: datetime) -> bool:
    return wish.ends_at is not None and wish.ends_at <= now


def _once(portfolio: Callable[[str], Portfolio], region_code: str, moved_kw: float) -> Callable[[], Portfolio]:
    """Ask for the portfolio at most once: reading a large fleet takes a while.

    Args:
        moved_kw: by how much this event has moved it already, positive = it draws more; it counts as not moved.
    """
    known: list[Portfolio] = []

    def ask() -> Portfolio:
        if not known:
            known.append(portfolio(region_code).without(moved_kw))
        return known[0]

    return ask
