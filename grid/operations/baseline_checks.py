"""Keeping what a look at a baseline's window found, and what a person made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from common.errors import InvalidInput, NotFound
from grid.models import BaselineCheck


class BaselineCheckNotFound(NotFound):
    """There is no such conspicuous window."""

    code = "baseline_check_not_found"


@dataclass(frozen=True, slots=True)
class CheckedWindow:
    """One look; see `grid.models.BaselineCheck` for the meaning of each field. None where nothing is known."""

    asset_id: int | None
    today_kw: float | None
    typical_kw: float | None
    spread_kw: float | None
    planned_kw: float | None
    excess_kw: float | None
    conspicuous: bool


@transaction.atomic
def record_baseline_checks(
    *,
    event_id: int,
    window_starts_at: datetime,
    window_ends_at: datetime,
    days: int,
    found: Sequence[CheckedWindow],
    now: datetime,
) -> None:
    """Keep a look at an event's window. A later look replaces what no person has reviewed."""
    BaselineCheck.objects.filter(event_id=event_id, reviewed_at=None).delete()
    BaselineCheck.objects.bulk_create(
        [
            BaselineCheck(
                event_id=event_id,
                asset_id=window.asset_id,
                window_starts_at=window_starts_at,
                window_ends_at=window_ends_at,
                days=days,
                today_kw=window.today_kw,
                typical_kw=window.typical_kw,
                spread_kw=window.spread_kw,
                planned_kw=window.planned_kw,
                excess_kw=window.excess_kw,
                conspicuous=window.conspicuous,
                checked_at=now,
            )
            for window in found
        ],
        ignore_conflicts=True,
    )


def review_baseline_check(*, check_id: int, reviewed_by: str, verdict: str, now: datetime) -> None:
    """Keep what a person found; the numbers stay.

    Raises:
        InvalidInput: nothing was found.
        BaselineCheckNotFound: there is no such window.
    """
    if not verdict.strip() or len(verdict) > 300:
        raise InvalidInput(
            "is empty or too long.", field="verdict", remedy="Say what you found, in 1 to 300 characters."
        )
    changed = BaselineCheck.objects.filter(pk=check_id, conspicuous=True).update(
        reviewed_at=now, reviewed_by=reviewed_by, verdict=verdict
    )
    if not changed:
        raise BaselineCheckNotFound(f"There is no conspicuous window {check_id}.", field="check_id")
