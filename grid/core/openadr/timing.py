"""When an OpenADR event and its intervals run: starts, ISO 8601 durations, defaults and loops.

Of the User Guide's rules: an interval takes what it does not say itself from the event; without a start it begins where
the one before it ends; a start in the year 1 is "now"; a duration of thousands of years is without end; an event that
is longer than its intervals goes through them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dateutil.relativedelta import relativedelta

# as the official description has it
_DURATION = re.compile(
    r"(?P<sign>-?)P(?=\d|T\d)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<number>\d+)(?P<unit>[DW]))?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})")
_NOW = re.compile(r"0001-01-01(?:[Tt]00:00:00(?:\.0+)?(?:[Zz]|[+-]00:00)?)?")
_YEARS_WITHOUT_END = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """From `starts_at` to `ends_at`, half-open; no end is known where it is None."""

    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class TimedInterval:
    """An interval of an event with its time; `interval_id` is the client's own number."""

    interval_id: int
    span: Span
    payloads: tuple[Mapping[str, Any], ...]


def is_instant(text: str) -> bool:
    """Whether a text is an instant in OpenADR's sense: RFC 3339, or one of the spellings of "now"."""
    if _NOW.fullmatch(text):
        return True
    if not _RFC3339.fullmatch(text):
        return False
    try:
        _parse(text)
    except (ValueError, OverflowError):
        return False
    return True


def instant(text: str, now: datetime) -> datetime:
    """The instant that a text names; raises ValueError if it names none."""
    return now if _NOW.fullmatch(text) else _parse(text)


def add_duration(start: datetime, text: str) -> datetime | None:
    """The end of a duration that begins at `start`; None if it has no end that a calendar knows.

    Months and years are the calendar's. Raises ValueError for a text that is no duration.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no ISO 8601 duration")
    number = int(found["number"] or 0)
    years = int(found["years"] or 0)
    if years >= _YEARS_WITHOUT_END:
        return None
    sign = -1 if found["sign"] else 1
    try:
        return start + sign * (
            relativedelta(years=years, months=int(found["months"] or 0))
            + timedelta(
                days=number * (7 if found["unit"] == "W" else 1),
                hours=int(found["hours"] or 0),
                minutes=int(found["minutes"] or 0),
                seconds=float(found["seconds"] or 0),
            )
        )
    except (OverflowError, ValueError):
        return None


def event_end(event: Mapping[str, Any], now: datetime) -> datetime | None:
    """When an event is over; None where it has no time or no end."""
    period = event.get("intervalPeriod") or {}
    start = instant(period["start"], now) if period.get("start") else None
    whole = event.get("duration")
    if start is not None and whole and (end := _positive_end(start, whole)) is not None:
        return end
    if whole and start is not None and _is_endless(start, whole):
        return None
    intervals = event.get("intervals") or []
    if not intervals:
        return None if start is None else _positive_end(start, period.get("duration") or "PT0S")
    ends: list[datetime] = []
    for interval in timed_intervals({**event, "duration": None}, now):
        if interval.span.ends_at is None:
            return None
        ends.append(interval.span.ends_at)
    return max(ends) if len(ends) == len(intervals) else None


def timed_intervals(event: Mapping[str, Any], now: datetime) -> Iterator[TimedInterval]:
    """The event's intervals in their order, each with its time, again and again until the event's own duration is over.

    Intervals without any start are left out; a caller of an endless event takes as many as it wants.
    """
    default = event.get("intervalPeriod") or {}
    following = instant(default["start"], now) if default.get("start") else None
    begin, whole = following, event.get("duration")
    until = add_duration(begin, whole) if begin is not None and whole else None
    loops = begin is not None and bool(whole) and (until is None or until > begin)
    while True:
        round_began = following
        for interval in event.get("intervals") or []:
            timed = _timed(interval, default, following, now)
            if timed is None:
                continue
            following = timed.span.ends_at
            if loops and until is not None and timed.span.starts_at >= until:
                return
            yield timed if until is None or not loops else _cut(timed, until)
            if following is None:
                return
        if not loops or following is None or following == round_began:
            return
        if until is not None and following >= until:
            return


def _timed(
    interval: Mapping[str, Any], default: Mapping[str, Any], following: datetime | None, now: datetime
) -> TimedInterval | None:
    own = interval.get("intervalPeriod") or {}
    starts_at = instant(own["start"], now) if own.get("start") else following
    if starts_at is None:
        return None
    duration = own.get("duration") or default.get("duration") or "PT0S"
    ends_at = add_duration(starts_at, duration)
    if ends_at is not None and ends_at < starts_at:
        ends_at = starts_at
    return TimedInterval(int(interval["id"]), Span(starts_at, ends_at), tuple(interval.get("payloads") or ()))


def _cut(timed: TimedInterval, until: datetime) -> TimedInterval:
    ends_at = until if timed.span.ends_at is None else min(timed.span.ends_at, until)
    return TimedInterval(timed.interval_id, Span(timed.span.starts_at, ends_at), timed.payloads)


def _positive_end(start: datetime, duration: str) -> datetime | None:
    end = add_duration(start, duration)
    return end if end is not None and end > start else None


def _is_endless(start: datetime, duration: str) -> bool:
    return add_duration(start, duration) is None


def _parse(text: str) -> datetime:
    # RFC 3339 knows leap seconds, Python does not
    text = re.sub(r":60(?=[.Zz+-])", ":59", text.upper().replace(" ", "T"))
    moment = datetime.fromisoformat(text)
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the first or last hours that a calendar has
        return moment.replace(tzinfo=UTC)
