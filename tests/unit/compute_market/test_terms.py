"""The owner's terms against what is known of the car."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from compute_market.core.terms import CarCondition, available_s, earlier, refusal, stricter_soc

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
READY = CarCondition(
    enrolled=True,
    consented=True,
    plugged_in=True,
    emergency=False,
    soc_fraction=0.5,
    departure_at=NOW + timedelta(hours=1),
)


def refused(**changes: object) -> str:
    return refusal(replace(READY, **changes), minimum_soc_fraction=0.3, departure_margin_s=600, now=NOW)


def test_a_parked_car_with_consent_may_compute() -> None:
    assert refused() == ""
    assert refused(departure_at=None) == ""
    assert refused(soc_fraction=0.3) == ""


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"consented": False}, "no_consent"),
        ({"enrolled": False}, "no_consent"),
        ({"plugged_in": False}, "unplugged"),
        ({"emergency": True}, "emergency"),
        ({"soc_fraction": None}, "soc_unknown"),
        ({"soc_fraction": 0.299}, "low_battery"),
        ({"departure_at": NOW + timedelta(seconds=600)}, "departure"),
        ({"departure_at": NOW - timedelta(seconds=1)}, "departure"),
        # consent comes first: nothing else is said of a car whose owner wants no part in this
        ({"consented": False, "plugged_in": False, "soc_fraction": 0.1}, "no_consent"),
    ],
)
def test_what_stands_in_the_way_is_said(changes: dict[str, object], because: str) -> None:
    assert refused(**changes) == because


def test_time_until_the_margin_before_departure() -> None:
    assert available_s(NOW + timedelta(seconds=900), departure_margin_s=600, now=NOW) == 300.0
    assert available_s(None, departure_margin_s=600, now=NOW) == math.inf


def test_of_two_words_the_stricter_counts() -> None:
    assert stricter_soc(0.4, 0.6) == stricter_soc(0.6, 0.4) == stricter_soc(None, 0.4) == 0.4
    assert stricter_soc(None, None) is None
    soon, late = NOW, NOW + timedelta(hours=1)
    assert earlier(soon, late) == earlier(late, soon) == earlier(None, soon) == soon
    assert earlier(None, None) is None
