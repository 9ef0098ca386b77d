"""Template filters of the portal; built in for every template (settings.TEMPLATES)."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from aggregator.core.sentences import Sentence
from aggregator.portal import formats
from aggregator.portal.wording import write_sentence

register = template.Library()
NOTHING = "–"


@register.filter
def kw(value: float | None) -> str:
    """Power with its unit."""
    return NOTHING if value is None else f"{formats.number(value, 1)} kW"


@register.filter
def kwh(value: float | None) -> str:
    """Energy with its unit."""
    return NOTHING if value is None else f"{formats.number(value, 1)} kWh"


@register.filter
def decimals(value: float | None, digits: int) -> str:
    """A bare number."""
    return NOTHING if value is None else formats.number(value, digits)


@register.filter
def percent(fraction: float | None) -> str:
    """A fraction as a whole per cent."""
    return NOTHING if fraction is None else f"{formats.number(100 * fraction, 0)} %"


@register.filter
def per_mille(fraction: float | None) -> str:
    """A small fraction in thousandths, one decimal, without its unit."""
    return NOTHING if fraction is None else formats.number(1000 * fraction, 1)


@register.filter
def whole_percent(fraction: float | None) -> int | str:
    """A fraction as a whole number, for inputs and aria values."""
    return "" if fraction is None else round(100 * fraction)


@register.filter
def money(amount: float | None, currency: str) -> str:
    """An amount in its currency."""
    return NOTHING if amount is None else formats.money(amount, currency)


@register.filter
def rate(amount: float | None, currency: str) -> str:
    """A price per unit in its currency."""
    return NOTHING if amount is None else formats.rate(amount, currency)


@register.filter
def clock(at: datetime | None) -> str:
    """Local time of day."""
    return NOTHING if at is None else formats.clock(at)


@register.filter
def clock_seconds(at: datetime | None) -> str:
    """Local time of day to the second."""
    return NOTHING if at is None else formats.clock(at, seconds=True)


@register.filter
def full_time(at: datetime | None) -> str:
    """Date, time and zone."""
    return NOTHING if at is None else formats.full_time(at)


@register.filter
def ago(at: datetime | None) -> str:
    """How long ago, without the word."""
    return NOTHING if at is None else formats.age(timezone.now() - at)


@register.filter
def sentence(value: Sentence, currency: str = "EUR") -> str:
    """A sentence in words."""
    return write_sentence(value, currency=currency)


@register.filter
def permille(fraction: float | None) -> int:
    """A fraction of a picture that is 1,000 wide."""
    return round(1000 * min(1.0, max(0.0, fraction or 0.0)))


@register.filter
def unsigned(value: float | None) -> float | None:
    """Size without sign: the direction is in the words."""
    return None if value is None else abs(value)


@register.filter
def clock_short(at: datetime) -> str:
    """Time of day alone, for axes."""
    return f"{timezone.localtime(at):%H:%M}"


@register.filter
def duration(seconds: float) -> str:
    """A length of time in one unit."""
    return formats.age(seconds)


@register.filter
def stamp(at: datetime) -> str:
    """Date and time to the millisecond."""
    return formats.stamp(at)
