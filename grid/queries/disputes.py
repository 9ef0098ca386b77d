"""Disputes as plain data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from common.errors import NotFound
from grid.models import SettlementDispute


class DisputeNotFound(NotFound):
    """No such dispute, or not for this caller."""

    code = "dispute_not_found"


@dataclass(frozen=True, slots=True)
class DisputeView:
    """One dispute, without its evidence."""

    dispute_id: int
    event_id: int
    revision: int
    raised_by: str
    reason: str
    raised_at: datetime
    evidence_sha256: str
    state: str
    resolution: str
    resolved_at: datetime | None
    resolved_by: str


def dispute_view(row: SettlementDispute) -> DisputeView:
    """A row as plain data."""
    plain = {field.name: getattr(row, field.name) for field in fields(DisputeView) if field.name != "dispute_id"}
    return DisputeView(dispute_id=row.pk, **plain)


def disputes_of_event(event_id: int) -> list[DisputeView]:
    """Every dispute about an event's settlement, the latest first."""
    rows = SettlementDispute.objects.filter(event_id=event_id).defer("evidence").order_by("-raised_at", "-pk")
    return [dispute_view(row) for row in rows]


def dispute(dispute_id: int, *, requested_by: str | None = None) -> DisputeView:
    """One dispute; with `requested_by` only one about that operator's event.

    Raises:
        DisputeNotFound: there is none for this caller.
    """
    rows = SettlementDispute.objects.defer("evidence").filter(pk=dispute_id)
    if requested_by is not None:
        rows = rows.filter(event__requested_by=requested_by)
    row = rows.first()
    if row is None:
        raise DisputeNotFound(f"There is no dispute {dispute_id}.", field="dispute_id")
    return dispute_view(row)


def dispute_evidence(dispute_id: int) -> bytes:
    """The frozen evidence: gzip of JSON lines."""
    return bytes(SettlementDispute.objects.values_list("evidence", flat=True).get(pk=dispute_id))
