"""Looks at baselines' windows as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from grid.models import BaselineCheck


@dataclass(frozen=True, slots=True)
class BaselineCheckView:
    """One look; see `grid.models.BaselineCheck` for the meaning of each field."""

    check_id: int
    event_id: int
    asset_id: int | None
    window_starts_at: datetime
    window_ends_at: datetime
    days: int
    today_kw: float | None
    typical_kw: float | None
    spread_kw: float | None
    planned_kw: float | None
    excess_kw: float | None
    conspicuous: bool
    reviewed_at: datetime | None
    reviewed_by: str
    verdict: str


def baseline_checks(*, event_id: int) -> list[BaselineCheckView]:
    """Every look at an event's window: all participants together first, then single assets by excess."""
    return [_view(row) for row in BaselineCheck.objects.filter(event_id=event_id).order_by("-asset_id", "-excess_kw")]


def conspicuous_windows(*, limit: int) -> list[BaselineCheckView]:
    """What nobody has reviewed yet, the latest first."""
    rows = BaselineCheck.objects.filter(conspicuous=True, reviewed_at=None).order_by("-checked_at", "-excess_kw")
    return [_view(row) for row in rows[:limit]]


def _view(row: BaselineCheck) -> BaselineCheckView:
    fields = {name: getattr(row, name) for name in BaselineCheckView.__slots__ if name != "check_id"}
    return BaselineCheckView(check_id=row.pk, **fields)
