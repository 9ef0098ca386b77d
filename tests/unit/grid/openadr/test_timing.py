"""When OpenADR events and their intervals run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from grid.core.openadr.timing import add_duration, event_end, instant, is_instant, timed_intervals

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
START = datetime(2026, 3, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("PT1H", START + timedelta(hours=1)),
        ("PT0.5S", START + timedelta(seconds=0.5)),
        ("P1DT2H3M4S", START + timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("P2W", START + timedelta(weeks=2)),
        ("P1M", datetime(2026, 4, 30, 10, tzinfo=UTC)),
        ("P1Y", datetime(2027, 3, 31, 10, tzinfo=UTC)),
        ("-PT1H", START - timedelta(hours=1)),
        ("P9999Y", None),
        ("P999999999D", None),
    ],
)
def test_durations_are_the_calendars(text: str, end: datetime | None) -> None:
    assert add_duration(START, text) == end


@pytest.mark.parametrize("text", ["1H", "P", "PT", "PT1H2", "P1D2W", ""])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        add_duration(START, text)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("2026-11-25T12:00:00Z", True),
        ("2026-11-25t12:00:00.123456789+09:00", True),
        ("2016-12-31T23:59:60Z", True),
        ("0001-01-01", True),
        ("0001-01-01T00:00:00", True),
        ("9999-12-31T23:59:59-12:00", True),
        ("2026-11-25", False),
        ("2026-11-25T12:00:00", False),
        ("2026-13-01T00:00:00Z", False),
        ("2026-02-30T00:00:00Z", False),
    ],
)
def test_instants(text: str, known: bool) -> None:
    assert is_instant(text) is known


def test_the_year_one_is_now_and_zones_are_converted() -> None:
    assert instant("0001-01-01", NOW) == NOW
    assert instant("2026-11-25T21:00:00+09:00", NOW) == NOW


def event(*durations: str | None, **more: Any) -> dict[str, Any]:
    intervals = [
        {"id": n, "payloads": [], **({"intervalPeriod": {"duration": d}} if d else {})} for n, d in enumerate(durations)
    ]
    return {"intervalPeriod": {"start": START.isoformat(), "duration": "PT1H"}, "intervals": intervals, **more}


def spans(body: dict[str, Any]) -> list[tuple[int, float, float | None]]:
    """(interval, start, end) in hours from the start."""
    hour = timedelta(hours=1)
    return [
        (t.interval_id, (t.span.starts_at - START) / hour, t.span.ends_at and (t.span.ends_at - START) / hour)
        for t in islice(timed_intervals(body, NOW), 20)
    ]


def test_intervals_follow_each_other_and_take_the_events_duration() -> None:
    assert spans(event(None, "PT30M", None)) == [(0, 0, 1), (1, 1, 1.5), (2, 1.5, 2.5)]


def test_an_interval_may_have_a_start_of_its_own() -> None:
    body = event(None, None)
    body["intervals"][1]["intervalPeriod"] = {"start": (START + timedelta(hours=5)).isoformat()}
    assert spans(body) == [(0, 0, 1), (1, 5, 6)]
    assert spans({"intervals": [{"id": 0, "payloads": []}]}) == []


def test_a_longer_event_goes_through_its_intervals_again_and_is_cut_at_its_end() -> None:
    assert spans(event(None, None, duration="PT3H30M")) == [(0, 0, 1), (1, 1, 2), (0, 2, 3), (1, 3, 3.5)]
    assert len(spans(event(None, duration="P9999Y"))) == 20
    assert spans(event("PT0S", duration="P1D")) == [(0, 0, 0)]


@pytest.mark.parametrize(
    ("body", "end"),
    [
        (event(None, None), START + timedelta(hours=2)),
        (event(None, duration="P1D"), START + timedelta(days=1)),
        (event(None, duration="PT0S"), START + timedelta(hours=1)),
        (event(None, duration="P9999Y"), None),
        (event("P9999Y"), None),
        (event(), START + timedelta(hours=1)),
        ({"intervalPeriod": {"start": "0001-01-01", "duration": "PT0S"}}, None),
        ({}, None),
    ],
)
def test_when_an_event_is_over(body: dict[str, Any], end: datetime | None) -> None:
    assert event_end(body, NOW) == end
