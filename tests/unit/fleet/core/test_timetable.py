"""A power schedule over time: half-open at both ends, in order, and silent outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleet.core.timetable import PowerTimetable

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TABLE = PowerTimetable(START, START + timedelta(seconds=30), (0.0, 10.0, 20.0), (5.0, -5.0, 0.0))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "power_kw", "change_s"),
    [
        (-1, None, 0),
        (0, 5.0, 10),
        (9.9, 5.0, 10),
        (10, -5.0, 20),
        (29.9, 0.0, None),
        (30, None, None),
        (99, None, None),
    ],
)
def test_what_holds_and_when_it_changes(seconds: float, power_kw: float | None, change_s: float | None) -> None:
    assert TABLE.power_at(at(seconds)) == power_kw
    assert TABLE.next_change_after(at(seconds)) == (None if change_s is None else at(change_s))


def test_the_first_entry_holds_from_the_start_whatever_its_offset() -> None:
    table = PowerTimetable(START, at(30), (5.0,), (7.0,))
    assert table.power_at(at(1)) == 7.0


def test_an_entry_beyond_the_end_never_comes() -> None:
    table = PowerTimetable(START, at(10), (0.0, 20.0), (1.0, 2.0))
    assert table.next_change_after(at(1)) is None
