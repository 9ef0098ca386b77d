"""What the books page shows: whether they are sound, what they hold, what was paid out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Count, Sum

from aggregator.models import LedgerEntry, LedgerSeal, PayoutBatch


@dataclass(frozen=True, slots=True)
class HeldBalance:
    """What all accounts of a kind hold in a unit."""

    account_kind: str
    unit: str
    balance: Decimal


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One payout batch."""

    batch_id: int
    idempotency_key: str
    currency: str
    made_at: datetime
    execution_date: date
    payments: int
    total: Decimal


def sealed_bookings() -> int:
    """How many bookings the chain holds."""
    return LedgerSeal.objects.order_by("-position").values_list("position", flat=True).first() or 0


def held_balances() -> list[HeldBalance]:
    """What the accounts hold, by kind and unit; per unit they add up to zero."""
    rows = (
        LedgerEntry.objects.values("account__kind", "account__unit")
        .annotate(balance=Sum("amount"))
        .order_by("account__unit", "account__kind")
    )
    return [HeldBalance(row["account__kind"], row["account__unit"], row["balance"]) for row in rows]


def payout_batches(*, limit: int) -> list[BatchLine]:
    """The latest batches."""
    rows = PayoutBatch.objects.defer("message").annotate(payments=Count("payouts")).order_by("-made_at", "-pk")[:limit]
    return [
        BatchLine(row.pk, row.idempotency_key, row.currency, row.made_at, row.execution_date, row.payments, row.total)
        for row in rows
    ]
