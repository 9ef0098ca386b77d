"""Which events of a transaction have come."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fleet.core.sequences import Span, missing_numbers, with_number


@given(st.lists(st.integers(0, 60), min_size=1))
def test_in_whatever_order_and_however_often_numbers_come(numbers: list[int]) -> None:
    spans: list[Span] = []
    for number in numbers:
        spans = with_number(spans, number)
    heard = {number for first, end in spans for number in range(first, end)}
    missing = {number for first, end in missing_numbers(spans) for number in range(first, end)}
    assert heard == set(numbers)
    assert missing == set(range(min(numbers), max(numbers))) - heard
    assert all(end < following for (_, end), (following, _) in itertools.pairwise(spans))
