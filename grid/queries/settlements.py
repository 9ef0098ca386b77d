"""Settlements as plain data: what an event delivered, what it earned, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Exists, OuterRef

from common.errors import NotFound
from grid.models import Settlement, SettlementShare


class SettlementNotFound(NotFound):
    """The event is not settled yet, or has no such revision."""

    code = "settlement_not_found"


@dataclass(frozen=True, slots=True)
class SettlementStepView:
    """One slot. Powers are means over it, signed as at the meter; `delivered_kw` is positive in the direction asked."""

    starts_at: datetime
    ends_at: datetime
    in_ramp: bool
    baseline_kw: float
    metered_kw: float
    delivered_kw: float
    target_kw: float
    delivered_kwh: Decimal
    payment: Decimal


@dataclass(frozen=True, slots=True)
class SettlementShareView:
    """What one asset contributed, and what its owner gets for it; no owner: the platform's own."""

    asset_id: int
    owner_id: int | None
    baseline_kwh: float
    metered_kwh: float
    delivered_kwh: Decimal
    payment: Decimal


@dataclass(frozen=True, slots=True)
class SettlementView:
    """One revision of an event's settlement."""

    settlement_id: int
    event_id: int
    revision: int
    settled_at: datetime
    rule_version: str
    baseline_method: str
    evidence_sha256: str
    delivered_kwh: Decimal
    target_kwh: Decimal
    missed_kwh: Decimal
    energy_payment: Decimal
    capacity_payment: Decimal
    penalty: Decimal
    payment: Decimal
    avoided_co2_kg: Decimal
    currency: str
    steps: tuple[SettlementStepView, ...]
    shares: tuple[SettlementShareView, ...]


def settlement_view(row: Settlement, *, with_shares: bool = True) -> SettlementView:
    """A row with its steps and, if wanted, its shares."""
    steps = tuple(
        SettlementStepView(
            step.starts_at,
            step.ends_at,
            step.in_ramp,
            step.baseline_kw,
            step.metered_kw,
            step.delivered_kw,
            step.target_kw,
            step.delivered_kwh,
            step.payment,
        )
        for step in sorted(row.steps.all(), key=lambda step: step.starts_at)
    )
    shares = tuple(_share_view(share) for share in row.shares.order_by("asset_id")) if with_shares else ()
    return SettlementView(
        settlement_id=row.pk,
        event_id=row.event_id,
        revision=row.revision,
        settled_at=row.settled_at,
        rule_version=row.rule_version,
        baseline_method=row.baseline_method,
        evidence_sha256=row.evidence_sha256,
        delivered_kwh=row.delivered_kwh,
        target_kwh=row.target_kwh,
        missed_kwh=row.missed_kwh,
        energy_payment=row.energy_payment,
        capacity_payment=row.capacity_payment,
        penalty=row.penalty,
        payment=row.payment,
        avoided_co2_kg=row.avoided_co2_kg,
        currency=row.currency,
        steps=steps,
        shares=shares,
    )


def settlement(*, event_id: int, revision: int | None = None, with_shares: bool = True) -> SettlementView:
    """A revision of an event's settlement; None: the latest.

    Raises:
        SettlementNotFound: there is none.
    """
    rows = Settlement.objects.filter(event_id=event_id).order_by("-revision")
    row = (rows if revision is None else rows.filter(revision=revision)).first()
    if row is None:
        raise SettlementNotFound(
            f"Event {event_id} has no settlement{'' if revision is None else f' of revision {revision}'}.",
            field="event_id",
            remedy="It is settled shortly after its end, when the meters have reported.",
        )
    return settlement_view(row, with_shares=with_shares)


def latest_settlement(event_id: int, *, with_shares: bool = False) -> SettlementView | None:
    """The latest revision of an event's settlement; None before it is settled."""
    try:
        return settlement(event_id=event_id, with_shares=with_shares)
    except SettlementNotFound:
        return None


def settlements_page(*, requested_by: str, before_id: int | None, limit: int) -> list[SettlementView]:
    """The latest settlements of an operator's events without their shares, newest first, below an identifier."""
    superseded = Settlement.objects.filter(event=OuterRef("event"), revision__gt=OuterRef("revision"))
    rows = Settlement.objects.filter(~Exists(superseded), event__requested_by=requested_by)
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    return [settlement_view(row, with_shares=False) for row in rows.prefetch_related("steps").order_by("-pk")[:limit]]


def shares_page(*, settlement_id: int, after_asset_id: int, limit: int) -> list[SettlementShareView]:
    """Shares of a settlement by asset, above an asset identifier."""
    rows = SettlementShare.objects.filter(settlement_id=settlement_id, asset_id__gt=after_asset_id)
    return [_share_view(share) for share in rows.order_by("asset_id")[:limit]]


def shares_of_owner(
    *, owner_id: int, starts_at: datetime, ends_at: datetime
) -> list[tuple[int, datetime, SettlementShareView]]:
    """An owner's shares in the latest settlements of events that began in an interval: (event, its start, share)."""
    rows = (
        SettlementShare.objects.filter(
            owner_id=owner_id,
            settlement__event__starts_at__gte=starts_at,
            settlement__event__starts_at__lt=ends_at,
        )
        .select_related("settlement__event")
        .order_by("settlement__event__starts_at", "asset_id", "settlement__revision")
    )
    latest: dict[tuple[int, int], tuple[int, datetime, SettlementShareView]] = {}
    for row in rows:
        happened = row.settlement.event
        latest[(happened.pk, row.asset_id)] = (happened.pk, happened.starts_at, _share_view(row))
    return list(latest.values())


def _share_view(share: SettlementShare) -> SettlementShareView:
    return SettlementShareView(
        share.asset_id,
        share.owner_id,
        share.baseline_kwh,
        share.metered_kwh,
        share.delivered_kwh,
        share.payment,
    )
