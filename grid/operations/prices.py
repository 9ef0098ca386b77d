"""Recording prices and emission factors: what a series held in the same time is replaced, so that no slots overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from common.clock import require_aware
from common.errors import Conflict, InvalidInput
from grid.models import EmissionFactor, EmissionFactorSeries, FactorKind, PricePoint, PriceSeries

BATCH = 5000


class SeriesDiffers(Conflict):
    """A series of this code exists with other terms."""

    code = "series_differs"


@dataclass(frozen=True, slots=True)
class PriceInput:
    """The price from `starts_at` to `ends_at`, in the series' currency per kWh; may be negative."""

    starts_at: datetime
    ends_at: datetime
    price_per_kwh: float


@dataclass(frozen=True, slots=True)
class FactorInput:
    """kg CO2 per kWh from `starts_at` to `ends_at`."""

    starts_at: datetime
    ends_at: datetime
    kg_per_kwh: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many slots were recorded, and how many of earlier recordings gave way to them."""

    slots: int
    replaced: int


@transaction.atomic
def record_prices(
    *, series_code: str, region_id: int, currency: str, source: str, points: Sequence[PriceInput]
) -> Recorded:
    """Record prices of one series, making it if need be. Slots of any length that meet the new ones give way to them.

    Raises:
        InvalidInput: a slot is empty, overlaps another, or has no number.
        SeriesDiffers: the series belongs to another region or currency.
    """
    _check_slots([(point.starts_at, point.ends_at, point.price_per_kwh) for point in points], "price_per_kwh")
    series, _ = PriceSeries.objects.select_for_update().get_or_create(
        code=series_code, defaults={"region_id": region_id, "currency": currency, "source": source}
    )
    if (series.region_id, series.currency) != (region_id, currency):
        raise SeriesDiffers(
            f"{series_code} is a series of another region or currency ({series.currency}).",
            field="series_code",
            remedy="Choose another code.",
        )
    rows = [
        PricePoint(
            series=series,
            starts_at=point.starts_at,
            ends_at=point.ends_at,
            price_per_kwh=f"{point.price_per_kwh:.6f}",
        )
        for point in points
    ]
    replaced = _make_room(PricePoint.objects.filter(series=series), points)
    PricePoint.objects.bulk_create(rows, batch_size=BATCH)
    return Recorded(len(rows), replaced)


@transaction.atomic
def record_factors(
    *, series_code: str, region_id: int, kind: str, source: str, points: Sequence[FactorInput]
) -> Recorded:
    """Record emission factors of one series, making it if need be. Slots that meet the new ones give way to them.

    Raises:
        InvalidInput: the kind is neither average nor marginal; a slot is empty, overlaps another, or is no factor.
        SeriesDiffers: the series belongs to another region or is of another kind.
    """
    if kind not in FactorKind.values:
        raise InvalidInput(f"{kind!r} is no kind of factor.", field="kind", remedy="Give average or marginal.")
    _check_slots([(point.starts_at, point.ends_at, point.kg_per_kwh) for point in points], "kg_per_kwh")
    series, _ = EmissionFactorSeries.objects.select_for_update().get_or_create(
        code=series_code, defaults={"region_id": region_id, "kind": kind, "source": source}
    )
    if (series.region_id, series.kind) != (region_id, kind):
        raise SeriesDiffers(
            f"{series_code} is a series of another region or kind ({series.kind}).",
            field="series_code",
            remedy="Choose another code: average and marginal factors are never mixed.",
        )
    rows = [
        EmissionFactor(series=series, starts_at=point.starts_at, ends_at=point.ends_at, kg_per_kwh=point.kg_per_kwh)
        for point in points
    ]
    replaced = _make_room(EmissionFactor.objects.filter(series=series), points)
    EmissionFactor.objects.bulk_create(rows, batch_size=BATCH)
    return Recorded(len(rows), replaced)


def _make_room(held: QuerySet, points: Sequence[PriceInput] | Sequence[FactorInput]) -> int:
    """Delete the slots that meet the new ones, one unbroken stretch of new slots at a time; returns how many."""
    deleted = 0
    ordered: list[PriceInput | FactorInput] = sorted(points, key=lambda point: point.starts_at)
    breaks = [i for i in range(1, len(ordered)) if ordered[i].starts_at != ordered[i - 1].ends_at]
    for first, after in zip([0, *breaks], [*breaks, len(ordered)], strict=True):
        stretch = ordered[first:after]
        if stretch:
            low, high = stretch[0].starts_at, stretch[-1].ends_at
            deleted += held.filter(starts_at__lt=high, ends_at__gt=low).delete()[0]
    return deleted


def _check_slots(slots: Sequence[tuple[datetime, datetime, float]], field: str) -> None:
    previous_end: datetime | None = None
    for starts_at, ends_at, value in sorted(slots, key=lambda slot: slot[0]):
        require_aware(starts_at, "starts_at")
        require_aware(ends_at, "ends_at")
        if ends_at <= starts_at or (previous_end is not None and starts_at < previous_end):
            raise InvalidInput(
                f"the slot from {starts_at.isoformat()} is empty or overlaps the one before.",
                field="starts_at",
                remedy="Give each slot once, with its end after its start.",
            )
        if not math.isfinite(value):
            raise InvalidInput(
                f"the slot from {starts_at.isoformat()} has no number.", field=field, remedy="Leave the slot out."
            )
        previous_end = ends_at
