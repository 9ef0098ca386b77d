"""Splitting money: nothing is lost, nothing is made, and nobody is off by a whole quantum."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.money import LEDGER_QUANTUM, split_amount, to_ledger_amount, to_payable_amount

amounts = st.decimals(min_value=-1_000_000, max_value=1_000_000, places=4)
weights = st.lists(st.decimals(min_value=0, max_value=10_000, places=6), min_size=1, max_size=60).filter(any)


@given(amount=amounts, weights=weights)
def test_parts_add_up_and_each_is_within_a_quantum_of_its_due(amount: Decimal, weights: list[Decimal]) -> None:
    parts = split_amount(amount, weights)
    assert sum(parts) == amount
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - amount * weight / total) < LEDGER_QUANTUM
        assert weight != 0 or part == 0


def test_many_small_weights_do_not_lose_theirs_to_the_largest() -> None:
    parts = split_amount(Decimal("0.5"), [Decimal(1)] * 10_000)
    assert max(parts) == Decimal("0.0001") and sum(parts) == Decimal("0.5")


@pytest.mark.parametrize("weights", [[], [Decimal(0)], [Decimal(1), Decimal(-1)]])
def test_there_must_be_a_weight(weights: list[Decimal]) -> None:
    with pytest.raises(ValueError, match="weights"):
        split_amount(Decimal(1), weights)


def test_half_a_quantum_goes_to_the_even_digit() -> None:
    assert to_ledger_amount("0.00005") == 0 and to_ledger_amount("0.00015") == Decimal("0.0002")
    assert to_payable_amount(Decimal("10.5"), "JPY") == 10 and to_payable_amount(Decimal("0.125"), "EUR") == Decimal(
        "0.12"
    )
