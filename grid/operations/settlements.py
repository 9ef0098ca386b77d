"""Keeping settlements: one row per revision, with every slot and every share behind it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from grid.core.settlement import RULE_VERSION, SettlementResult, to_energy
from grid.models import Settlement, SettlementShare, SettlementStep
from grid.operations.events import mark_settled
from grid.queries.settlements import SettlementView, settlement_view

_ROWS_PER_STATEMENT = 5_000


@transaction.atomic
def record_settlement(
    *,
    event_id: int,
    result: SettlementResult,
    owner_of_asset: Mapping[int, int | None],
    baseline_method: str,
    evidence_sha256: str,
    avoided_co2_kg: Decimal,
    currency: str,
    now: datetime,
) -> SettlementView:
    """Keep a settlement as the event's next revision and mark the event settled. The caller holds the event's lock.

    Args:
        owner_of_asset: who is paid for each asset; None: the platform's own.
        evidence_sha256: fingerprint of the readings that it was computed from.
    """
    latest = Settlement.objects.filter(event_id=event_id).order_by("-revision").first()
    row = Settlement.objects.create(
        event_id=event_id,
        revision=1 if latest is None else latest.revision + 1,
        settled_at=now,
        rule_version=RULE_VERSION,
        baseline_method=baseline_method,
        evidence_sha256=evidence_sha256,
        delivered_kwh=result.delivered_kwh,
        target_kwh=result.target_kwh,
        missed_kwh=result.missed_kwh,
        energy_payment=result.energy_payment,
        capacity_payment=result.capacity_payment,
        penalty=result.penalty,
        payment=result.payment,
        avoided_co2_kg=to_energy(avoided_co2_kg),
        currency=currency,
    )
    _record_steps(row, result)
    _record_shares(row, result, owner_of_asset)
    mark_settled(event_id=event_id)
    row.refresh_from_db()  # amounts with the digits that are kept, as every later reader sees them
    return settlement_view(row)


def _record_steps(row: Settlement, result: SettlementResult) -> None:
    SettlementStep.objects.bulk_create(
        [
            SettlementStep(
                settlement=row,
                starts_at=step.starts_at,
                ends_at=step.ends_at,
                in_ramp=step.in_ramp,
                baseline_kw=step.baseline_kw,
                metered_kw=step.metered_kw,
                delivered_kw=step.delivered_kw,
                target_kw=step.target_kw,
                delivered_kwh=step.delivered_kwh,
                payment=step.payment,
            )
            for step in result.steps
        ],
        batch_size=_ROWS_PER_STATEMENT,
    )


def _record_shares(row: Settlement, result: SettlementResult, owner_of_asset: Mapping[int, int | None]) -> None:
    SettlementShare.objects.bulk_create(
        [
            SettlementShare(
                settlement=row,
                asset_id=share.asset_id,
                owner_id=owner_of_asset.get(share.asset_id),
                baseline_kwh=share.baseline_kwh,
                metered_kwh=share.metered_kwh,
                delivered_kwh=share.delivered_kwh,
                payment=share.payment,
            )
            for share in result.shares
        ],
        batch_size=_ROWS_PER_STATEMENT,
    )
