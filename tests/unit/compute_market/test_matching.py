"""Who gets which computer."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_market.core.matching import IdleComputer, Match, Order, fits, match

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def order(job_id: int = 1, **changes: object) -> Order:
    given = Order(
        job_id=job_id,
        currency="EUR",
        memory_mib=64,
        remaining_cpu_s=600.0,
        price_cap_per_cpu_hour=Decimal("0.05"),
        interactive=False,
        deadline_at=None,
        submitted_at=NOW + timedelta(seconds=job_id),
    )
    return replace(given, **changes)


def computer(offer_id: int = 1, **changes: object) -> IdleComputer:
    given = IdleComputer(
        offer_id=offer_id,
        computer_id=100 + offer_id,
        currency="EUR",
        memory_mib=1024,
        ask_per_cpu_hour=Decimal("0.03"),
        available_s=math.inf,
    )
    return replace(given, **changes)


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        (order(), computer(ask_per_cpu_hour=Decimal("0.050001"))),
        (order(), computer(currency="JPY")),
        (order(memory_mib=2048), computer()),
    ],
)
def test_what_does_not_fit_is_not_matched(wanted: Order, offered: IdleComputer) -> None:
    assert match([wanted], [offered]) == []


def test_a_cap_that_is_just_met_is_met() -> None:
    assert match([order()], [computer(ask_per_cpu_hour=Decimal("0.05"))]) == [Match(1, 1, 101, Decimal("0.05"))]


def test_urgency_decides_who_chooses() -> None:
    late = order(1)
    due = order(2, deadline_at=NOW + timedelta(hours=2))
    sooner = order(3, deadline_at=NOW + timedelta(hours=1))
    waited_for = order(4, interactive=True)
    orders = [late, due, sooner, waited_for]
    computers = [computer(number, ask_per_cpu_hour=Decimal(number) / 100) for number in range(1, 5)]
    assert [(found.job_id, found.offer_id) for found in match(orders, computers)] == [(4, 1), (3, 2), (2, 3), (1, 4)]


def test_a_car_that_stays_long_enough_beats_a_cheaper_one_that_leaves() -> None:
    leaving = computer(1, ask_per_cpu_hour=Decimal("0.01"), available_s=300.0)
    staying = computer(2, available_s=3600.0)
    assert match([order()], [leaving, staying])[0].offer_id == 2
    assert match([order()], [leaving])[0].offer_id == 1


def test_a_computer_that_lost_the_job_is_the_last_choice() -> None:
    unlucky, other = computer(1, ask_per_cpu_hour=Decimal("0.01")), computer(2)
    wanted = order(lost_on={101})
    assert match([wanted], [unlucky, other])[0].offer_id == 2
    assert match([wanted], [unlucky])[0].offer_id == 1


@given(
    caps=st.lists(st.integers(1, 9), max_size=20),
    asks=st.lists(st.integers(1, 9), max_size=20),
)
def test_every_match_fits_and_none_is_used_twice(caps: list[int], asks: list[int]) -> None:
    orders = {number: order(number, price_cap_per_cpu_hour=Decimal(cap)) for number, cap in enumerate(caps)}
    computers = {number: computer(number, ask_per_cpu_hour=Decimal(ask)) for number, ask in enumerate(asks)}
    found = match(list(orders.values()), list(computers.values()))
    assert len({pair.job_id for pair in found}) == len({pair.offer_id for pair in found}) == len(found)
    assert all(fits(orders[pair.job_id], computers[pair.offer_id]) for pair in found)
    left_orders = orders.keys() - {pair.job_id for pair in found}
    left_computers = computers.keys() - {pair.offer_id for pair in found}
    assert not any(fits(orders[job], computers[offer]) for job in left_orders for offer in left_computers)
