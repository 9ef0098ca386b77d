"""Programmes as plain data: the terms that hold at an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from common.errors import NotFound
from grid.models import Programme


class UnknownProgramme(NotFound):
    """No programme of that code, or not yet at that time."""

    code = "unknown_programme"


@dataclass(frozen=True, slots=True)
class ProgrammeView:
    """The terms of a programme. Prices are in `currency`, capacities in kW."""

    programme_id: int
    code: str
    name: str
    region_id: int
    region_code: str
    effective_from: datetime
    allows_reduction: bool
    allows_increase: bool
    min_kw: float
    max_kw: float
    notice_s: int
    ramp_s: int
    slot_s: int
    max_duration_s: int
    energy_price_per_kwh: Decimal
    capacity_price_per_kw: Decimal
    missed_price_per_kwh: Decimal
    tolerance_fraction: float
    owner_share_fraction: Decimal
    baseline_method: str
    baseline_window_s: int
    currency: str
    source: str


def programme_view(row: Programme) -> ProgrammeView:
    """A row, with its region loaded, as plain data."""
    return ProgrammeView(
        programme_id=row.pk,
        code=row.code,
        name=row.name,
        region_id=row.region_id,
        region_code=row.region.code,
        effective_from=row.effective_from,
        allows_reduction=row.allows_reduction,
        allows_increase=row.allows_increase,
        min_kw=row.min_kw,
        max_kw=row.max_kw,
        notice_s=row.notice_s,
        ramp_s=row.ramp_s,
        slot_s=row.slot_s,
        max_duration_s=row.max_duration_s,
        energy_price_per_kwh=row.energy_price_per_kwh,
        capacity_price_per_kw=row.capacity_price_per_kw,
        missed_price_per_kwh=row.missed_price_per_kwh,
        tolerance_fraction=row.tolerance_fraction,
        owner_share_fraction=row.owner_share_fraction,
        baseline_method=row.baseline_method,
        baseline_window_s=row.baseline_window_s,
        currency=row.currency,
        source=row.source,
    )


def programme_on(code: str, at: datetime) -> ProgrammeView:
    """The terms of a programme that hold at an instant.

    Raises:
        UnknownProgramme: there is none of that code at that time.
    """
    row = (
        Programme.objects.select_related("region")
        .filter(code=code, effective_from__lte=at)
        .order_by("-effective_from")
        .first()
    )
    if row is None:
        raise UnknownProgramme(
            f"There is no programme {code!r} at {at.isoformat()}.",
            field="programme",
            remedy="GET /api/programmes lists those there are.",
        )
    return programme_view(row)


def current_programmes(at: datetime) -> list[ProgrammeView]:
    """Every programme with the terms that hold at an instant, by code."""
    rows = (
        Programme.objects.select_related("region")
        .filter(effective_from__lte=at)
        .order_by("code", "-effective_from")
        .distinct("code")
    )
    return [programme_view(row) for row in rows]
