"""Certificates, credits and positions as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from common.errors import NotFound
from grid.core.carbon_accounting import (
    CertificateLot,
    allowance_position_kg,
    emission_reduction_kg,
    energy_productivity,
)
from grid.models import RENEWABLE_KINDS, Certificate, CreditProject, SiteYear


class NothingMonitored(NotFound):
    """The project does not exist, or nothing was monitored."""

    code = "nothing_monitored"


@dataclass(frozen=True, slots=True)
class CreditReport:
    """What a project saved. `credit_kg` is zero until a registry approved methodology and plan."""

    project_code: str
    methodology: str
    approved: bool
    rows: tuple[tuple[datetime, datetime, float, float, float, str], ...]
    baseline_kg: float
    project_kg: float
    reduction_kg: float
    credit_kg: float


@dataclass(frozen=True, slots=True)
class SiteYearView:
    """A site's year: what is left to cover under its cap (positive: short), and its output per kWh against the base year.
    None where a number is missing."""

    year: int
    position_kg: float | None
    productivity: float | None
    against_base_year: float | None
    output_unit: str


def retired_lots(*, retired_for: list[str], starts_at: datetime, ends_at: datetime) -> list[CertificateLot]:
    """Certificates that were retired for consumption within a time."""
    rows = Certificate.objects.filter(
        retired_for__in=retired_for, consumption_from__gte=starts_at, consumption_until__lte=ends_at
    )
    return [
        CertificateLot(
            row.pk, row.produced_from, row.produced_until, float(row.kwh), row.kind in RENEWABLE_KINDS, row.kg_per_kwh
        )
        for row in rows.order_by("pk")
    ]


def credit_report(project_code: str) -> CreditReport:
    """EM_BL, EM_PJ and ER of a project over everything that was monitored.

    Raises:
        NothingMonitored: there is no such project, or nothing was monitored.
    """
    project = CreditProject.objects.filter(code=project_code).first()
    records = [] if project is None else list(project.records.order_by("starts_at"))
    if project is None or not records:
        raise NothingMonitored(f"Nothing was monitored for {project_code!r}.", field="project_code")
    baseline_kg, project_kg, reduction_kg = emission_reduction_kg(
        baseline_kwh=np.array([float(row.baseline_kwh) for row in records]),
        project_kwh=np.array([float(row.project_kwh) for row in records]),
        average_kg_per_kwh=np.array([row.kg_per_kwh for row in records]),
    )
    return CreditReport(
        project_code=project.code,
        methodology=project.methodology,
        approved=project.approved,
        rows=tuple(
            (row.starts_at, row.ends_at, float(row.baseline_kwh), float(row.project_kwh), row.kg_per_kwh, row.evidence)
            for row in records
        ),
        baseline_kg=baseline_kg,
        project_kg=project_kg,
        reduction_kg=reduction_kg,
        credit_kg=reduction_kg if project.approved else 0.0,
    )


def site_years(site_identity: str) -> list[SiteYearView]:
    """A site's years, oldest first; the first with a figure is the base year of its energy productivity."""
    views, base = [], float("nan")
    for row in SiteYear.objects.filter(site_identity=site_identity).order_by("year"):
        productivity = (
            energy_productivity(row.output, row.energy_kwh) if row.output and row.energy_kwh else float("nan")
        )
        base = productivity if np.isnan(base) else base
        position = (
            allowance_position_kg(
                verified_kg=row.verified_kg,
                allowances_kg=row.allowances_kg,
                offsets_kg=row.offsets_kg,
                offset_limit_fraction=row.offset_limit_fraction,
            )
            if row.verified_kg is not None
            else None
        )
        known = not np.isnan(productivity)
        views.append(
            SiteYearView(
                row.year,
                position,
                productivity if known else None,
                productivity / base if known else None,
                row.output_unit,
            )
        )
    return views
