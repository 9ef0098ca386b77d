"""Awards as plain data: what was sold, what was ordered, how it was settled."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal

from common.errors import NotFound
from grid.core.award_settlement import AwardSlot
from grid.models import AwardSettlement, AwardSignal, AwardState, MarketAward
from grid.queries.events import METERS_REPORT_WITHIN
from grid.queries.products import ProductView, product_view


class AwardNotFound(NotFound):
    """No such award, or another operator's."""

    code = "award_not_found"


@dataclass(frozen=True, slots=True)
class AwardView:
    """One award; see `grid.models.MarketAward` for the meaning of each field."""

    award_id: int
    product: ProductView
    region_id: int
    requested_by: str
    reference: str
    starts_at: datetime
    ends_at: datetime
    up_kw: float
    down_kw: float
    capacity_price: Decimal
    up_energy_price_per_kwh: Decimal
    down_energy_price_per_kwh: Decimal
    imbalance_price_per_kwh: Decimal
    owner_share_fraction: Decimal
    currency: str
    baseline_window_s: int
    state: str
    participants: dict[int, float]
    planned_kw: tuple[float, ...]
    available_kw: tuple[float, ...]

    @property
    def contracted_kw(self) -> float:
        """The power that was sold, in the direction that it was sold for."""
        return max(self.up_kw, self.down_kw)


@dataclass(frozen=True, slots=True)
class SignalView:
    """What the market said at an instant; None: it did not say."""

    at: datetime
    ordered_up_kw: float | None
    frequency_hz: float | None
    limit_kw: float | None


@dataclass(frozen=True, slots=True)
class AwardShareView:
    """One asset's part; see `grid.models.AwardShare`."""

    asset_id: int
    owner_id: int | None
    committed_kw: float
    delivered_kwh: Decimal
    payment: Decimal


@dataclass(frozen=True, slots=True)
class AwardSettlementView:
    """One revision of an award's settlement."""

    award_id: int
    revision: int
    settled_at: datetime
    rule_version: str
    evidence_sha256: str
    compliant_fraction: float
    up_kwh: Decimal
    down_kwh: Decimal
    imbalance_kwh: Decimal
    capacity_payment: Decimal
    energy_payment: Decimal
    imbalance_payment: Decimal
    penalty: Decimal
    payment: Decimal
    avoided_co2_kg: Decimal
    currency: str
    slots: tuple[AwardSlot, ...]
    shares: tuple[AwardShareView, ...]


def award_view(row: MarketAward) -> AwardView:
    """A row, with its product loaded, as plain data."""
    plain = {field.name: getattr(row, field.name) for field in fields(AwardView) if hasattr(row, field.name)}
    return AwardView(
        **{
            **plain,
            "award_id": row.pk,
            "product": product_view(row.product),
            "participants": {int(asset_id): float(kw) for asset_id, kw in row.participants.items()},
            "planned_kw": tuple(row.planned_kw),
            "available_kw": tuple(row.available_kw),
        }
    )


def award(award_id: int, *, requested_by: str | None = None) -> AwardView:
    """One award; with `requested_by` only if it is that operator's.

    Raises:
        AwardNotFound: there is no such award for this caller.
    """
    rows = MarketAward.objects.select_related("product").filter(pk=award_id)
    if requested_by is not None:
        rows = rows.filter(requested_by=requested_by)
    row = rows.first()
    if row is None:
        raise AwardNotFound(f"There is no award {award_id}.", field="award_id")
    return award_view(row)


def award_of_reference(*, requested_by: str, reference: str) -> AwardView:
    """The award that a market knows by a reference.

    Raises:
        AwardNotFound: there is none.
    """
    row = MarketAward.objects.select_related("product").filter(requested_by=requested_by, reference=reference).first()
    if row is None:
        raise AwardNotFound(f"There is no award {reference!r}.", field="reference", remedy="Record the award first.")
    return award_view(row)


def awards_to_settle(*, now: datetime) -> list[AwardView]:
    """Awards that are over and whose meters have had time to report, not settled yet; oldest first."""
    rows = MarketAward.objects.select_related("product").filter(
        state=AwardState.AWARDED, ends_at__lte=now - METERS_REPORT_WITHIN
    )
    return [award_view(row) for row in rows.order_by("ends_at", "pk")]


def signals_of(award_id: int) -> list[SignalView]:
    """Everything that the market said about an award, oldest first."""
    rows = AwardSignal.objects.filter(award_id=award_id).order_by("at")
    return [SignalView(*row) for row in rows.values_list("at", "ordered_up_kw", "frequency_hz", "limit_kw")]


def latest_award_settlement(award_id: int) -> AwardSettlementView | None:
    """The latest revision of an award's settlement; None before it is settled."""
    row = AwardSettlement.objects.filter(award_id=award_id).order_by("-revision").first()
    return None if row is None else award_settlement_view(row)


def award_settlement_view(row: AwardSettlement) -> AwardSettlementView:
    """A row with its slots and shares."""
    slot_names = [field.name for field in fields(AwardSlot)]
    share_names = [field.name for field in fields(AwardShareView)]
    plain = {field.name: getattr(row, field.name) for field in fields(AwardSettlementView) if hasattr(row, field.name)}
    return AwardSettlementView(
        **{
            **plain,
            "slots": tuple(AwardSlot(*values) for values in row.slots.order_by("starts_at").values_list(*slot_names)),
            "shares": tuple(
                AwardShareView(*values) for values in row.shares.order_by("asset_id").values_list(*share_names)
            ),
        }
    )
