"""The rules of UFTP about days, settlement periods and expiry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from grid.core.uftp import FlexFrame, MarketTerms, day_bounds, frame_rejection

ZONE = "Europe/Amsterdam"
TERMS = MarketTerms(isp_minutes=15, time_zone=ZONE)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FRAME = FlexFrame(15, ZONE, date(2026, 11, 24), ((73, 4),), NOW + timedelta(hours=2))


def test_a_request_for_tomorrow_evening_is_in_order() -> None:
    assert frame_rejection(FRAME, TERMS, NOW) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"isp_minutes": 30}, "ISP Duration Rejected"),
        ({"time_zone": "Europe/London"}, "TimeZone Rejected"),
        ({"period": date(2026, 11, 22)}, "Period Out Of Bounds"),
        ({"period": date(2026, 11, 23), "isps": ((1, 4),)}, "Period Out Of Bounds"),
        ({"isps": ((94, 4),)}, "ISPs Out Of Bounds"),
        ({"isps": ((0, 1),)}, "ISPs Out Of Bounds"),
        ({"isps": ()}, "ISPs Out Of Bounds"),
        ({"isps": ((75, 1), (73, 4))}, "ISP Conflict"),
        ({"expires_at": NOW}, "Expiration DateTime Out Of Bounds"),
        ({"expires_at": NOW + timedelta(days=3)}, "Expiration DateTime Out Of Bounds"),
    ],
)
def test_what_cannot_be_is_rejected_in_the_words_of_the_protocol(change: dict, reason: str) -> None:
    assert frame_rejection(replace(FRAME, **change), TERMS, NOW) == reason


@pytest.mark.parametrize(
    ("day", "last"), [(date(2027, 3, 28), 92), (date(2026, 10, 25), 100), (date(2026, 11, 24), 96)]
)
def test_days_have_as_many_periods_as_the_clock_gives_them(day: date, last: int) -> None:
    begins, ends = day_bounds(day, ZONE)
    assert (ends - begins) == timedelta(minutes=15 * last)
    now = begins - timedelta(days=1)
    frame = replace(FRAME, period=day, isps=((last, 1),), expires_at=None)
    assert frame_rejection(frame, TERMS, now) == ""
    assert frame_rejection(replace(frame, isps=((last + 1, 1),)), TERMS, now) == "ISPs Out Of Bounds"
