"""What counts as doing what one was told, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleet.core.compliance import Judged, Verdict, departs, judge

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("power_kw", "told_kw", "signed", "expected"),
    [
        # a limit is kept by whatever lies below it
        (0.0, 7.0, False, False),
        (7.4, 7.0, False, False),
        (8.0, 7.0, False, True),
        (0.4, 0.0, False, False),
        (11.0, 0.0, False, True),
        # told to discharge over a protocol of limits is told to pause
        (0.0, -5.0, False, False),
        (2.0, -5.0, False, True),
        # a set-point to charge is kept by less, not by discharging
        (2.0, 7.0, True, False),
        (8.0, 7.0, True, True),
        (-2.0, 7.0, True, True),
        # one to discharge is kept by nothing else
        (-5.0, -5.0, True, False),
        (-5.4, -5.0, True, False),
        (-3.0, -5.0, True, True),
        (-7.0, -5.0, True, True),
        (0.0, -5.0, True, True),
    ],
)
def test_what_departs(power_kw: float, told_kw: float, signed: bool, expected: bool) -> None:
    assert departs(power_kw, told_kw, signed=signed) is expected


def row(*powers: float, every_s: float = 10.0, settled_from: int = 0) -> list[Judged]:
    """Readings of a car told to keep below 6 kW."""
    return [
        Judged(NOON + timedelta(seconds=every_s * n), power, 6.0, False, n >= settled_from)
        for n, power in enumerate(powers)
    ]


def test_one_reading_decides_nothing() -> None:
    assert judge([]) == judge(row(11.0)) == judge(row(11.0, 11.0)) == Verdict.UNCLEAR


def test_only_lasting_departure_counts() -> None:
    assert judge(row(*[11.0] * 5)) == Verdict.UNCLEAR
    assert judge(row(*[11.0] * 6)) == Verdict.DEPARTS
    assert judge(row(11.0, 11.0, 5.0, 11.0, 11.0, 11.0)) == Verdict.UNCLEAR


def test_it_returns_after_longer_than_it_took_to_depart() -> None:
    assert judge(row(*[11.0] * 6, *[5.0] * 6)) == Verdict.UNCLEAR
    assert judge(row(*[11.0] * 6, *[5.0] * 7)) == Verdict.FOLLOWS


def test_what_has_not_settled_is_not_held_against_it() -> None:
    assert judge(row(*[11.0] * 10, settled_from=6)) == Verdict.UNCLEAR


def test_dense_readings_need_the_same_time() -> None:
    assert judge(row(*[11.0] * 20, every_s=1.0)) == Verdict.UNCLEAR
    assert judge(row(*[11.0] * 47, every_s=1.0)) == Verdict.DEPARTS
