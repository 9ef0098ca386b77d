"""The lines of an event: balanced in every unit, and a correction is what is left."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from aggregator.core.booking import LineKey, ShareToBook, event_lines, lines_left_to_book

amount = st.decimals(min_value=-1000, max_value=1000, places=4)
positive = st.decimals(min_value=0, max_value=1000, places=4)
shares = st.lists(
    st.builds(
        ShareToBook,
        asset_id=st.integers(1, 40),
        owner_identity=st.sampled_from(["", "OWN-1", "OWN-2", "OWN-3"]),
        payment=positive,
        delivered_kwh=amount,
        avoided_co2_kg=amount,
    ),
    max_size=15,
    unique_by=lambda share: share.asset_id,
)


def totals(lines: dict[LineKey, Decimal]) -> dict[str, Decimal]:
    by_unit: defaultdict[str, Decimal] = defaultdict(Decimal)
    for (_, _, unit, _), value in lines.items():
        by_unit[unit] += value
    return by_unit


def lines_of(payment: Decimal, parts: list[ShareToBook]) -> dict[LineKey, Decimal]:
    return event_lines(operator="grid-co", currency="EUR", payment=payment, shares=parts)


def test_two_owners_and_an_asset_of_nobody() -> None:
    lines = lines_of(
        Decimal(10),
        [
            ShareToBook(1, "OWN-1", Decimal(4), Decimal(2), Decimal(1)),
            ShareToBook(2, "OWN-2", Decimal(3), Decimal(1), Decimal("0.5")),
            ShareToBook(3, "", Decimal(0), Decimal(1), Decimal(0)),
        ],
    )
    assert lines == {
        ("grid_operator", "grid-co", "EUR", None): Decimal(-10),
        ("owner", "OWN-1", "EUR", 1): Decimal(4),
        ("owner", "OWN-2", "EUR", 2): Decimal(3),
        ("platform", "", "EUR", None): Decimal(3),
        ("energy_source", "OWN-1", "kWh", 1): Decimal(-2),
        ("energy_source", "OWN-2", "kWh", 2): Decimal(-1),
        ("energy_source", "", "kWh", 3): Decimal(-1),
        ("energy_grid", "grid-co", "kWh", None): Decimal(4),
        ("carbon_account", "OWN-1", "kgCO2", 1): Decimal(1),
        ("carbon_account", "OWN-2", "kgCO2", 2): Decimal("0.5"),
        ("carbon_source", "", "kgCO2", None): Decimal("-1.5"),
    }


def test_a_penalty_is_the_platforms() -> None:
    lines = lines_of(Decimal(-5), [ShareToBook(1, "OWN-1", Decimal(0), Decimal(0), Decimal(0))])
    assert lines == {
        ("grid_operator", "grid-co", "EUR", None): Decimal(5),
        ("platform", "", "EUR", None): Decimal(-5),
    }


@given(payment=amount, parts=shares)
def test_every_unit_balances_and_no_line_is_empty(payment: Decimal, parts: list[ShareToBook]) -> None:
    lines = lines_of(payment, parts)
    assert all(total == 0 for total in totals(lines).values())
    assert all(value != 0 for value in lines.values())


@given(first=shares, second=shares, before=amount, after=amount)
def test_a_correction_brings_the_books_to_what_is_wanted(
    first: list[ShareToBook], second: list[ShareToBook], before: Decimal, after: Decimal
) -> None:
    booked, wanted = lines_of(before, first), lines_of(after, second)
    left = lines_left_to_book(wanted, booked.items())
    assert all(total == 0 for total in totals(left).values())
    books: defaultdict[LineKey, Decimal] = defaultdict(Decimal, booked)
    for key, value in left.items():
        books[key] += value
    assert {key: value for key, value in books.items() if value != 0} == wanted
    assert lines_left_to_book(wanted, books.items()) == {}
