"""Settling events: from meters to money, once, and again when late readings change what is proven."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from aggregator.core.booking import LineKey, ShareToBook, event_lines, lines_left_to_book
from aggregator.operations.evidence import EventEvidence
from aggregator.operations.ledger import LedgerLine, book_transaction
from aggregator.queries.ledger import booked_for_event
from common.clock import Interval, require_aware
from common.errors import Conflict
from fleet.queries.assets import owners_of_assets
from grid.core.carbon import FactorCurve, avoided_kg, factors_of_slots
from grid.core.settlement import (
    Contribution,
    SettlementResult,
    SettlementTerms,
    combine,
    condense,
    distribute_energy,
    settle_contribution,
    to_energy,
)
from grid.operations.events import lock_event
from grid.operations.settlements import record_settlement
from grid.queries import EventView, SettlementView, emission_factors, latest_settlement
from grid.queries.baseline_rules import evidence_complete_at
from grid.queries.events import METERS_REPORT_WITHIN

Owners = Mapping[int, tuple[int, str] | None]


class EventNotOver(Conflict):
    """The event still runs, or its meters have not reported yet."""

    code = "event_not_over"


class EventCancelled(Conflict):
    """The event was called off before it started: there is nothing to settle."""

    code = "event_cancelled"


@transaction.atomic
def settle_event(*, event_id: int, now: datetime) -> SettlementView:
    """Settle an event that is over and book it. Settling again from the same readings changes nothing.

    When readings that came later change any number, a further revision is kept and the books get the difference as a
    correction; what was booked stays. Two workers settle one after the other, and a crash leaves nothing half-booked.

    Raises:
        EventNotFound: there is no such event.
        EventCancelled: it was called off before its start.
        EventNotOver: it has not ended.
    """
    event = lock_event(event_id)
    if event.state == "cancelled":
        raise EventCancelled(f"Event {event_id} was called off.", field="event_id")
    complete_at = evidence_complete_at(event) - METERS_REPORT_WITHIN
    if require_aware(now, "now") < complete_at:
        raise EventNotOver(
            f"Event {event_id} ends at {event.ends_at.isoformat()} and can be settled from {complete_at.isoformat()} on.",
            field="event_id",
            remedy="Wait.",
        )
    evidence = EventEvidence(event)
    owners: Owners = owners_of_assets(evidence.asset_ids, at=event.starts_at)
    terms = settlement_terms(event)
    contribution, avoided = condensed(event, terms, evidence)
    result = settle_contribution(
        terms=terms,
        contribution=contribution,
        has_owner=np.array([owners.get(asset_id) is not None for asset_id in evidence.asset_ids], dtype=bool),
    )
    before = latest_settlement(event_id, with_shares=True)
    if before is not None and _same(before, result, sum(avoided, Decimal(0))):
        return before
    settled = record_settlement(
        event_id=event_id,
        result=result,
        owner_of_asset={asset_id: owner[0] if owner else None for asset_id, owner in owners.items()},
        baseline_method=evidence.rule.code,
        evidence_sha256=evidence.fingerprint(),
        avoided_co2_kg=sum(avoided, Decimal(0)),
        currency=event.currency,
        now=now,
    )
    _book(event, settled, result, avoided, owners, now)
    return settled


def settlement_terms(event: EventView) -> SettlementTerms:
    """The terms of an event as the rules of settlement take them."""
    return SettlementTerms(
        direction=event.direction,
        target_kw=event.target_kw,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        slot_s=event.slot_s,
        ramp_s=event.ramp_s,
        energy_price_per_kwh=event.energy_price_per_kwh,
        capacity_price_per_kw=event.capacity_price_per_kw,
        missed_price_per_kwh=event.missed_price_per_kwh,
        tolerance_fraction=event.tolerance_fraction,
        owner_share_fraction=event.owner_share_fraction,
    )


def condensed(event: EventView, terms: SettlementTerms, evidence: EventEvidence) -> tuple[Contribution, list[Decimal]]:
    """What the participants' meters come to, and what each one's part avoided in kg CO2; read a batch at a time."""
    marginal = marginal_factors(event)
    slot_h = np.array([slot.duration_s for slot in evidence.slots]) / 3600.0
    parts, kg = [], [np.zeros(0)]
    for part in evidence.parts():
        parts.append(
            condense(
                terms=terms,
                asset_ids=part.asset_ids,
                baseline_kw=part.baseline_kw,
                net_kwh=part.net_kwh,
                complete=part.complete,
            )
        )
        proven = part.complete & ~np.isnan(part.baseline_kw)
        baseline_kwh = np.where(proven, np.nan_to_num(part.baseline_kw) * slot_h, 0.0)
        kg.append(avoided_kg(baseline_kwh, np.where(proven, part.net_kwh, 0.0), marginal))
    avoided = np.concatenate(kg)
    return combine(terms, parts), distribute_energy(to_energy(float(avoided.sum())), avoided)


def marginal_factors(event: EventView) -> NDArray[np.float64]:  # [slot]
    """The region's marginal factor of each settlement slot; NaN where the region has none."""
    slots = Interval(event.starts_at, event.ends_at).slots(event.slot_s)
    factors = emission_factors(
        region_id=event.region_id, kind="marginal", starts_at=event.starts_at, ends_at=event.ends_at
    )
    if not factors:
        return np.full(len(slots), np.nan)
    return factors_of_slots(
        FactorCurve(
            np.array([factor.starts_at.timestamp() for factor in factors]),
            np.array([factor.ends_at.timestamp() for factor in factors]),
            np.array([factor.kg_per_kwh for factor in factors]),
        ),
        [slot.starts_at.timestamp() for slot in slots] + [event.ends_at.timestamp()],
    )


