"""Booking finished computing: the tenant pays, the owner earns, the platform keeps its fee. Once per slice."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from aggregator.operations.ledger import LedgerLine, book_transaction
from compute_market.operations.work import mark_booked
from compute_market.queries import FinishedWork, unbooked_work


def book_finished_work(*, now: datetime) -> int:
    """Book every verified slice that is not booked yet; returns how many.

    The ledger's idempotency key is the slice's, so that a crash between booking and marking books nothing twice.
    """
    booked = 0
    for item in unbooked_work():
        with transaction.atomic():
            lines = _lines(item)
            if lines:
                book_transaction(
                    idempotency_key=f"work-slice:{item.slice_id}",
                    kind="computing",
                    occurred_at=item.ended_at,
                    description=f"computing for job {item.job_id}: {item.cpu_s:.1f} CPU seconds",
                    lines=lines,
                    now=now,
                    lease_id=item.lease_id,
                )
            mark_booked(slice_id=item.slice_id, now=now)
        booked += 1
    return booked


def _lines(item: FinishedWork) -> list[LedgerLine]:
    """Money from the tenant to owner and platform; the energy that the computer drew, as a quantity."""
    lines = [
        LedgerLine("tenant", item.tenant, item.currency, -(item.amount + item.platform_amount)),
        LedgerLine("owner", item.owner_identity, item.currency, item.amount),
        LedgerLine("platform", "", item.currency, item.platform_amount),
    ]
    return [line for line in lines if line.amount != Decimal(0)]
