"""Keeping disputes and what became of them."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.db import transaction

from common.errors import Conflict, InvalidInput
from grid.models import DisputeState, SettlementDispute
from grid.queries.disputes import DisputeNotFound, DisputeView, dispute_view


class DisputeClosed(Conflict):
    """The dispute was resolved already."""

    code = "dispute_closed"


def earlier_dispute(*, raised_by: str, idempotency_key: str) -> DisputeView | None:
    """The dispute that an earlier request of this key opened."""
    row = SettlementDispute.objects.filter(raised_by=raised_by, idempotency_key=idempotency_key).first()
    return None if row is None else dispute_view(row)


def record_dispute(
    *,
    event_id: int,
    revision: int,
    raised_by: str,
    idempotency_key: str,
    reason: str,
    evidence: bytes,
    now: datetime,
) -> DisputeView:
    """Keep a dispute once per key, with its evidence.

    Raises:
        InvalidInput: there is no reason, or it is too long.
    """
    if not reason.strip() or len(reason) > 1000:
        raise InvalidInput(
            "is empty or too long.", field="reason", remedy="Say what you doubt, in 1 to 1,000 characters."
        )
    row, _ = SettlementDispute.objects.get_or_create(
        raised_by=raised_by,
        idempotency_key=idempotency_key,
        defaults={
            "event_id": event_id,
            "revision": revision,
            "reason": reason,
            "raised_at": now,
            "evidence": evidence,
            "evidence_sha256": hashlib.sha256(evidence).hexdigest(),
        },
    )
    return dispute_view(row)


@transaction.atomic
def resolve_dispute(*, dispute_id: int, upheld: bool, resolution: str, resolved_by: str, now: datetime) -> DisputeView:
    """Say what became of a dispute. The evidence stays.

    Raises:
        DisputeNotFound: there is none. DisputeClosed: it was resolved. InvalidInput: nothing is said.
    """
    row = SettlementDispute.objects.select_for_update().filter(pk=dispute_id).first()
    if row is None:
        raise DisputeNotFound(f"There is no dispute {dispute_id}.", field="dispute_id")
    if row.state != DisputeState.OPEN:
        raise DisputeClosed(f"Dispute {dispute_id} was resolved.", field="dispute_id", remedy="Open a further one.")
    if not resolution.strip() or len(resolution) > 1000:
        raise InvalidInput("is empty or too long.", field="resolution", remedy="Say why, in 1 to 1,000 characters.")
    row.state = DisputeState.UPHELD if upheld else DisputeState.REJECTED
    row.resolution, row.resolved_by, row.resolved_at = resolution, resolved_by, now
    row.save(update_fields=["state", "resolution", "resolved_by", "resolved_at"])
    return dispute_view(row)
