"""How values are written for people, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone, translation

from aggregator.portal import formats
from aggregator.portal.pictures import bar_picture, hour_marks

NOW = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "amount", "currency", "expected"),
    [
        ("en", 1234, "JPY", "¥1,234"),
        ("ja", 1234, "JPY", "1,234円"),
        ("en", Decimal("0.4"), "JPY", "¥0.40"),
        ("en", Decimal("-96.5"), "JPY", "-¥96"),
        ("en", Decimal("12.345"), "EUR", "€12.34"),
        ("ja", Decimal("12.345"), "EUR", "€12.34"),
        ("en", Decimal("0.0012"), "EUR", "€0.0012"),
        ("en", Decimal("0.000012"), "EUR", "€0.000012"),
        ("en", Decimal("0.0000001"), "EUR", "€0.00"),
        ("en", 0, "EUR", "€0.00"),
    ],
)
def test_money(language: str, amount: Decimal, currency: str, expected: str) -> None:
    with translation.override(language):
        assert formats.money(amount, currency) == expected


def test_a_negative_nothing_is_nothing() -> None:
    assert formats.number(-0.04, 1) == "0.0"
    assert formats.power(4820) == "4.82 MW"
    assert formats.power(134.04) == "134.0 kW"


@pytest.mark.parametrize(
    ("language", "hours", "expected"),
    [
        ("en", 1, "23:00"),
        ("en", 10, "Tue 08:00"),
        ("ja", 10, "火 08:00"),
        ("en", -24, "22 Nov 22:00"),
        ("ja", 240, "12/3 22:00"),
    ],
)
def test_times_are_local_and_name_the_day_when_it_is_another(language: str, hours: int, expected: str) -> None:
    with timezone.override(ZoneInfo("Asia/Tokyo")), translation.override(language):
        assert formats.clock(NOW + timedelta(hours=hours), now=NOW) == expected


def test_hour_marks_fit_the_span() -> None:
    for span_h in (0.02, 0.5, 3, 12, 24, 72):
        marks = hour_marks(NOW + timedelta(minutes=7), NOW + timedelta(minutes=7, hours=span_h))
        assert len(marks) <= 8
        assert all(mark > NOW for mark in marks)
        assert span_h < 0.5 or len(marks) >= 3


def test_bars_stack_from_the_ground_up() -> None:
    picture = bar_picture([("1", [("send", 30.0), ("computer", 10.0)]), ("2", [("send", -5.0)])])
    lower, upper = picture.bars[0].boxes
    assert float(lower.y) + float(lower.height) == pytest.approx(float(picture.ground), abs=0.2)
    assert float(upper.y) + float(upper.height) == pytest.approx(float(lower.y), abs=0.2)
    assert float(lower.height) == pytest.approx(3 * float(upper.height), rel=0.01)
    assert picture.bars[1].boxes == ()
