"""Prices and emission factors as slots; their length is in the data and never assumed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from grid.models import EmissionFactor, PricePoint


@dataclass(frozen=True, slots=True)
class PriceSlot:
    """The price from `starts_at` to `ends_at`, in the series' currency."""

    starts_at: datetime
    ends_at: datetime
    price_per_kwh: Decimal
    currency: str = ""


@dataclass(frozen=True, slots=True)
class FactorSlot:
    """kg CO2 per kWh from `starts_at` to `ends_at`."""

    starts_at: datetime
    ends_at: datetime
    kg_per_kwh: float


def prices(*, region_id: int, starts_at: datetime, ends_at: datetime, series_code: str = "") -> list[PriceSlot]:
    """Price slots of a region that meet an interval, by start.

    Where a region has several curves, that of `series_code`, or else the one that was added last among those with a
    price in the interval: curves are never mixed.
    """
    points = PricePoint.objects.filter(series__region_id=region_id, starts_at__lt=ends_at, ends_at__gt=starts_at)
    points = points.filter(series_id=_series_id(points, series_code)).select_related("series").order_by("starts_at")
    return [PriceSlot(point.starts_at, point.ends_at, point.price_per_kwh, point.series.currency) for point in points]


def emission_factors(
    *, region_id: int, kind: str, starts_at: datetime, ends_at: datetime, series_code: str = ""
) -> list[FactorSlot]:
    """Factors of one kind (average for inventories, marginal for decisions) that meet an interval, by start.

    The two kinds are never mixed or added; neither are two curves of one kind.
    """
    points = EmissionFactor.objects.filter(
        series__region_id=region_id, series__kind=kind, starts_at__lt=ends_at, ends_at__gt=starts_at
    )
    points = points.filter(series_id=_series_id(points, series_code)).order_by("starts_at")
    return [FactorSlot(point.starts_at, point.ends_at, point.kg_per_kwh) for point in points]


def _series_id(points: Any, series_code: str) -> int | None:
    if series_code:
        points = points.filter(series__code=series_code)
    return points.order_by("-series_id").values_list("series_id", flat=True).first()
