"""Paying owners what the books hold for them: once, in batches, with a file that never changes."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum

from aggregator.core.bank import is_bic, normalised_iban
from aggregator.models import LedgerAccountKind, LedgerEntry, Payout, PayoutAccount, PayoutBatch
from aggregator.operations.ledger import LedgerLine, book_transaction
from common.errors import Conflict, InvalidInput, NotFound
from common.money import MINOR_UNIT_DIGITS

SCHEMA = "pain.001.001.09"
_TARGET_FIELDS = ("holder_name", "iban", "bic", "bank_code", "branch_code", "account_number")
CSV_COLUMNS = ("end_to_end_id", "holder_name", *_TARGET_FIELDS[1:], "amount", "currency", "execution_date", "reference")


class PayoutBatchNotFound(NotFound):
    """No such batch."""

    code = "payout_batch_not_found"


class NotPayableBySepa(Conflict):
    """The batch cannot leave as a SEPA credit transfer."""

    code = "not_payable_by_sepa"


@dataclass(frozen=True, slots=True)
class BatchMade:
    """A batch, and who waits for the next: owners with a balance but without an account to pay to."""

    batch_id: int
    created: bool
    payments: int
    total: Decimal
    currency: str
    without_account: tuple[str, ...]


def set_payout_account(
    *,
    party: str,
    holder_name: str,
    now: datetime,
    iban: str = "",
    bic: str = "",
    bank_code: str = "",
    branch_code: str = "",
    account_number: str = "",
) -> None:
    """Keep where an owner's money goes; batches that were made keep the account that they were made with.

    Raises:
        InvalidInput: the IBAN's check digits are wrong, or there is neither an IBAN nor a bank and an account number.
    """
    if not holder_name.strip() or len(holder_name) > 70:
        raise InvalidInput("is empty or too long.", field="holder_name", remedy="Give 1 to 70 characters.")
    normal = normalised_iban(iban) if iban.strip() else ""
    if iban.strip() and not normal:
        raise InvalidInput(f"{iban!r} is no IBAN.", field="iban", remedy="Check the digits.")
    if bic and not is_bic(bic):
        raise InvalidInput(f"{bic!r} is no BIC.", field="bic", remedy="Give 8 or 11 characters, or leave it out.")
    if not normal and not (bank_code.isdecimal() and account_number.isdecimal()):
        raise InvalidInput(
            "There is no account to pay to.", field="account_number", remedy="Give an IBAN, or bank code and number."
        )
    PayoutAccount.objects.update_or_create(
        party=party,
        defaults={
            "holder_name": holder_name,
            "iban": normal,
            "bic": bic,
            "bank_code": bank_code,
            "branch_code": branch_code,
            "account_number": account_number,
            "changed_at": now,
        },
    )


@transaction.atomic
def make_payout_batch(
    *, currency: str, idempotency_key: str, execution_date: date, minimum: Decimal, now: datetime
) -> BatchMade:
    """Pay every owner with an account what the books hold for them in a currency, if that is at least the minimum.

    Amounts are cut to the currency's minor unit; the rest stays in the books. The batch, its payments and their booking are
    made in one transaction, once per key; two batches of one currency are made one after the other, so that nobody is paid
    twice.

    Raises:
        InvalidInput: the platform does not pay in this currency, or the key or the minimum breaks a rule.
    """
    if currency not in MINOR_UNIT_DIGITS:
        known = ", ".join(sorted(MINOR_UNIT_DIGITS))
        raise InvalidInput(f"{currency!r} is not paid out.", field="currency", remedy=f"Give one of {known}.")
    if not idempotency_key or len(idempotency_key) > 60:
        raise InvalidInput("is empty or too long.", field="idempotency_key", remedy="Give 1 to 60 characters.")
    if minimum <= 0:
        raise InvalidInput(f"{minimum} is too little.", field="minimum", remedy="Give more than zero.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))", [f"payout {currency}"])
    earlier = PayoutBatch.objects.filter(idempotency_key=idempotency_key).first()
    if earlier is not None:
        return _made(earlier, created=False, without_account=())
    due = _due(currency, minimum)
    accounts = {account.party: account for account in PayoutAccount.objects.filter(party__in=due)}
    batch = PayoutBatch.objects.create(
        idempotency_key=idempotency_key,
        currency=currency,
        made_at=now,
        execution_date=execution_date,
        total=sum((due[party] for party in accounts), Decimal(0)),
    )
    payable = [(party, due[party], accounts[party]) for party in sorted(accounts)]
    Payout.objects.bulk_create(
        [
            Payout(
                batch=batch,
                party=party,
                amount=amount,
                end_to_end_id=f"P{batch.pk}-{number}",
                **{name: getattr(account, name) for name in _TARGET_FIELDS},
            )
            for number, (party, amount, account) in enumerate(payable, start=1)
        ],
        batch_size=5000,
    )
    if payable:
        lines = [LedgerLine("owner", party, currency, -amount) for party, amount, _ in payable]
        book_transaction(
            idempotency_key=f"payout:{batch.pk}",
            kind="payout",
            occurred_at=now,
            description=f"payout {idempotency_key}",
            lines=[*lines, LedgerLine("bank", "", currency, batch.total)],
            now=now,
        )
    return _made(batch, created=True, without_account=tuple(sorted(due.keys() - accounts.keys())))


def payment_message(batch_id: int) -> bytes:
    """The batch as ISO 20022 pain.001, valid by its schema; made once, then the same bytes for ever.

    Raises:
        PayoutBatchNotFound: there is none.
        NotPayableBySepa: it is not in euros, a payment has no IBAN, or the payer is not configured.
    """
    with transaction.atomic():
        batch = PayoutBatch.objects.select_for_update().filter(pk=batch_id).first()
        if batch is None:
            raise PayoutBatchNotFound(f"There is no batch {batch_id}.", field="batch_id")
        if batch.message is None:
            batch.message = _pain_001(batch)
            batch.message_sha256 = hashlib.sha256(batch.message).hexdigest()
            batch.save(update_fields=["message", "message_sha256"])
        return bytes(batch.message)


def payment_csv(batch_id: int) -> str:
    """The batch as CSV, for banks that take no pain.001; the same batch gives the same text.

    Raises:
        PayoutBatchNotFound: there is none.
    """
    batch = PayoutBatch.objects.filter(pk=batch_id).first()
    if batch is None:
        raise PayoutBatchNotFound(f"There is no batch {batch_id}.", field="batch_id")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    digits = MINOR_UNIT_DIGITS[batch.currency]
    for payout in batch.payouts.order_by("pk"):
        name = payout.holder_name
        writer.writerow(
            [
                payout.end_to_end_id,
                # a cell that no spreadsheet takes for a formula
                f"'{name}" if name[:1] in {"=", "+", "-", "@"} else name,
                *[getattr(payout, field) for field in _TARGET_FIELDS[1:]],
                f"{payout.amount:.{digits}f}",
                batch.currency,
                batch.execution_date.isoformat(),
                batch.idempotency_key,
            ]
        )
    return text.getvalue()


def _due(currency: str, minimum: Decimal) -> dict[str, Decimal]:
    """What the books hold for each owner, in whole minor units, where it is enough."""
    rows = (
        LedgerEntry.objects.filter(account__kind=LedgerAccountKind.OWNER, account__unit=currency)
        .values("account__party")
        .annotate(balance=Sum("amount"))
        .filter(balance__gte=minimum)
        .order_by("account__party")
    )
    quantum = Decimal(1).scaleb(-MINOR_UNIT_DIGITS[currency])
    due = {row["account__party"]: row["balance"].quantize(quantum, rounding=ROUND_DOWN) for row in rows}
    return {party: amount for party, amount in due.items() if amount > 0}


def _made(batch: PayoutBatch, *, created: bool, without_account: tuple[str, ...]) -> BatchMade:
    return BatchMade(batch.pk, created, batch.payouts.count(), batch.total, batch.currency, without_account)


def _pain_001(batch: PayoutBatch) -> bytes:
    payouts = list(batch.payouts.order_by("pk"))
    lacking = [payout.end_to_end_id for payout in payouts if not payout.iban]
    if batch.currency != "EUR" or lacking or not payouts:
        what = "is empty" if not payouts else f"is in {batch.currency}" if not lacking else f"has no IBAN: {lacking[0]}"
        raise NotPayableBySepa(f"Batch {batch.pk} {what}.", field="batch_id", remedy="Export it as CSV.")
    if not settings.PAYOUT_DEBTOR_NAME or not normalised_iban(settings.PAYOUT_DEBTOR_IBAN):
        raise NotPayableBySepa(
            "It is not said whose account pays.",
            field="PAYOUT_DEBTOR_IBAN",
            remedy="Set PAYOUT_DEBTOR_NAME and PAYOUT_DEBTOR_IBAN in the environment.",
        )
    payer = {
        "name": settings.PAYOUT_DEBTOR_NAME,
        "IBAN": normalised_iban(settings.PAYOUT_DEBTOR_IBAN),
        "batch": True,
        "currency": batch.currency,
        **({"BIC": settings.PAYOUT_DEBTOR_BIC} if settings.PAYOUT_DEBTOR_BIC else {}),
    }
    from sepaxml import SepaTransfer  # with its schema checker it takes long to load, and payouts are rare

    message = SepaTransfer(payer, schema=SCHEMA, clean=True)
    for payout in payouts:
        message.add_payment(
            {
                "name": payout.holder_name,
                "IBAN": payout.iban,
                "amount": int(payout.amount.scaleb(MINOR_UNIT_DIGITS[batch.currency])),
                "execution_date": batch.execution_date,
                "description": f"{batch.idempotency_key} {payout.party}",
                "endtoend_id": payout.end_to_end_id,
                **({"BIC": payout.bic} if payout.bic else {}),
            }
        )
    exported: bytes = message.export(validate=True)
    return exported
