"""Weekends and public holidays."""

from __future__ import annotations

from datetime import date

import pytest

from grid.core.calendar import is_public_holiday, is_rest_day


@pytest.mark.parametrize(
    ("day", "country", "rest"),
    [
        (date(2026, 11, 23), "JP", True),  # Labour Thanksgiving Day, a Monday
        (date(2026, 11, 23), "NL", False),
        (date(2026, 11, 21), "NL", True),  # a Saturday
        (date(2026, 4, 27), "NL", True),  # King's Day, a Monday
        (date(2026, 5, 6), "JP", True),  # the substitute for Constitution Day on a Sunday
        (date(2026, 11, 24), "JP", False),
    ],
)
def test_days_of_rest(day: date, country: str, rest: bool) -> None:
    assert is_rest_day(day, country) is rest


def test_a_country_that_is_not_known_has_weekends_only() -> None:
    assert not is_public_holiday(date(2026, 12, 25), "ZZ") and is_rest_day(date(2026, 11, 22), "ZZ")
