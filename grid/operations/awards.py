"""Awards: recording what was sold and what was ordered, calling it off, and keeping its settlement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from common.clock import require_aware
from common.errors import Conflict, InvalidInput
from fleet.queries.places import region_by_code
from grid.core.award_settlement import RULE_VERSION, AwardResult
from grid.models import (
    AwardSettlement,
    AwardSettlementSlot,
    AwardShare,
    AwardSignal,
    AwardState,
    MarketAward,
)
from grid.queries.awards import (
    AwardNotFound,
    AwardSettlementView,
    AwardView,
    SignalView,
    award_settlement_view,
    award_view,
)
from grid.queries.products import ProductView, product_on

BATCH = 5_000


class AwardDiffers(Conflict):
    """The reference was recorded before with other terms."""

    code = "award_differs"


class AwardOver(Conflict):
    """The award is settled or over."""

    code = "award_over"


@dataclass(frozen=True, slots=True)
class AwardInput:
    """What a market awarded; see `grid.models.MarketAward` for the meaning of each field."""

    product_code: str
    region_code: str
    requested_by: str
    reference: str
    starts_at: datetime
    ends_at: datetime
    capacity_price: Decimal
    up_kw: float = 0.0
    down_kw: float = 0.0
    up_energy_price_per_kwh: Decimal = Decimal(0)
    down_energy_price_per_kwh: Decimal = Decimal(0)
    imbalance_price_per_kwh: Decimal = Decimal(0)
    owner_share_fraction: Decimal = Decimal("0.8")
    baseline_window_s: int = 900


def record_award(*, given: AwardInput, now: datetime) -> AwardView:
    """Record an award once per reference; the product's rules that hold at its start apply to it for good.

    Raises:
        UnknownProduct, InvalidInput: the award breaks a rule of its product; the field is named.
        AwardDiffers: the reference was recorded with other terms.
    """
    require_aware(given.starts_at, "starts_at")
    require_aware(given.ends_at, "ends_at")
    product = product_on(given.product_code, given.starts_at)
    _check(given, product)
    plain = {name: value for name, value in asdict(given).items() if name not in ("product_code", "region_code")}
    with transaction.atomic():
        row, created = MarketAward.objects.get_or_create(
            requested_by=given.requested_by,
            reference=given.reference,
            defaults={
                **plain,
                "product_id": product.product_id,
                "region_id": region_by_code(given.region_code).region_id,
                "currency": product.currency,
                "recorded_at": now,
            },
        )
        if not created:
            differing = [name for name, value in plain.items() if getattr(row, name) != value]
            if differing or row.product_id != product.product_id:
                raise AwardDiffers(
                    f"{given.reference!r} was recorded with another {differing[0] if differing else 'product'}.",
                    field="reference",
                    remedy="Send a new reference with a new award.",
                )
    return _loaded(row.pk)


def commit_participants(
    *,
    award_id: int,
    committed_kw: Mapping[int, float],
    planned_kw: Sequence[float] = (),
    available_kw: Sequence[float] = (),
) -> AwardView:
    """Keep which assets stand for an award with how much, the schedule nominated for them, and what was available.

    Raises:
        AwardNotFound: there is none. AwardOver: it is settled. InvalidInput: a number is missing or negative.
    """
    with transaction.atomic():
        row = _locked(award_id)
        slots = round((row.ends_at - row.starts_at).total_seconds() / row.product.slot_s)
        for name, values in (("planned_kw", planned_kw), ("available_kw", available_kw)):
            if values and len(values) != slots:
                raise InvalidInput(f"has {len(values)} values.", field=name, remedy=f"Give one per slot: {slots}.")
        if any(not kw >= 0 for kw in committed_kw.values()):
            raise InvalidInput("is negative or no number.", field="committed_kw", remedy="Give kW, zero or more.")
        row.participants = {str(asset_id): float(kw) for asset_id, kw in committed_kw.items()}
        row.planned_kw, row.available_kw = list(planned_kw), list(available_kw)
        row.save(update_fields=["participants", "planned_kw", "available_kw"])
    return _loaded(award_id)


def record_signals(*, award_id: int, signals: Sequence[SignalView]) -> int:
    """Keep what a market said; the same instant again changes nothing. Returns how many were new.

    Raises:
        AwardNotFound: there is none. InvalidInput: an instant has no time zone, or a value is no number.
    """
    for signal in signals:
        require_aware(signal.at, "at")
        for name in ("ordered_up_kw", "frequency_hz", "limit_kw"):
            value = getattr(signal, name)
            if value is not None and not math.isfinite(value):
                raise InvalidInput(f"{value} is no number.", field=name, remedy="Leave it out if it is not known.")
    with transaction.atomic():
        _locked(award_id)
        before = AwardSignal.objects.filter(award_id=award_id).count()
        AwardSignal.objects.bulk_create(
            [AwardSignal(award_id=award_id, **asdict(signal)) for signal in signals],
            ignore_conflicts=True,
            batch_size=BATCH,
        )
        return AwardSignal.objects.filter(award_id=award_id).count() - before


def cancel_award(*, award_id: int, now: datetime) -> AwardView:
    """Call an award off before its start.

    Raises:
        AwardNotFound: there is none. AwardOver: it has begun or is settled.
    """
    with transaction.atomic():
        row = _locked(award_id)
        if row.starts_at <= now:
            raise AwardOver(f"Award {award_id} began at {row.starts_at.isoformat()}.", field="award_id")
        row.state = AwardState.CANCELLED
        row.save(update_fields=["state"])
    return _loaded(award_id)


def lock_award(award_id: int) -> AwardView:
    """Hold an award until the end of the transaction, so that two workers never settle it at once."""
    if MarketAward.objects.select_for_update().filter(pk=award_id).first() is None:
        raise AwardNotFound(f"There is no award {award_id}.", field="award_id")
    return _loaded(award_id)


@transaction.atomic
def record_award_settlement(
    *,
    award_id: int,
    result: AwardResult,
    owner_of_asset: Mapping[int, int | None],
    evidence_sha256: str,
    avoided_co2_kg: Decimal,
    currency: str,
    now: datetime,
) -> AwardSettlementView:
    """Keep a settlement as the award's next revision and mark it settled. The caller holds the award's lock."""
    revision = AwardSettlement.objects.filter(award_id=award_id).count() + 1
    totals = {
        field.name: getattr(result, field.name)
        for field in fields(AwardResult)
        if field.name not in ("slots", "shares", "platform_payment")
    }
    row = AwardSettlement.objects.create(
        award_id=award_id,
        revision=revision,
        settled_at=now,
        rule_version=RULE_VERSION,
        evidence_sha256=evidence_sha256,
        avoided_co2_kg=avoided_co2_kg,
        currency=currency,
        **totals,
    )
    AwardSettlementSlot.objects.bulk_create(
        [AwardSettlementSlot(settlement=row, **asdict(slot)) for slot in result.slots], batch_size=BATCH
    )
    AwardShare.objects.bulk_create(
        [
            AwardShare(settlement=row, owner_id=owner_of_asset.get(share.asset_id), **asdict(share))
            for share in result.shares
        ],
        batch_size=BATCH,
    )
    MarketAward.objects.filter(pk=award_id).update(state=AwardState.SETTLED)
    row.refresh_from_db()
    return award_settlement_view(row)


def _locked(award_id: int) -> MarketAward:
    row = MarketAward.objects.select_for_update(of=("self",)).select_related("product").filter(pk=award_id).first()
    if row is None:
        raise AwardNotFound(f"There is no award {award_id}.", field="award_id")
    if row.state == AwardState.SETTLED:
        raise AwardOver(f"Award {award_id} is settled.", field="award_id", remedy="Dispute its settlement instead.")
    return row


def _loaded(award_id: int) -> AwardView:
    return award_view(MarketAward.objects.select_related("product").get(pk=award_id))


def _check(given: AwardInput, product: ProductView) -> None:
    def refuse(field: str, message: str, remedy: str) -> None:
        raise InvalidInput(message, field=field, remedy=remedy)

    duration_s = (given.ends_at - given.starts_at).total_seconds()
    if duration_s <= 0 or duration_s % product.slot_s:
        refuse("ends_at", f"{duration_s:g} s is no whole number of slots.", f"Give a multiple of {product.slot_s} s.")
    for field, kw in (("up_kw", given.up_kw), ("down_kw", given.down_kw)):
        if not math.isfinite(kw) or kw < 0:
            refuse(field, f"{kw} is no power.", "Give kW, zero or more.")
    if product.symmetric and given.up_kw != given.down_kw:
        refuse("down_kw", "The product is symmetric.", "Give the same power up and down.")
    if not product.symmetric and (given.up_kw > 0) == (given.down_kw > 0):
        refuse("up_kw", "The product is bought in one direction at a time.", "Give either up_kw or down_kw.")
    if (product.direction == "up" and given.down_kw) or (product.direction == "down" and given.up_kw):
        refuse("down_kw", f"The product is bought {product.direction} only.", f"Give {product.direction}_kw.")
    if max(given.up_kw, given.down_kw) < product.min_bid_kw:
        refuse("up_kw", "It is less than the smallest bid.", f"Give at least {product.min_bid_kw:g} kW.")
    if given.capacity_price < 0 or (product.price_cap is not None and given.capacity_price > product.price_cap):
        refuse("capacity_price", f"{given.capacity_price} is out of range.", f"Give 0 to {product.price_cap}.")
