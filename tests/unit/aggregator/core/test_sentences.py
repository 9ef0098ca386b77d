"""The sentence engine: which sentence a state earns, and in which order causes count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from aggregator.core.sentences import (
    Block,
    CarState,
    ComputerState,
    EmergencyCall,
    PortfolioState,
    SiteSqueeze,
    UnansweredCommand,
    describe_car,
    describe_computer,
    describe_portfolio,
)

NOW = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
READY = NOW + timedelta(hours=9)


def hours(count: float) -> datetime:
    return NOW + timedelta(hours=count)


def block(start: float, end: float, power_kw: float, price: float | None = 20.0, kg: float | None = None) -> Block:
    return Block(hours(start), hours(end), power_kw, price, kg)


PARKED = CarState(
    now=NOW,
    plugged_in=True,
    soc_fraction=0.62,
    heard_at=NOW - timedelta(seconds=4),
    power_kw=0.0,
    goal_soc_fraction=0.8,
    floor_soc_fraction=0.3,
    ready_at=READY,
    battery_capacity_kwh=60,
    reachable_soc_fraction=1.0,
)
CHEAP_LATER = (block(-1, 3, 0, price=30), block(3, 5, 6, price=12), block(5, 9, 0, price=25))

CASES = [
    ("idle", PARKED),
    ("wait.price", replace(PARKED, blocks=CHEAP_LATER)),
    ("wait.plan", replace(PARKED, blocks=(block(-1, 3, 0), block(3, 5, 6)))),
    ("wait.anytime", replace(PARKED, ready_at=None, blocks=(block(-1, 3, 0), block(3, 5, 6)))),
    ("wait.clean", replace(PARKED, blocks=(block(-1, 3, 0, kg=0.5), block(3, 5, 6, kg=0.2)))),
    ("charge.cheap", replace(PARKED, power_kw=6.0, blocks=(block(-1, 1, 6, price=10), block(1, 9, 0, price=30)))),
    ("charge.plan", replace(PARKED, power_kw=6.0, blocks=(block(-1, 1, 6, price=30), block(1, 9, 0, price=10)))),
    ("charge.plan", replace(PARKED, power_kw=6.0)),
    ("charge.anytime", replace(PARKED, power_kw=6.0, ready_at=None)),
    ("site.limit", replace(PARKED, power_kw=3.0, squeeze=SiteSqueeze(site_kw=11.5, limit_kw=15))),
    ("send.peak", replace(PARKED, power_kw=-3.0, blocks=(block(-1, 1, -3),))),
    ("send.now", replace(PARKED, power_kw=-3.0)),
    ("standby", replace(PARKED, standby_money_per_hour=Decimal("9"))),
    ("done", replace(PARKED, soc_fraction=0.8)),
    ("done", replace(PARKED, soc_fraction=0.7960)),
    ("done.anytime", replace(PARKED, soc_fraction=0.9, ready_at=None)),
    ("late", replace(PARKED, reachable_soc_fraction=0.74)),
    ("floor", replace(PARKED, soc_fraction=0.2)),
    ("override", replace(PARKED, charge_now_until=hours(1))),
    ("stale", replace(PARKED, heard_at=NOW - timedelta(minutes=6))),
    ("no.answer", replace(PARKED, unanswered=UnansweredCommand(NOW - timedelta(seconds=31), hours(0.01)))),
    ("unplugged", replace(PARKED, plugged_in=False, latest_plug_in_at=hours(6))),
    ("unplugged.now", replace(PARKED, plugged_in=False, latest_plug_in_at=hours(-1))),
    ("unplugged.ready", replace(PARKED, plugged_in=False)),
    ("unplugged.anytime", replace(PARKED, plugged_in=False, ready_at=None)),
    ("offline", replace(PARKED, charger_lost_at=hours(-0.1), plan_valid_until=hours(1))),
    ("offline.alone", replace(PARKED, charger_lost_at=hours(-2), plan_valid_until=hours(-1))),
    ("emergency", replace(PARKED, emergency=EmergencyCall(hours(1), 19.2))),
]


@pytest.mark.parametrize(("code", "state"), CASES, ids=[f"{index}-{code}" for index, (code, _) in enumerate(CASES)])
def test_a_state_earns_its_sentence(code: str, state: CarState) -> None:
    assert describe_car(state).code == code


def test_what_is_wrong_comes_before_what_is_going_on() -> None:
    """Every cause at once: as each is taken away the next one shows."""
    state = replace(
        PARKED,
        soc_fraction=0.2,
        power_kw=6.0,
        reachable_soc_fraction=0.5,
        heard_at=NOW - timedelta(minutes=6),
        charge_now_until=hours(1),
        charger_lost_at=hours(-1),
        plan_valid_until=hours(1),
        unanswered=UnansweredCommand(NOW - timedelta(minutes=1), hours(0.01)),
        emergency=EmergencyCall(hours(1), 5.0),
    )
    seen = [describe_car(state).code]
    for change in (
        {"emergency": None},
        {"charger_lost_at": None},
        {"unanswered": None},
        {"heard_at": NOW},
        {"charge_now_until": None},
        {"soc_fraction": 0.5},
        {"reachable_soc_fraction": 1.0},
    ):
        state = replace(state, **change)
        seen.append(describe_car(state).code)
    assert seen == ["emergency", "offline", "no.answer", "stale", "override", "floor", "late", "charge.plan"]


def test_values_are_those_of_the_moment_and_never_negative() -> None:
    waiting = describe_car(replace(PARKED, blocks=CHEAP_LATER))
    assert waiting.values == {"t_at": hours(3), "cheaper_money": Decimal("18.0")}
    sending = describe_car(replace(PARKED, power_kw=-3.25, blocks=(block(-1, 1, -3), block(1, 2, -2), block(2, 3, 0))))
    assert sending.values == {"send_kw": 3.25, "floor_percent": 30.0, "t_at": hours(2)}
    late = describe_car(replace(PARKED, reachable_soc_fraction=0.74))
    assert late.values["short_kwh"] == pytest.approx(3.6)
    assert late.values["reachable_percent"] == pytest.approx(74)


def test_an_old_command_that_was_answered_is_no_news() -> None:
    assert describe_car(replace(PARKED, unanswered=UnansweredCommand(NOW - timedelta(seconds=5), NOW))).code == "idle"


OFFERED = ComputerState(consented=True, rented=False, offered=True)


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("compute.no_consent", replace(OFFERED, consented=False, rented=True)),
        ("compute.idle", OFFERED),
        ("compute.away", replace(OFFERED, offered=False)),
        ("compute.low_battery", replace(OFFERED, refused_because="low_battery")),
        ("compute.unplugged", replace(OFFERED, refused_because="unplugged")),
        ("compute.departure", replace(OFFERED, refused_because="departure")),
        ("compute.soc_unknown", replace(OFFERED, refused_because="soc_unknown")),
        ("compute.emergency", replace(OFFERED, refused_because="emergency")),
        ("compute.rented", replace(OFFERED, rented=True)),
        ("compute.off", replace(OFFERED, income_money=Decimal(3), power_cost_money=Decimal(4))),
    ],
)
def test_a_computer_says_why_it_rests(code: str, state: ComputerState) -> None:
    assert describe_computer(state).code == code


def test_what_is_kept_is_pay_less_power_and_wear() -> None:
    state = replace(
        OFFERED, rented=True, income_money=Decimal("9.0"), power_cost_money=Decimal("3.7"), wear_money=Decimal("0.4")
    )
    sentence = describe_computer(state)
    assert (sentence.code, sentence.values) == ("compute.on", {"kept_money": Decimal("4.9")})


@pytest.mark.parametrize(
    ("code", "delivered_kw", "offline", "at_floor"),
    [
        ("ops.ok", 5000.0, 3, 0),
        ("ops.ok", 4951.0, 0, 0),
        ("ops.short", 4820.0, 41, 22),
        ("ops.short.unexplained", 4820.0, 0, 0),
    ],
)
def test_the_portfolio_names_the_gap_and_its_cause(code: str, delivered_kw: float, offline: int, at_floor: int) -> None:
    sentence = describe_portfolio(PortfolioState(5000.0, delivered_kw, hours(1), offline, at_floor))
    assert sentence.code == code
    if code == "ops.short":
        assert sentence.values["gap_power"] == pytest.approx(180.0)
        assert (sentence.values["offline"], sentence.values["at_floor"]) == (41, 22)
