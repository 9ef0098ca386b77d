"""Baseline-and-credit projects: keeping what was monitored."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from common.errors import Conflict, InvalidInput, NotFound
from grid.models import CreditProject, MonitoringRecord


class CreditProjectNotFound(NotFound):
    """No such project."""

    code = "credit_project_not_found"


class MonitoredDifferently(Conflict):
    """The time was monitored before with other numbers."""

    code = "monitored_differently"


def register_credit_project(
    *, code: str, site_identity: str, methodology: str, starts_on: date, ends_on: date, approved: bool = False
) -> int:
    """Make a project known once per code; returns its identifier."""
    if not code or not methodology:
        raise InvalidInput("is empty.", field="code" if not code else "methodology", remedy="Name it.")
    row, _ = CreditProject.objects.get_or_create(
        code=code,
        defaults={
            "site_identity": site_identity,
            "methodology": methodology,
            "starts_on": starts_on,
            "ends_on": ends_on,
            "approved": approved,
        },
    )
    return row.pk


def record_monitoring(
    *,
    project_code: str,
    starts_at: datetime,
    ends_at: datetime,
    baseline_kwh: Decimal,
    project_kwh: Decimal,
    kg_per_kwh: float,
    evidence: str,
    now: datetime,
) -> None:
    """Keep what a project used in a time; the same again changes nothing.

    Raises:
        CreditProjectNotFound: there is none. InvalidInput: outside the project's time, or without evidence.
        MonitoredDifferently: the time was monitored with other numbers.
    """
    project = CreditProject.objects.filter(code=project_code).first()
    if project is None:
        raise CreditProjectNotFound(f"There is no project {project_code!r}.", field="project_code")
    if ends_at <= starts_at or not project.starts_on <= starts_at.date() <= project.ends_on:
        raise InvalidInput("lies outside the project's time.", field="starts_at", remedy="Give a time within it.")
    if not evidence:
        raise InvalidInput("is empty.", field="evidence", remedy="Say where the numbers come from.")
    row, _ = MonitoringRecord.objects.get_or_create(
        project=project,
        starts_at=starts_at,
        defaults={
            "ends_at": ends_at,
            "baseline_kwh": baseline_kwh,
            "project_kwh": project_kwh,
            "kg_per_kwh": kg_per_kwh,
            "evidence": evidence,
            "recorded_at": now,
        },
    )
    if (row.ends_at, row.baseline_kwh, row.project_kwh) != (ends_at, baseline_kwh, project_kwh):
        raise MonitoredDifferently(f"{starts_at.isoformat()} was monitored before.", field="starts_at")
