"""How values are written for people: kW and kWh with one decimal, per cent whole, money by its currency, times local.

The language and the time zone are those in force (Django's own), so that a page needs to say them once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

Number = float | int | Decimal
WITHOUT_MINOR_UNIT = frozenset({"JPY", "KRW"})
LEDGER_DIGITS = 6  # what the books keep


def _locale() -> str:
    return "ja" if (get_language() or "en").startswith("ja") else "en"


def number(value: Number, digits: int) -> str:
    """A number with a fixed count of decimals and thousands apart; never a negative zero."""
    rounded = round(Decimal(str(value)), digits) + 0
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(rounded, format=pattern, locale=_locale())


def power(value_kw: float) -> str:
    """A power of the whole portfolio in the unit that reads best."""
    return f"{number(value_kw / 1000, 2)} MW" if abs(value_kw) >= 1000 else f"{number(value_kw, 1)} kW"


def _in_currency(amount: Number, currency: str, digits: int) -> str:
    rounded = round(Decimal(str(amount)), digits) + 0
    if currency == "JPY":
        text = number(abs(rounded), digits)
        sign = "-" if rounded < 0 else ""
        return f"{sign}{text}円" if _locale() == "ja" else f"{sign}¥{text}"
    pattern = "¤#,##0" + ("." + "0" * digits if digits else "")
    return format_currency(rounded, currency, format=pattern, locale=_locale(), currency_digits=False)


def money(amount: Number, currency: str) -> str:
    """An amount at the currency's own precision; small amounts keep what would otherwise vanish."""
    whole = 0 if currency in WITHOUT_MINOR_UNIT else 2
    exact = Decimal(str(amount))
    digits = next((digits for digits in (whole, whole + 2, LEDGER_DIGITS) if round(exact, digits) != 0), whole)
    return _in_currency(exact, currency, digits)


def rate(amount: Number, currency: str) -> str:
    """A price per kWh or per hour: two digits finer than amounts."""
    return _in_currency(amount, currency, 1 if currency in WITHOUT_MINOR_UNIT else 3)


def clock(at: datetime, *, now: datetime | None = None, seconds: bool = False) -> str:
    """Local time of day, with the weekday if it is not today and the date if it is not within a week."""
    local = timezone.localtime(at)
    today = timezone.localtime(now).date() if now is not None else timezone.localdate()
    time_pattern = "HH:mm:ss" if seconds else "HH:mm"
    days = (local.date() - today).days
    if days == 0:
        pattern = time_pattern
    elif 0 < days < 7:
        pattern = f"EEE {time_pattern}"
    else:
        pattern = f"M/d {time_pattern}" if _locale() == "ja" else f"d MMM {time_pattern}"
    return format_datetime(local, pattern, tzinfo=local.tzinfo, locale=_locale())


def full_time(at: datetime) -> str:
    """Date, time and zone."""
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


def stamp(at: datetime) -> str:
    """Date and time to the millisecond, for traces."""
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d}"


def age(duration: timedelta | float) -> str:
    """How long, in one unit: 4 s, 12 min, 3 h, 2 d."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 60:
        return _("%(count)d s") % {"count": max(0, round(seconds))}
    if seconds < 3600:
        return _("%(count)d min") % {"count": round(seconds / 60)}
    if seconds < 48 * 3600:
        return _("%(count)d h") % {"count": round(seconds / 3600)}
    return _("%(count)d d") % {"count": round(seconds / 86400)}
