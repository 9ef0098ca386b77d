"""Payouts: what the books hold leaves once, in a file that never changes and that a bank's schema accepts."""

from __future__ import annotations

import csv
import io
import json
import threading
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import close_old_connections, connection
from django.test import Client, override_settings

from aggregator.core.bank import is_bic, normalised_iban
from aggregator.models import LedgerTransaction, Payout, PayoutBatch, User
from aggregator.operations.ledger import LedgerLine, book_transaction
from aggregator.operations.payouts import (
    BatchMade,
    NotPayableBySepa,
    PayoutBatchNotFound,
    make_payout_batch,
    payment_csv,
    payment_message,
    set_payout_account,
)
from aggregator.queries.ledger import ledger_is_balanced, owner_balances
from common.errors import InvalidInput

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 12, 1, tzinfo=UTC)
PAYER = {
    "PAYOUT_DEBTOR_NAME": "Aggregator B.V.",
    "PAYOUT_DEBTOR_IBAN": "NL91 ABNA 0417 1643 00",
    "PAYOUT_DEBTOR_BIC": "ABNANL2A",
}
NAMESPACE = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}


def earn(party: str, amount: str, currency: str = "EUR", key: str = "") -> None:
    book_transaction(
        idempotency_key=key or f"{party}-{currency}",
        kind="settlement",
        occurred_at=NOW,
        description="an event",
        lines=[
            LedgerLine("owner", party, currency, Decimal(amount)),
            LedgerLine("grid_operator", "grid-co", currency, -Decimal(amount)),
        ],
        now=NOW,
    )


def pay(key: str = "2026-11", currency: str = "EUR", **changes: Any) -> BatchMade:
    given = {"execution_date": date(2026, 12, 3), "minimum": Decimal(1), "now": NOW, **changes}
    return make_payout_batch(currency=currency, idempotency_key=key, **given)


@pytest.fixture
def owners() -> None:
    earn("OWN-1", "12.3456")
    earn("OWN-2", "100.0000")
    earn("OWN-3", "0.9999")
    earn("OWN-4", "50")
    set_payout_account(party="OWN-1", holder_name="Zoë Müller", iban="de89 3704 0044 0532 0130 00", now=NOW)
    set_payout_account(party="OWN-2", holder_name="J. Jansen", iban="NL91ABNA0417164300", bic="ABNANL2A", now=NOW)
    set_payout_account(party="OWN-3", holder_name="Little", iban="NL91ABNA0417164300", now=NOW)


def test_owners_get_whole_cents_once_and_the_rest_stays(owners: None) -> None:
    made = pay()
    assert (made.payments, made.total, made.without_account) == (2, Decimal("112.34"), ("OWN-4",))
    assert [balance.balance for balance in owner_balances("OWN-1")] == [Decimal("0.0056")]
    assert [balance.balance for balance in owner_balances("OWN-3")] == [Decimal("0.9999")], "too little to send"
    again = pay()
    assert not again.created and again.batch_id == made.batch_id and Payout.objects.count() == 2
    assert pay(key="another").payments == 0, "nothing is left to pay"
    assert ledger_is_balanced() and LedgerTransaction.objects.filter(kind="payout").count() == 1


@override_settings(**PAYER)
def test_the_message_is_valid_holds_the_batch_and_never_changes(owners: None) -> None:
    made = pay()
    message = payment_message(made.batch_id)  # checked against the XSD that the library brings along
    assert payment_message(made.batch_id) == message
    root = ET.fromstring(message)
    assert root.find(".//p:GrpHdr/p:CtrlSum", NAMESPACE).text == "112.34"
    sent = [
        (node.find(".//p:EndToEndId", NAMESPACE).text, node.find(".//p:InstdAmt", NAMESPACE).text)
        for node in root.iter(f"{{{NAMESPACE['p']}}}CdtTrfTxInf")
    ]
    assert sent == [(payout.end_to_end_id, f"{payout.amount:.2f}") for payout in Payout.objects.order_by("pk")]
    assert "DE89370400440532013000" in message.decode()
    set_payout_account(party="OWN-1", holder_name="Somebody Else", iban="NL91ABNA0417164300", now=NOW)
    assert payment_message(made.batch_id) == message, "where the money goes was decided with the batch"


def test_the_csv_holds_the_same_payments(owners: None) -> None:
    made = pay()
    rows = list(csv.DictReader(io.StringIO(payment_csv(made.batch_id))))
    assert [(row["holder_name"], row["amount"]) for row in rows] == [("Zoë Müller", "12.34"), ("J. Jansen", "100.00")]
    assert payment_csv(made.batch_id) == payment_csv(made.batch_id)
    with pytest.raises(PayoutBatchNotFound):
        payment_csv(10**6)


