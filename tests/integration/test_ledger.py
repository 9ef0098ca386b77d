"""The books: what the database itself refuses, and booking once from many processes at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, close_old_connections, connection, transaction

from aggregator.models import LedgerAccount, LedgerEntry, LedgerTransaction
from aggregator.operations.ledger import BookedDifferently, LedgerLine, Unbalanced, book_transaction
from aggregator.queries.ledger import booked_for_event, ledger_is_balanced, ledger_totals, owner_balances, statement
from common.errors import InvalidInput
from fleet.operations.assets import register_owner

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def line(kind: str, party: str, unit: str, amount: str, asset_id: int | None = None) -> LedgerLine:
    return LedgerLine(kind, party, unit, Decimal(amount), asset_id)


def payment(amount: str = "8.5", *, owner: str = "OWN-1") -> list[LedgerLine]:
    return [
        line("grid_operator", "grid-co", "EUR", f"-{amount}"),
        line("owner", owner, "EUR", amount),
        line("energy_source", owner, "kWh", "-3.25", 7),
        line("energy_grid", "grid-co", "kWh", "3.25"),
    ]


def book(key: str = "a", lines: list[LedgerLine] | None = None, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "idempotency_key": key,
        "kind": "settlement",
        "occurred_at": NOW,
        "description": "an event",
        "lines": payment() if lines is None else lines,
        "now": NOW,
    }
    return book_transaction(**{**given, **changes})


@pytest.mark.django_db(transaction=True)
class TestWhatTheDatabaseRefuses:
    def test_a_transaction_that_does_not_balance_is_refused_at_commit(self) -> None:
        with pytest.raises(IntegrityError, match=r"does not balance: -?1\.000000 EUR"), transaction.atomic():
            booked = book()
            owner = LedgerAccount.objects.get(kind="owner")
            LedgerEntry.objects.create(transaction_id=booked.transaction_id, account=owner, amount=Decimal(1))
        assert LedgerTransaction.objects.count() == 0

    def test_lines_added_to_a_committed_transaction_must_balance_too(self) -> None:
        booked = book()
        owner = LedgerAccount.objects.get(kind="owner")
        with pytest.raises(IntegrityError, match="does not balance"):
            LedgerEntry.objects.create(transaction_id=booked.transaction_id, account=owner, amount=Decimal(1))
        lowest = LedgerEntry.objects.order_by("pk").values_list("pk", flat=True)[0]
        with pytest.raises(IntegrityError, match="does not balance"):
            LedgerEntry.objects.create(
                pk=lowest - 1, transaction_id=booked.transaction_id, account=owner, amount=Decimal(1)
            )
        assert LedgerEntry.objects.count() == 4 and ledger_is_balanced()

    @pytest.mark.parametrize(
        "statement_text",
        [
            "UPDATE aggregator_ledgerentry SET amount = amount * 2",
            "DELETE FROM aggregator_ledgerentry",
            "UPDATE aggregator_ledgertransaction SET description = ''",
            "DELETE FROM aggregator_ledgertransaction",
            "UPDATE aggregator_ledgeraccount SET party = 'me'",
        ],
    )
    def test_nothing_that_is_booked_can_be_changed(self, statement_text: str) -> None:
        book()
        with pytest.raises(IntegrityError, match="append-only"), connection.cursor() as cursor:
            cursor.execute(statement_text)
        assert sorted(str(entry.amount) for entry in LedgerEntry.objects.all()) == [
            "-3.250000",
            "-8.500000",
            "3.250000",
            "8.500000",
        ]

    def test_the_note_of_what_to_check_does_not_pile_up(self) -> None:
        for number in range(3):
            book(f"key-{number}")
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM aggregator_ledgercheck")
            assert cursor.fetchone() == (0,)


@pytest.mark.django_db
class TestBooking:
    def test_balances_follow(self) -> None:
        assert book().created
        book("b", payment("1.5"))
        balances = {(row.kind, row.unit): row.balance for row in owner_balances("OWN-1")}
        assert balances == {("owner", "EUR"): Decimal(10), ("energy_source", "kWh"): Decimal("-6.5")}
        assert ledger_totals() == {"EUR": 0, "kWh": 0}

    def test_again_is_the_same_and_other_lines_are_not(self) -> None:
        first = book()
        again = book()
        assert not again.created and again.transaction_id == first.transaction_id
        with pytest.raises(BookedDifferently):
            book(lines=payment("8.6"))
        assert LedgerEntry.objects.count() == 4

    @pytest.mark.parametrize(
        ("lines", "error", "field"),
        [
            ([], InvalidInput, "lines"),
            ([line("owner", "a", "EUR", "1")], Unbalanced, "lines"),
            ([line("owner", "a", "EUR", "1"), line("platform", "", "JPY", "-1")], Unbalanced, "lines"),
            ([line("purse", "a", "EUR", "1"), line("platform", "", "EUR", "-1")], InvalidInput, "lines.account_kind"),
            ([line("owner", "a", "euro", "1"), line("platform", "", "euro", "-1")], InvalidInput, "lines.unit"),
            ([line("owner", "a", "EUR", "0")], InvalidInput, "lines.amount"),
            ([line("owner", "a", "EUR", "NaN")], InvalidInput, "lines.amount"),
            (
                [line("owner", "a", "EUR", "0.0000001"), line("platform", "", "EUR", "-0.0000001")],
                InvalidInput,
                "lines.amount",
            ),
        ],
    )
    def test_what_makes_no_booking(self, lines: list[LedgerLine], error: type[InvalidInput], field: str) -> None:
        with pytest.raises(error) as caught:
            book(lines=lines)
        assert caught.value.field == field
        assert LedgerTransaction.objects.count() == 0

    def test_what_an_event_comes_to_with_its_corrections(self) -> None:
        book(grid_event_id=4)
        book(
            "correction",
            [line("grid_operator", "grid-co", "EUR", "0.5"), line("owner", "OWN-1", "EUR", "-0.5")],
            kind="correction",
            grid_event_id=4,
        )
        totals = {(row.account_kind, row.unit, row.asset_id): row.amount for row in booked_for_event(grid_event_id=4)}
        assert totals["owner", "EUR", None] == 8 and totals["energy_source", "kWh", 7] == Decimal("-3.25")

    def test_a_statement_has_the_month_of_its_owner(self) -> None:
        owner = register_owner(identity="OWN-1")
        book("first", occurred_at=datetime(2026, 11, 1, tzinfo=UTC))
        book("second", payment("2"), kind="computing", occurred_at=datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
        book("third", payment("4"), occurred_at=datetime(2026, 12, 1, tzinfo=UTC))
        november = statement(owner.owner_id, date(2026, 11, 17))
        assert november.earned == {"EUR": Decimal("10.5")} and november.energy_kwh == Decimal("6.5")
        assert {(part.service, part.amount, part.bookings) for part in november.components} == {
            ("flexibility", Decimal("8.5"), 1),
            ("computing", Decimal(2), 1),
        }
        assert [entry.kind for entry in november.lines] == ["settlement", "computing"]
        tokyo = statement(owner.owner_id, date(2026, 12, 1), time_zone="Asia/Tokyo")
        assert tokyo.earned == {"EUR": Decimal(6)}, "the last hours of November in UTC are December in Tokyo"


@pytest.mark.django_db(transaction=True)
def test_many_processes_book_one_key_once() -> None:
    ready = threading.Barrier(8)

    def attempt(_: int) -> bool:
        try:
            connection.ensure_connection()
            ready.wait(timeout=20)
            return book().created
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(attempt, range(8)))
    assert sum(created) == 1
    assert LedgerEntry.objects.count() == 4 and ledger_is_balanced()


@pytest.mark.django_db(transaction=True)
def test_bookings_that_open_the_same_accounts_do_not_stop_each_other() -> None:
    owners = [f"OWN-{number}" for number in range(40)]
    ready = threading.Barrier(4)

    def attempt(number: int) -> None:
        try:
            connection.ensure_connection()
            ready.wait(timeout=20)
            ordered = owners if number % 2 else owners[::-1]
            lines = [line("owner", owner, "EUR", "1") for owner in ordered]
            book(f"key-{number}", [*lines, line("grid_operator", "grid-co", "EUR", "-40")])
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, range(4)))
    assert LedgerAccount.objects.filter(kind="owner").count() == 40
    assert all(owner_balances(owner)[0].balance == 4 for owner in owners)
