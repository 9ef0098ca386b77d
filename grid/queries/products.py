"""Market products as plain data: the rules that hold at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from common.errors import NotFound
from grid.core.compliance import DroopCurve
from grid.models import MarketProduct


class UnknownProduct(NotFound):
    """No product of that code at that time."""

    code = "unknown_product"


@dataclass(frozen=True, slots=True)
class ProductView:
    """One product's rules; see `grid.models.MarketProduct` for the meaning of each field."""

    product_id: int
    code: str
    name: str
    market: str
    zone: str
    effective_from: datetime
    assessment: str
    direction: str
    symmetric: bool
    response_s: int
    duration_s: int
    slot_s: int
    min_bid_kw: float
    bid_step_kw: float | None
    notice_s: int | None
    calls_per_year: int | None
    telemetry_interval_s: int
    tolerance_fraction: float
    penalty_multiplier: float
    price_cap: Decimal | None
    currency: str
    nominal_hz: float | None
    deadband_hz: float | None
    full_activation_hz: float | None
    endurance_s: int | None
    source: str
    unverified: tuple[str, ...]

    @property
    def verified(self) -> bool:
        """Whether every field was confirmed against the primary text."""
        return not self.unverified

    @property
    def droop(self) -> DroopCurve | None:
        """The droop that the product is judged by; None: it has none."""
        if self.assessment != "droop" or not self.nominal_hz or not self.full_activation_hz:
            return None
        return DroopCurve(self.nominal_hz, self.deadband_hz or 0.0, self.full_activation_hz)


def product_view(row: MarketProduct) -> ProductView:
    """A row as plain data."""
    fields = {name: getattr(row, name) for name in ProductView.__slots__ if name != "product_id"}
    return ProductView(product_id=row.pk, **{**fields, "unverified": tuple(row.unverified)})


def product_on(code: str, at: datetime) -> ProductView:
    """The rules of a product that hold at an instant.

    Raises:
        UnknownProduct: there is none of that code at that time.
    """
    row = MarketProduct.objects.filter(code=code, effective_from__lte=at).order_by("-effective_from").first()
    if row is None:
        known = ", ".join(MarketProduct.objects.order_by("code").values_list("code", flat=True).distinct())
        raise UnknownProduct(
            f"There is no product {code!r} at {at.isoformat()}.",
            field="product",
            remedy=f"Known are {known or 'none'}.",
        )
    return product_view(row)


def current_products(at: datetime) -> list[ProductView]:
    """Every product with the rules that hold at an instant, by code."""
    rows = MarketProduct.objects.filter(effective_from__lte=at).order_by("code", "-effective_from").distinct("code")
    return [product_view(row) for row in rows]
