"""The chain over the books: made by the database, worked out again in Python, and what tampering looks like."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.db.backends.utils import CursorWrapper

from aggregator.models import LedgerAccount, LedgerEntry, LedgerSeal, LedgerTransaction, LedgerVerification
from aggregator.operations.chain import verify_ledger
from aggregator.queries.chain import check_chain
from tests.integration.test_ledger import book, line, payment

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@contextmanager
def somebody_with_every_right() -> Iterator[CursorWrapper]:
    """Who owns the database can switch its guards off. Everything done so is undone at the end."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table in ("entry", "transaction", "account", "seal"):
            cursor.execute(f"ALTER TABLE aggregator_ledger{table} DISABLE TRIGGER USER")
        yield cursor
        transaction.set_rollback(True)


def books(count: int = 5) -> None:
    for number in range(count):
        book(key=f"k{number}", lines=payment(f"{number + 1}.5"))


def test_each_booking_is_sealed_with_the_one_before() -> None:
    book(key='ü "quoted" \\ and\nbroken', description="日本語 \t 'text'", grid_event_id=7)
    books()
    report = check_chain()
    assert report.faults == () and report.length == LedgerTransaction.objects.count() == 6
    seals = list(LedgerSeal.objects.order_by("position"))
    assert [seal.position for seal in seals] == [1, 2, 3, 4, 5, 6]
    assert [seal.previous_sha256 for seal in seals[1:]] == [seal.sha256 for seal in seals[:-1]]
    assert report.head_sha256 == seals[-1].sha256


def test_a_booking_of_many_lines_is_sealed_once() -> None:
    many = [line("owner", f"OWN-{n}", "EUR", "1") for n in range(11_000)]
    book(lines=[line("platform", "", "EUR", "-11000"), *many])
    assert check_chain().length == 1 and check_chain().faults == ()


def test_a_sealed_booking_takes_no_further_lines_even_balanced_ones() -> None:
    booked = book()
    owner, other = LedgerAccount.objects.filter(unit="EUR")[:2]
    with pytest.raises(IntegrityError, match="is sealed"), transaction.atomic():
        for account, amount in ((owner, 1), (other, -1)):
            LedgerEntry.objects.create(transaction_id=booked.transaction_id, account=account, amount=Decimal(amount))
    assert check_chain().faults == ()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            "UPDATE aggregator_ledgerentry SET amount = amount * 2 WHERE transaction_id = {second}",
            "not what was sealed",
        ),
        ("UPDATE aggregator_ledgertransaction SET description = 'x' WHERE id = {second}", "not what was sealed"),
        (
            "UPDATE aggregator_ledgertransaction SET booked_at = booked_at + interval '1 us' WHERE id = {second}",
            "sealed",
        ),
        ("UPDATE aggregator_ledgeraccount SET party = 'me' WHERE kind = 'owner'", "not what was sealed"),
        ("DELETE FROM aggregator_ledgerentry WHERE transaction_id = {second}", "not what was sealed"),
        ("DELETE FROM aggregator_ledgertransaction WHERE id = {second}", "is gone"),
        ("DELETE FROM aggregator_ledgerseal WHERE position = 2", "seals 2 to 2 are missing"),
        ("UPDATE aggregator_ledgerseal SET sha256 = repeat('0', 64) WHERE position = 2", "not what was sealed"),
    ],
)
def test_tampering_shows(statement: str, fault: str) -> None:
    books()
    second = LedgerSeal.objects.get(position=2).transaction_id
    with somebody_with_every_right() as cursor:
        cursor.execute(statement.format(second=second))
        assert fault in " ".join(check_chain().faults)
    assert check_chain().faults == ()


def test_what_was_slipped_in_was_never_sealed() -> None:
    books(2)
    with somebody_with_every_right() as cursor:
        cursor.execute(
            "INSERT INTO aggregator_ledgertransaction (idempotency_key, kind, occurred_at, booked_at, description)"
            " VALUES ('forged', 'payout', now(), now(), '')"
        )
        assert "was never sealed" in " ".join(check_chain().faults)


def test_who_rebuilds_the_chain_cannot_rebuild_what_was_written_down() -> None:
    books(4)
    first = verify_ledger(now=NOW)
    assert first.faults == ()
    fourth = LedgerSeal.objects.get(position=4).transaction_id
    with somebody_with_every_right() as cursor:
        cursor.execute("UPDATE aggregator_ledgertransaction SET description = 'x' WHERE id = %s", [fourth])
        cursor.execute(
            "UPDATE aggregator_ledgerseal SET sha256 = ledger_digest(%s, previous_sha256) WHERE position = 4", [fourth]
        )
        assert check_chain().faults == (), "the chain by itself holds"
        later = verify_ledger(now=NOW + timedelta(days=1))
        assert later.faults == ("seal 4 is not the one that was written down",)
        cursor.execute("DELETE FROM aggregator_ledgerseal WHERE position = 4")
        cursor.execute("DELETE FROM aggregator_ledgerentry WHERE transaction_id = %s", [fourth])
        cursor.execute("DELETE FROM aggregator_ledgertransaction WHERE id = %s", [fourth])
        assert check_chain().faults == ()
        assert "ends at 3, before the seal 4" in verify_ledger(now=NOW + timedelta(days=2)).faults[0]
        assert LedgerVerification.objects.count() == 3


def test_the_command_prints_the_head_and_fails_on_faults() -> None:
    books(2)
    out = StringIO()
    call_command("verify_ledger", stdout=out)
    said = json.loads(out.getvalue())
    assert said["bookings"] == 2 and said["faults"] == []
    call_command("verify_ledger", "--expect", said["head"], stdout=StringIO())
    with pytest.raises(SystemExit):
        call_command("verify_ledger", "--expect", f"2:{'0' * 64}", stdout=StringIO())
    with pytest.raises(CommandError, match="is no head"):
        call_command("verify_ledger", "--expect", "two")


def test_many_processes_book_into_one_chain() -> None:
    ready = threading.Barrier(6)

    def work(number: int) -> None:
        try:
            connection.ensure_connection()
            ready.wait(timeout=20)
            for turn in range(8):
                book(key=f"p{number}-{turn}", lines=payment(owner=f"OWN-{turn}"))
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    report = check_chain()
    assert report.faults == () and report.length == 48


def test_a_booking_that_is_rolled_back_leaves_no_seal() -> None:
    books(1)
    with pytest.raises(RuntimeError), transaction.atomic():
        book(key="never")
        raise RuntimeError
    books(2)
    assert check_chain().length == 2 and check_chain().faults == ()