def test_yen_leave_whole_and_by_csv() -> None:
    earn("OWN-1", "1234.5678", "JPY")
    set_payout_account(
        party="OWN-1",
        holder_name="ヤマダ タロウ",
        bank_code="0001",
        branch_code="123",
        account_number="7654321",
        now=NOW,
    )
    made = pay(currency="JPY")
    assert made.total == Decimal(1234)
    assert "1234,JPY" in payment_csv(made.batch_id) and "ヤマダ タロウ,,,0001,123,7654321" in payment_csv(made.batch_id)
    with pytest.raises(NotPayableBySepa):
        payment_message(made.batch_id)


def test_without_a_payer_there_is_no_message_and_the_setting_is_named(owners: None) -> None:
    with override_settings(PAYOUT_DEBTOR_IBAN=""), pytest.raises(NotPayableBySepa) as caught:
        payment_message(pay().batch_id)
    assert caught.value.field == "PAYOUT_DEBTOR_IBAN"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"iban": "NL91ABNA0417164301"}, "iban"),
        ({"iban": "NL91ABNA0417164300", "bic": "ABN"}, "bic"),
        ({"iban": "NL91ABNA0417164300", "holder_name": " "}, "holder_name"),
        ({}, "account_number"),
        ({"bank_code": "1", "account_number": "x"}, "account_number"),
    ],
)
def test_accounts_that_cannot_be_paid_to_are_refused(given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        set_payout_account(**{"party": "OWN-1", "holder_name": "A", "now": NOW, **given})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"currency": "XAU"}, "currency"), ({"key": ""}, "idempotency_key"), ({"minimum": Decimal(0)}, "minimum")],
)
def test_batches_that_make_no_sense_are_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        pay(**changes)
    assert caught.value.field == field


def test_batches_that_are_made_at_once_pay_nobody_twice(owners: None) -> None:
    ready = threading.Barrier(4)

    def work(number: int) -> BatchMade:
        try:
            connection.ensure_connection()
            ready.wait(timeout=20)
            return pay(key=f"batch-{number}")
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(work, range(4)))
    assert sum(batch.total for batch in made) == Decimal("112.34") and ledger_is_balanced()


@override_settings(**PAYER)
def test_the_command_writes_both_files_as_often_as_one_likes(owners: None, tmp_path: Path) -> None:
    written = []
    for turn in ("a", "b"):
        out = StringIO()
        files = tmp_path / f"{turn}.xml", tmp_path / f"{turn}.csv"
        call_command(
            "pay_owners", "--currency", "EUR", "--key", "2026-11", "--on", "2026-12-03", "--json",
            "--pain", str(files[0]), "--csv", str(files[1]), stdout=out,
        )  # fmt: skip
        assert json.loads(out.getvalue())["payments"] == 2
        written.append([file.read_bytes() for file in files])
    assert written[0] == written[1] and written[0][0].startswith(b"<?xml")


@pytest.mark.parametrize(
    ("text", "iban"),
    [("GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432"), ("GB82WEST12345698765433", ""), ("", ""), ("x", "")],
)
def test_ibans(text: str, iban: str) -> None:
    assert normalised_iban(text) == iban


def test_bics() -> None:
    assert is_bic("ABNANL2A") and is_bic("ABNANL2AXXX") and not is_bic("ABNANL2AX")


@override_settings(**PAYER)
def test_the_page_pays_checks_and_hands_out_files(owners: None) -> None:
    browser = Client()
    browser.force_login(User.objects.create_user("op@example.org", "a good password", is_operator=True))
    assert "Nobody has checked them yet" in browser.get("/ops/books/").content.decode()
    browser.post("/ops/books/verify/")
    posted = {"currency": "EUR", "key": "2026-11", "on": "2026-12-03", "minimum": "1"}
    page = browser.post("/ops/books/pay/", posted, follow=True).content.decode()
    assert "2 payments; 1 owners wait" in page and "✓" in page
    browser.post("/ops/books/pay/", posted)
    batch = PayoutBatch.objects.get()
    assert browser.get(f"/ops/books/{batch.pk}.xml").content == payment_message(batch.pk)
    assert browser.get(f"/ops/books/{batch.pk}.csv").content.decode() == payment_csv(batch.pk)
    assert browser.get("/ops/books/999999.csv").status_code == 404
    assert "Give a day" in browser.post("/ops/books/pay/", {**posted, "on": ""}, follow=True).content.decode()
    assert Client().get("/ops/books/").status_code == 302
