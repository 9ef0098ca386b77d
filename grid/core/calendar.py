"""Working days and days of rest, by the public holidays of a country."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache

SATURDAY = 5


def is_rest_day(day: date, country: str) -> bool:
    """Whether a local date is a weekend day or a public holiday. A country that the library does not know has none.

    Args:
        country: ISO 3166-1 alpha-2.
    """
    return day.weekday() >= SATURDAY or is_public_holiday(day, country)


def is_public_holiday(day: date, country: str) -> bool:
    """Whether a local date is a public holiday of the whole country."""
    return _holidays_of(country, day.year)(day)


@lru_cache(maxsize=256)
def _holidays_of(country: str, year: int) -> Callable[[date], bool]:
    import holidays  # a calendar of every country: few processes ever look at one

    try:
        found = holidays.country_holidays(country, years=year)
    except NotImplementedError:
        return lambda day: False
    return frozenset(found).__contains__
