"""Which numbers of a sequence have come, as half-open ranges: what is missing lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Span = tuple[int, int]


def with_number(spans: Sequence[Span], number: int) -> list[Span]:
    """The ranges with one number more: rising, apart from each other, joined where they touch."""
    joined: list[Span] = []
    for first, end in sorted([*spans, (number, number + 1)]):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((first, end))
    return joined


def missing_numbers(spans: Sequence[Span]) -> list[Span]:
    """The ranges of numbers between the first and the last that have not come."""
    return [(end, following) for (_, end), (following, _) in pairwise(spans)]
