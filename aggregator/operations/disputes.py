"""Disputing a settlement: what it was computed from is frozen before anybody argues."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
from django.db import transaction

from aggregator.core.documents import as_json
from aggregator.operations.evidence import EventEvidence, EvidencePart
from aggregator.queries.documents import settlement_document
from common.errors import NotFound
from fleet.queries.readings import readings_of_asset
from grid.operations.disputes import earlier_dispute, record_dispute
from grid.queries import EventView, event, settlement
from grid.queries.disputes import DisputeView


class NoParticipant(NotFound):
    """The asset takes no part in the event."""

    code = "no_participant"


@transaction.atomic
def open_dispute(
    *, event_id: int, raised_by: str, idempotency_key: str, reason: str, now: datetime, revision: int | None = None
) -> DisputeView:
    """Open a dispute about a revision (None: the latest) once per key, with a frozen copy of its evidence.

    Raises:
        EventNotFound, SettlementNotFound: there is nothing to dispute.
        InvalidInput: no reason is given.
    """
    earlier = earlier_dispute(raised_by=raised_by, idempotency_key=idempotency_key)
    if earlier is not None:
        return earlier
    disputed = event(event_id)
    settled = settlement(event_id=event_id, revision=revision, with_shares=False)
    return record_dispute(
        event_id=event_id,
        revision=settled.revision,
        raised_by=raised_by,
        idempotency_key=idempotency_key,
        reason=reason,
        evidence=_frozen(disputed, settled.revision),
        now=now,
    )


def evidence_of_asset(*, event_id: int, asset_id: int, requested_by: str | None = None) -> dict[str, Any]:
    """Everything that an asset's numbers in a settlement follow from: its readings, baseline and meter, slot by slot.

    Raises:
        EventNotFound: there is none for this caller. NoParticipant: the asset takes no part in it.
    """
    found = event(event_id, requested_by=requested_by)
    if asset_id not in found.participants:
        raise NoParticipant(f"Asset {asset_id} takes no part in event {event_id}.", field="asset_id")
    evidence = EventEvidence(found)
    (line,) = _lines(evidence, evidence.of_asset(asset_id))
    days = evidence.history_days
    return {
        "event_id": event_id,
        "baseline_rule": evidence.rule.code,
        "baseline_rule_from": evidence.rule.effective_from,
        "baseline_days": [found.starts_at - shift for shift in days.shifts] if days else [],
        "slot_starts": [slot.starts_at for slot in evidence.slots],
        **line,
    }


def _frozen(found: EventView, revision: int) -> bytes:
    """gzip of JSON lines: the document, then a line per participant; the same evidence gives the same bytes."""
    held = io.BytesIO()
    document = settlement_document(event_id=found.event_id, revision=revision)
    evidence = EventEvidence(found)
    with gzip.GzipFile(fileobj=held, mode="wb", mtime=0) as packed:
        packed.write(orjson.dumps(as_json(document)) + b"\n")
        for part in evidence.parts():
            for line in _lines(evidence, part):
                packed.write(orjson.dumps(line) + b"\n")
    return held.getvalue()


def _lines(evidence: EventEvidence, part: EvidencePart) -> Iterator[dict[str, Any]]:
    intervals = evidence.intervals()
    for row, asset_id in enumerate(part.asset_ids):
        readings: dict[datetime, Any] = {}
        for interval, slot_s in intervals:
            # a register at a boundary lies between readings that may be a slot away
            margin = timedelta(seconds=slot_s)
            for reading in readings_of_asset(
                asset_id, starts_at=interval.starts_at - margin, ends_at=interval.ends_at + margin
            ):
                readings[reading[0]] = reading
        yield {
            "asset_id": asset_id,
            "baseline_kw": [None if np.isnan(kw) else float(kw) for kw in part.baseline_kw[row]],
            "metered_kwh": [float(kwh) for kwh in part.net_kwh[row]],
            "complete": [bool(complete) for complete in part.complete[row]],
            "readings": [
                dict(zip(("measured_at", "import_kwh", "export_kwh", "power_kw", "flags"), reading, strict=True))
                for _, reading in sorted(readings.items())
            ],
        }
