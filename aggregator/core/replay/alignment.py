"""Bringing sessions and prices of different years and places together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from aggregator.core.replay.sessions import ChargingSession
from common.errors import InvalidInput

WEEK = timedelta(weeks=1)
YEAR_DAYS = 365.2425


@dataclass(frozen=True, slots=True)
class Alignment:
    """How sessions were moved.

    Attributes:
        weeks: whole weeks added to the sessions' local time.
        moved: whether anything was moved.
        rule: the sentence for the summary.
    """

    weeks: int
    moved: bool
    rule: str


def align(
    sessions: Sequence[ChargingSession], *, starts_at: datetime, ends_at: datetime, zone: tzinfo
) -> tuple[list[ChargingSession], Alignment]:
    """Move sessions into the span of the prices, if they are not in it.

    Sessions inside the span stay where they are. Otherwise all are moved by one whole number of weeks, which keeps their
    weekday, and their local clock time is read as local time of the market, which keeps their hour. Of the shifts that
    bring all sessions into the span, the one is taken that changes the season least.

    Args:
        starts_at, ends_at: the span of the prices.
        zone: time zone of the market.

    Raises:
        InvalidInput: no shift brings all sessions into the span.
    """
    first = min(one.arrives_at for one in sessions)
    last = max(one.leaves_at for one in sessions)
    if starts_at <= first and last <= ends_at:
        return list(sessions), Alignment(0, False, "Sessions and prices overlap in time; nothing was moved.")
    local_first, local_last = first.replace(tzinfo=zone), last.replace(tzinfo=zone)
    least = -((local_first - starts_at) // WEEK)  # the first whole number of weeks that does not start too early
    most = (ends_at - local_last) // WEEK
    if most < least:
        raise InvalidInput(
            f"prices run from {starts_at.isoformat()} to {ends_at.isoformat()}, too short for sessions from "
            f"{first.isoformat()} to {last.isoformat()}, even moved by whole weeks",
            field="prices",
            remedy="Give longer prices, or fewer sessions with --from and --until.",
        )
    weeks = min(range(least, most + 1), key=_season_change_days)
    moved = [_move(one, weeks, zone) for one in sessions]
    rule = (
        f"Sessions were moved by {weeks:+d} whole weeks, which keeps weekday and (to {_season_change_days(weeks):.0f} days) "
        f"season; their local clock times are read as local time of the prices' market ({zone})."
    )
    return moved, Alignment(weeks, True, rule)


def _season_change_days(weeks: int) -> float:
    days = weeks * 7
    return abs(days - round(days / YEAR_DAYS) * YEAR_DAYS)


def _move(session: ChargingSession, weeks: int, zone: tzinfo) -> ChargingSession:
    """Add weeks on the local clock; stays keep their length even across a change of the clock."""
    # Arithmetic on an aware local time ignores changes of the clock, so lengths are added to the instant.
    start_s = (session.arrives_at.replace(tzinfo=None) + weeks * WEEK).replace(tzinfo=zone).timestamp()

    def after(instant: datetime) -> datetime:
        return datetime.fromtimestamp(start_s + (instant - session.arrives_at).total_seconds(), zone)

    return replace(
        session,
        arrives_at=after(session.arrives_at),
        leaves_at=after(session.leaves_at),
        announced_at=None if session.announced_at is None else after(session.announced_at),
    )
