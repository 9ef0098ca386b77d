"""What the books say: balances, what was booked for an event, and whether everything adds up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, QuerySet, Sum

from aggregator.models import LedgerAccountKind, LedgerEntry
from aggregator.queries.statements import OwnerStatement, StatementComponent, StatementLine, statement

__all__ = [
    "AccountBalance",
    "BookedLine",
    "OwnerStatement",
    "StatementComponent",
    "StatementLine",
    "booked_for_award",
    "booked_for_event",
    "ledger_is_balanced",
    "ledger_totals",
    "owner_balances",
    "owner_earnings",
    "statement",
]


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """What one account of an owner holds, in one unit."""

    party: str
    kind: str
    unit: str
    balance: Decimal


@dataclass(frozen=True, slots=True)
class BookedLine:
    """Everything booked to one account for one asset, added up."""

    account_kind: str
    party: str
    unit: str
    asset_id: int | None
    amount: Decimal


def owner_balances(owner_identity: str) -> list[AccountBalance]:
    """What an owner's accounts hold: money in each currency, energy delivered (kWh, negative: given), CO2 avoided."""
    rows = (
        LedgerEntry.objects.filter(
            account__party=owner_identity,
            account__kind__in=[
                LedgerAccountKind.OWNER,
                LedgerAccountKind.ENERGY_SOURCE,
                LedgerAccountKind.CARBON_ACCOUNT,
            ],
        )
        .values("account__party", "account__kind", "account__unit")
        .annotate(balance=Sum("amount"))
        .order_by("account__kind", "account__unit")
    )
    return [
        AccountBalance(row["account__party"], row["account__kind"], row["account__unit"], row["balance"])
        for row in rows
    ]


def owner_earnings(
    owner_identities: Iterable[str], *, starts_at: datetime, ends_at: datetime
) -> dict[str, dict[str, Decimal]]:
    """What owners were credited for what happened in an interval: identity -> currency -> amount. Payouts are not
    counted: they move what was earned."""
    rows = (
        LedgerEntry.objects.filter(
            account__party__in=list(owner_identities),
            account__kind=LedgerAccountKind.OWNER,
            transaction__occurred_at__gte=starts_at,
            transaction__occurred_at__lt=ends_at,
        )
        .exclude(transaction__kind="payout")
        .values("account__party", "account__unit")
        .annotate(earned=Sum("amount"))
    )
    earned: dict[str, dict[str, Decimal]] = {}
    for row in rows:
        earned.setdefault(row["account__party"], {})[row["account__unit"]] = row["earned"]
    return earned


def booked_for_event(*, grid_event_id: int) -> list[BookedLine]:
    """What all bookings of an event come to by now, account by account and asset by asset; what came to zero is left
    out."""
    return _booked(LedgerEntry.objects.filter(transaction__grid_event_id=grid_event_id))


def booked_for_award(*, market_award_id: int) -> list[BookedLine]:
    """The same for an award of a market."""
    return _booked(LedgerEntry.objects.filter(transaction__market_award_id=market_award_id))


def _booked(entries: QuerySet[LedgerEntry]) -> list[BookedLine]:
    rows = (
        entries.values("account__kind", "account__party", "account__unit", "asset_id")
        .annotate(total=Sum("amount"))
        .exclude(total=0)
        .order_by("account__kind", "account__party", "account__unit", "asset_id")
    )
    return [
        BookedLine(row["account__kind"], row["account__party"], row["account__unit"], row["asset_id"], row["total"])
        for row in rows
    ]


def ledger_totals() -> dict[str, Decimal]:
    """The sum of all entries in every unit: zero, if the books are right."""
    rows = LedgerEntry.objects.values("account__unit").annotate(total=Sum("amount")).order_by("account__unit")
    return {row["account__unit"]: row["total"] for row in rows}


def ledger_is_balanced() -> bool:
    """Whether every transaction adds up to zero in every unit, and no transaction has a single line."""
    unbalanced = (
        LedgerEntry.objects.values("transaction_id", "account__unit")
        .annotate(total=Sum("amount"), lines=Count("pk"))
        .exclude(total=0, lines__gte=2)
    )
    return not unbalanced.exists()
