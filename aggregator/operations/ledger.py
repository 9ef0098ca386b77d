"""The books: the one way in. Double entry in every unit, once per idempotency key, never changed afterwards."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from aggregator.models import LedgerAccount, LedgerAccountKind, LedgerEntry
from common.clock import require_aware
from common.errors import Conflict, InvalidInput

KWH = "kWh"
KG_CO2 = "kgCO2"
# digits that the column keeps; an amount with more would be rounded by the database and no longer balance
LEDGER_DIGITS = 6
_CURRENCY = re.compile(r"[A-Z]{3}")
_LINES_PER_STATEMENT = 10_000


class Unbalanced(InvalidInput):
    """The lines do not add up to zero in every unit."""

    code = "ledger_unbalanced"


class BookedDifferently(Conflict):
    """The key was booked before with other lines."""

    code = "booked_differently"


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One line. `amount` positive: the account receives; negative: it gives. `unit` is a currency, kWh or kgCO2."""

    account_kind: str
    party: str
    unit: str
    amount: Decimal
    asset_id: int | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """Which transaction it is, and whether this call made it (False: it was booked before)."""

    transaction_id: int
    created: bool


_AccountKey = tuple[str, str, str]


def book_transaction(
    *,
    idempotency_key: str,
    kind: str,
    occurred_at: datetime,
    description: str,
    lines: Sequence[LedgerLine],
    now: datetime,
    grid_event_id: int | None = None,
    lease_id: int | None = None,
    market_award_id: int | None = None,
) -> Booked:
    """Book what happened, once, however often and from however many processes it is called.

    Raises:
        InvalidInput: no lines, an unknown kind of account, no unit, a zero amount or one with too many digits.
        Unbalanced: a unit does not add up to zero.
        BookedDifferently: the key was booked before with other lines.
    """
    _check(idempotency_key, lines)
    require_aware(occurred_at, "occurred_at")
    with transaction.atomic():
        transaction_id = _insert_transaction(
            [idempotency_key, kind, occurred_at, now, description[:300], grid_event_id, lease_id, market_award_id]
        )
        if transaction_id is None:
            return _booked_before(idempotency_key, lines)
        accounts = _account_ids({(line.account_kind, line.party, line.unit) for line in lines})
        _insert_lines(transaction_id, accounts, lines)
    return Booked(transaction_id, created=True)


def _check(idempotency_key: str, lines: Sequence[LedgerLine]) -> None:
    if not idempotency_key or len(idempotency_key) > 120:
        raise InvalidInput("is empty or too long.", field="idempotency_key", remedy="Give 1 to 120 characters.")
    if not lines:
        raise InvalidInput("There is nothing to book.", field="lines", remedy="Give at least two lines.")
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        _check_line(line)
        totals[line.unit] += line.amount
    for unit, total in totals.items():
        if total != 0:
            raise Unbalanced(
                f"The lines leave {total} {unit} over.",
                field="lines",
                remedy="Give every amount a line that takes it and one that gives it.",
            )


def _check_line(line: LedgerLine) -> None:
    if line.account_kind not in LedgerAccountKind.values:
        raise InvalidInput(
            f"{line.account_kind!r} is no kind of account.",
            field="lines.account_kind",
            remedy=f"Give one of {', '.join(LedgerAccountKind.values)}.",
        )
    if line.unit not in (KWH, KG_CO2) and not _CURRENCY.fullmatch(line.unit):
        raise InvalidInput(
            f"{line.unit!r} is no unit.", field="lines.unit", remedy=f"Give an ISO 4217 currency, {KWH} or {KG_CO2}."
        )
    if not isinstance(line.amount, Decimal) or not line.amount.is_finite() or line.amount == 0:
        raise InvalidInput(f"{line.amount!r} is no amount.", field="lines.amount", remedy="Give a Decimal, not zero.")
    exponent = line.amount.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > LEDGER_DIGITS:
        raise InvalidInput(
            f"{line.amount} has more than {LEDGER_DIGITS} digits behind the point.",
            field="lines.amount",
            remedy="Round it with common.money first.",
        )


def _insert_transaction(values: list[Any]) -> int | None:
    """The new row, or None if the key is booked. Waits for another process that is booking the same key."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO aggregator_ledgertransaction
                (idempotency_key, kind, occurred_at, booked_at, description, grid_event_id, lease_id, market_award_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (idempotency_key) DO NOTHING RETURNING id
            """,
            values,
        )
        row = cursor.fetchone()
    return None if row is None else row[0]


def _booked_before(idempotency_key: str, lines: Sequence[LedgerLine]) -> Booked:
    entries = LedgerEntry.objects.filter(transaction__idempotency_key=idempotency_key).values_list(
        "transaction_id", "account__kind", "account__party", "account__unit", "amount", "asset_id"
    )
    rows = list(entries)
    before = sorted((*row[1:4], row[4], row[5] or 0) for row in rows)
    wanted = sorted((line.account_kind, line.party, line.unit, line.amount, line.asset_id or 0) for line in lines)
    if before != wanted:
        raise BookedDifferently(
            f"{idempotency_key!r} was booked with other lines.",
            field="idempotency_key",
            remedy="Book a correction under a key of its own.",
        )
    return Booked(rows[0][0], created=False)


def _account_ids(keys: set[_AccountKey]) -> Mapping[_AccountKey, int]:
    """Accounts, opened where they are missing; in one order, so that two bookings never wait for each other."""
    known = _known_accounts(keys)
    missing = sorted(keys - known.keys())
    if missing:
        LedgerAccount.objects.bulk_create(
            [LedgerAccount(kind=kind, party=party, unit=unit) for kind, party, unit in missing],
            ignore_conflicts=True,
            batch_size=5000,
        )
        known |= _known_accounts(set(missing))
    return known


def _known_accounts(keys: set[_AccountKey]) -> dict[_AccountKey, int]:
    kinds, parties, units = zip(*keys, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT account.kind, account.party, account.unit, account.id
            FROM aggregator_ledgeraccount account
            JOIN unnest(%s::text[], %s::text[], %s::text[]) AS wanted (kind, party, unit)
                ON (account.kind, account.party, account.unit) = (wanted.kind, wanted.party, wanted.unit)
            """,
            [list(kinds), list(parties), list(units)],
        )
        return {(kind, party, unit): account_id for kind, party, unit, account_id in cursor.fetchall()}


def _insert_lines(transaction_id: int, accounts: Mapping[_AccountKey, int], lines: Sequence[LedgerLine]) -> None:
    with connection.cursor() as cursor:
        for start in range(0, len(lines), _LINES_PER_STATEMENT):
            batch = lines[start : start + _LINES_PER_STATEMENT]
            cursor.execute(
                """
                INSERT INTO aggregator_ledgerentry (transaction_id, account_id, amount, asset_id)
                SELECT %s, account_id, amount, asset_id
                FROM unnest(%s::bigint[], %s::numeric[], %s::bigint[]) AS line (account_id, amount, asset_id)
                """,
                [
                    transaction_id,
                    [accounts[line.account_kind, line.party, line.unit] for line in batch],
                    [line.amount for line in batch],
                    [line.asset_id for line in batch],
                ],
            )
