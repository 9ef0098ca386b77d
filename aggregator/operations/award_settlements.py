"""Settling awards: from meters and orders to money, once, and again when late readings change what is proven."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from aggregator.core.booking import ShareToBook, event_lines, lines_left_to_book
from aggregator.operations.history import MeterReader
from aggregator.operations.ledger import LedgerLine, book_transaction
from aggregator.queries.ledger import booked_for_award
from common.clock import Interval, require_aware
from common.errors import Conflict
from fleet.queries.assets import owners_of_assets
from grid.core.award_settlement import (
    AwardMeasures,
    AwardResult,
    AwardTerms,
    contribution_kwh,
    ordered_power,
    settle_award,
)
from grid.core.baseline import meter_before, nominated
from grid.core.carbon import FactorCurve, factors_of_slots
from grid.core.settlement import distribute_energy, to_energy
from grid.operations.awards import lock_award, record_award_settlement
from grid.queries import emission_factors
from grid.queries.awards import AwardSettlementView, AwardView, SignalView, latest_award_settlement, signals_of

Numbers = NDArray[np.float64]

# readings of so many (asset, interval) pairs are held in memory at once
VALUES_AT_ONCE = 2_000_000


class AwardNotOver(Conflict):
    """The award still runs."""

    code = "award_not_over"


class AwardCalledOff(Conflict):
    """The award was called off before it began."""

    code = "award_called_off"


@transaction.atomic
def settle_award_of(*, award_id: int, now: datetime) -> AwardSettlementView:
    """Settle an award that is over and book it. Settling again from the same readings changes nothing; changed numbers
    make a further revision, and the books get the difference.

    Raises:
        AwardNotFound: there is no such award.
        AwardCalledOff, AwardNotOver: there is nothing to settle, or not yet.
    """
    sold = lock_award(award_id)
    if sold.state == "cancelled":
        raise AwardCalledOff(f"Award {award_id} was called off.", field="award_id")
    if require_aware(now, "now") < sold.ends_at:
        raise AwardNotOver(f"Award {award_id} ends at {sold.ends_at.isoformat()}.", field="award_id", remedy="Wait.")
    terms = award_terms(sold)
    asset_ids = sorted(sold.participants)
    meters = _AwardMeters(sold, terms)
    owners = owners_of_assets(asset_ids, at=sold.starts_at)
    result = settle_award(
        terms=terms,
        measures=meters.measures,
        asset_ids=asset_ids,
        committed_kw=np.array([sold.participants[asset_id] for asset_id in asset_ids]),
        contributed_kwh=meters.contributed_kwh,
        has_owner=np.array([owners.get(asset_id) is not None for asset_id in asset_ids], dtype=bool),
    )
    avoided = distribute_energy(to_energy(float(meters.avoided_kg.sum())), meters.avoided_kg)
    before = latest_award_settlement(award_id)
    if before is not None and _same(before, result, sum(avoided, Decimal(0))):
        return before
    settled = record_award_settlement(
        award_id=award_id,
        result=result,
        owner_of_asset={asset_id: owner[0] if owner else None for asset_id, owner in owners.items()},
        evidence_sha256=meters.fingerprint,
        avoided_co2_kg=sum(avoided, Decimal(0)),
        currency=sold.currency,
        now=now,
    )
    identities = {asset_id: owner[1] if owner else "" for asset_id, owner in owners.items()}
    _book(
        sold,
        settled,
        result,
        [
            ShareToBook(share.asset_id, identities.get(share.asset_id, ""), share.payment, share.delivered_kwh, kg)
            for share, kg in zip(result.shares, avoided, strict=True)
        ],
        now,
    )
    return settled


def award_terms(sold: AwardView) -> AwardTerms:
    """The terms of an award as the rules of settlement take them."""
    product = sold.product
    interval_s = min(product.telemetry_interval_s, product.slot_s)
    return AwardTerms(
        assessment=product.assessment,
        slots=tuple(Interval(sold.starts_at, sold.ends_at).slots(product.slot_s)),
        intervals_per_slot=product.slot_s // interval_s,
        interval_s=float(interval_s),
        response_s=float(product.response_s),
        tolerance_fraction=product.tolerance_fraction,
        penalty_multiplier=product.penalty_multiplier,
        contracted_kw=sold.contracted_kw,
        capacity_price=sold.capacity_price,
        up_energy_price_per_kwh=sold.up_energy_price_per_kwh,
        down_energy_price_per_kwh=sold.down_energy_price_per_kwh,
        imbalance_price_per_kwh=sold.imbalance_price_per_kwh,
        owner_share_fraction=sold.owner_share_fraction,
        droop=product.droop,
    )


class _AwardMeters:
    """Everything measured about an award, read a batch of assets at a time."""

    def __init__(self, sold: AwardView, terms: AwardTerms) -> None:
        interval_s = round(terms.interval_s)
        intervals = len(terms.slots) * terms.intervals_per_slot
        window = Interval(sold.starts_at, sold.ends_at)
        reader = MeterReader(list(sold.participants), at_once=max(1, VALUES_AT_ONCE // intervals))
        signals = signals_of(sold.award_id)
        starts_s = np.asarray(sold.starts_at.timestamp() + terms.interval_s * np.arange(intervals), dtype=np.float64)
        slot_of = np.arange(intervals) // terms.intervals_per_slot
        baseline = _baseline(sold, reader, len(terms.slots))
        ordered = AwardMeasures(
            ordered_up_kw=_held(signals, "ordered_up_kw", starts_s, before=0.0),
            frequency_hz=_held(signals, "frequency_hz", starts_s, before=np.nan),
            limit_kw=_held(signals, "limit_kw", starts_s, before=np.nan),
            baseline_kw=np.full(intervals, np.nan),
            metered_kw=np.full(intervals, np.nan),
            available_kw=np.asarray(sold.available_kw or [sold.contracted_kw] * len(terms.slots))[slot_of],
        )
        asked = ordered_power(terms, ordered)
        marginal = np.nan_to_num(_marginal(sold, terms))[slot_of]
        totals = np.zeros((2, intervals))
        known = np.zeros(intervals, dtype=bool)
        contributed, avoided, first = [np.zeros(0)], [np.zeros(0)], 0
        for batch in reader.batches:
            metered_kw = reader.mean_kw(batch, window, interval_s)
            baseline_kw = baseline[first : first + len(batch)][:, slot_of]
            first += len(batch)
            proven = ~(np.isnan(metered_kw) | np.isnan(baseline_kw))
            known |= proven.any(axis=0)
            totals += np.stack([np.where(proven, each, 0.0).sum(axis=0) for each in (baseline_kw, metered_kw)])
            contributed.append(contribution_kwh(asked, baseline_kw, metered_kw, terms.interval_s / 3600.0))
            avoided.append(np.nan_to_num(baseline_kw - metered_kw) @ marginal * terms.interval_s / 3600.0)
        self.measures = AwardMeasures(
            ordered.ordered_up_kw,
            ordered.frequency_hz,
            ordered.limit_kw,
            np.where(known, totals[0], np.nan),
            np.where(known, totals[1], np.nan),
            ordered.available_kw,
        )
        self.contributed_kwh = np.concatenate(contributed)
        self.avoided_kg = np.concatenate(avoided)
        self.fingerprint = reader.fingerprint(sold.product.code, *[repr(signal) for signal in signals])


def _baseline(sold: AwardView, reader: MeterReader, slots: int) -> Numbers:  # [asset, slot]
    """The nominated schedule shared out by the meter before the award; without one, the meter before it."""
    window = Interval(sold.starts_at - timedelta(seconds=sold.baseline_window_s), sold.starts_at)
    read = [reader.mean_kw(batch, window, sold.baseline_window_s)[:, 0] for batch in reader.batches]
    before_kw = np.concatenate([np.zeros(0), *read])
    if not sold.planned_kw:
        return meter_before(before_kw, slots)
    return nominated(np.asarray(sold.planned_kw), before_kw, slots)


def _held(signals: list[SignalView], name: str, starts_s: Numbers, *, before: float) -> Numbers:  # [interval]
    """The value in force at every instant: the last one said, `before` where none was."""
    said = [(signal.at.timestamp(), getattr(signal, name)) for signal in signals if getattr(signal, name) is not None]
    if not said:
        return np.full(len(starts_s), before)
    at_s, values = np.array(said, dtype=np.float64).T
    last = np.searchsorted(at_s, starts_s + 1e-6, side="right") - 1
    return np.where(last >= 0, values[np.maximum(last, 0)], before)


def _marginal(sold: AwardView, terms: AwardTerms) -> Numbers:  # [slot]
    factors = emission_factors(
        region_id=sold.region_id, kind="marginal", starts_at=sold.starts_at, ends_at=sold.ends_at
    )
    if not factors:
        return np.full(len(terms.slots), np.nan)
    curve = FactorCurve(
        np.array([factor.starts_at.timestamp() for factor in factors]),
        np.array([factor.ends_at.timestamp() for factor in factors]),
        np.array([factor.kg_per_kwh for factor in factors]),
    )
    return factors_of_slots(curve, [slot.starts_at.timestamp() for slot in terms.slots] + [sold.ends_at.timestamp()])


def _same(before: AwardSettlementView, result: AwardResult, avoided: Decimal) -> bool:
    """Whether a settlement that is kept says what this one says, to the last digit that is kept."""
    names = ("up_kwh", "down_kwh", "imbalance_kwh", "capacity_payment", "energy_payment", "penalty", "payment")
    slot_names = (*names[:6], "imbalance_payment")
    return (
        all(getattr(before, name) == getattr(result, name) for name in names)
        and before.avoided_co2_kg == avoided
        and [[getattr(slot, name) for name in slot_names] for slot in before.slots]
        == [[getattr(slot, name) for name in slot_names] for slot in result.slots]
        and [(share.asset_id, share.delivered_kwh, share.payment) for share in before.shares]
        == [(share.asset_id, share.delivered_kwh, share.payment) for share in result.shares]
    )


def _book(
    sold: AwardView, settled: AwardSettlementView, result: AwardResult, shares: list[ShareToBook], now: datetime
) -> None:
    wanted = event_lines(operator=sold.requested_by, currency=sold.currency, payment=result.payment, shares=shares)
    booked = [
        ((line.account_kind, line.party, line.unit, line.asset_id), line.amount)
        for line in booked_for_award(market_award_id=sold.award_id)
    ]
    left = lines_left_to_book(wanted, booked)
    if not left:
        return
    first = settled.revision == 1
    book_transaction(
        idempotency_key=f"award:{sold.award_id}:{settled.revision}",
        kind="settlement" if first else "correction",
        occurred_at=sold.starts_at,
        description=f"{'' if first else 'correction: '}{sold.contracted_kw:g} kW, {sold.product.code}",
        lines=[
            LedgerLine(kind, party, unit, amount, asset_id)
            for (kind, party, unit, asset_id), amount in sorted(
                left.items(), key=lambda item: (*item[0][:3], item[0][3] or 0)
            )
        ],
        now=now,
        market_award_id=sold.award_id,
    )