def _same(before: SettlementView, result: SettlementResult, avoided: Decimal) -> bool:
    """Whether a settlement that is kept says what this one says, to the last digit that is kept."""
    totals = (
        (before.delivered_kwh, result.delivered_kwh),
        (before.target_kwh, result.target_kwh),
        (before.missed_kwh, result.missed_kwh),
        (before.payment, result.payment),
        (before.penalty, result.penalty),
        (before.avoided_co2_kg, avoided),
    )
    steps = [(step.starts_at, step.delivered_kwh, step.payment) for step in before.steps]
    shares = {share.asset_id: (share.delivered_kwh, share.payment) for share in before.shares}
    return (
        all(kept == found for kept, found in totals)
        and steps == [(step.starts_at, step.delivered_kwh, step.payment) for step in result.steps]
        and shares == {share.asset_id: (share.delivered_kwh, share.payment) for share in result.shares}
    )


def _book(
    event: EventView,
    settled: SettlementView,
    result: SettlementResult,
    avoided: list[Decimal],
    owners: Owners,
    now: datetime,
) -> None:
    identities = {asset_id: owner[1] if owner else "" for asset_id, owner in owners.items()}
    wanted = event_lines(
        operator=event.requested_by,
        currency=event.currency,
        payment=result.payment,
        shares=[
            ShareToBook(share.asset_id, identities.get(share.asset_id, ""), share.payment, share.delivered_kwh, kg)
            for share, kg in zip(result.shares, avoided, strict=True)
        ],
    )
    booked = [
        ((line.account_kind, line.party, line.unit, line.asset_id), line.amount)
        for line in booked_for_event(grid_event_id=event.event_id)
    ]
    left = lines_left_to_book(wanted, booked)
    if not left:
        return
    first = settled.revision == 1
    verb = "reduction" if event.direction == "reduce" else "increase"
    book_transaction(
        idempotency_key=f"settlement:{event.event_id}:{settled.revision}",
        kind="settlement" if first else "correction",
        occurred_at=event.starts_at,
        description=f"{'' if first else 'correction: '}{verb} of {event.target_kw:g} kW, {event.programme_code}",
        lines=[_line(key, amount) for key, amount in sorted(left.items(), key=_order)],
        now=now,
        grid_event_id=event.event_id,
    )


def _line(key: LineKey, amount: Decimal) -> LedgerLine:
    kind, party, unit, asset_id = key
    return LedgerLine(kind, party, unit, amount, asset_id)


def _order(item: tuple[LineKey, Decimal]) -> tuple[str, str, str, int]:
    (kind, party, unit, asset_id), _ = item
    return kind, party, unit, asset_id or 0
