"""The chain over the books, checked: every seal worked out again from what the books say now, in another language than the
one it was made in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from aggregator.models import LedgerVerification

MOST_FAULTS = 20
_AT_ONCE = 500

_SEALED = """
SELECT seal.position, seal.previous_sha256, seal.sha256, booked.id, booked.idempotency_key, booked.kind,
       booked.occurred_at, booked.booked_at, booked.description, booked.grid_event_id, booked.lease_id,
       booked.market_award_id
FROM aggregator_ledgerseal seal LEFT JOIN aggregator_ledgertransaction booked ON booked.id = seal.transaction_id
WHERE seal.position > %s ORDER BY seal.position LIMIT %s
"""
_LINES = """
SELECT entry.transaction_id, entry.id, account.kind, account.party, account.unit, entry.amount, entry.asset_id
FROM aggregator_ledgerentry entry JOIN aggregator_ledgeraccount account ON account.id = entry.account_id
WHERE entry.transaction_id = ANY(%s) ORDER BY entry.id
"""
_UNSEALED = """
SELECT booked.id FROM aggregator_ledgertransaction booked
WHERE NOT EXISTS (SELECT FROM aggregator_ledgerseal seal WHERE seal.transaction_id = booked.id)
ORDER BY booked.id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a look at the whole chain found. `length` seals, the last of them `head_sha256`; no faults: nothing that was
    booked has been changed, taken away or slipped in since."""

    length: int
    head_sha256: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerificationView:
    """One look that was kept."""

    at: datetime
    length: int
    head_sha256: str
    faults: tuple[str, ...]


def check_chain(*, expected: dict[int, str] | None = None) -> ChainReport:
    """Work out every seal again, a few hundred bookings at a time.

    Args:
        expected: seals by their position that somebody wrote down earlier; whoever rebuilt the chain has others.
    """
    faults: list[str] = []
    position, previous, wanted = 0, "", dict(expected or {})
    for seal in _seals():
        at, said_previous, said, booked, lines = seal
        if at != position + 1:
            faults.append(f"seals {position + 1} to {at - 1} are missing")
        if said_previous != previous:
            faults.append(f"seal {at} does not follow the one before")
        if booked[0] is None:
            faults.append(f"the booking of seal {at} is gone")
        elif seal_sha256(said_previous, booked, lines) != said:
            faults.append(f"booking {booked[0]} ({booked[1]}) is not what was sealed")
        if wanted.pop(at, said) != said:
            faults.append(f"seal {at} is not the one that was written down")
        position, previous = at, said
        if len(faults) >= MOST_FAULTS:
            break
    else:
        faults += [f"the chain ends at {position}, before the seal {at} that was written down" for at in sorted(wanted)]
        with connection.cursor() as cursor:
            cursor.execute(_UNSEALED, [MOST_FAULTS])
            faults += [f"booking {row[0]} was never sealed" for row in cursor.fetchall()]
    return ChainReport(position, previous, tuple(faults))


def seal_sha256(previous: str, booked: tuple[Any, ...], lines: list[tuple[Any, ...]]) -> str:
    """The seal of a booking: SHA-256 over the seal before, the booking and its lines in order, each a JSON array of texts
    on a line of its own."""
    number, key, kind, occurred_at, booked_at, description, *links = booked
    header = [str(number), key, kind, _stamp(occurred_at), _stamp(booked_at), description, *map(_text, links)]
    rows = [
        [str(entry), account_kind, party, unit, f"{amount:.6f}", _text(asset)]
        for entry, account_kind, party, unit, amount, asset in lines
    ]
    text = "\n".join([previous, *(json.dumps(row, ensure_ascii=False) for row in [header, *rows])])
    return hashlib.sha256(text.encode()).hexdigest()


def latest_verification() -> VerificationView | None:
    """The last look that was kept."""
    row = LedgerVerification.objects.order_by("-at", "-pk").first()
    return None if row is None else VerificationView(row.at, row.length, row.head_sha256, tuple(row.faults))


def _seals() -> Iterator[tuple[int, str, str, tuple[Any, ...], list[tuple[Any, ...]]]]:
    position = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_SEALED, [position, _AT_ONCE])
            seals = cursor.fetchall()
            cursor.execute(_LINES, [[seal[3] for seal in seals if seal[3] is not None]])
            lines: dict[int, list[tuple[Any, ...]]] = {}
            for transaction_id, *line in cursor.fetchall():
                lines.setdefault(transaction_id, []).append(tuple(line))
        if not seals:
            return
        for at, previous, sha256, *booked in seals:
            yield at, previous, sha256, tuple(booked), lines.get(booked[0], [])
        position = seals[-1][0]


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: Any) -> str:
    return "" if value is None else str(value)
