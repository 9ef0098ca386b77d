"""Events that ask the portfolio for reports, of our own VTN and of outside ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from grid.models import GridEvent, OpenAdrAnswer, OpenAdrEvent, OpenAdrReport, OutsideEvent, OutsideReport, Programme

# meters tell late, and a clock may have stood still: an event is looked at for so long after its end
LOOKED_AT_AFTER = timedelta(hours=6)
PORTFOLIO_CLIENT = "portfolio:"


@dataclass(frozen=True, slots=True)
class Reportable:
    """An event with report descriptors that the portfolio has answered.

    `own_id` is the identifier at our VTN, `outside_id` the row of an outside one's; one of them is set. `made` names the
    reports that exist.
    """

    event_id: str
    own_id: str
    outside_id: int | None
    client_name: str
    region_code: str
    body: Mapping[str, Any]
    received_at: datetime
    participants: tuple[int, ...]
    running_event_id: int | None
    made: frozenset[str]


def reportable_events(now: datetime) -> list[Reportable]:
    """All that may have a report due."""
    return [*_own(now), *_outside(now)]


def _own(now: datetime) -> list[Reportable]:
    found = []
    rows = OpenAdrEvent.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now - LOOKED_AT_AFTER), answered_revision__gt=0)
    for row in rows.filter(body__contains='"reportDescriptors":[{').order_by("id"):
        reports = OpenAdrReport.objects.filter(event_ref=row.object_id, client_id__startswith=PORTFOLIO_CLIENT)
        first = reports.order_by("id").first()
        if first is None:  # not answered: not for the portfolio
            continue
        participants, running = _promised(f"vtn:{row.object_id}", now)
        found.append(
            Reportable(
                event_id=row.object_id,
                own_id=row.object_id,
                outside_id=None,
                client_name=first.client_name,
                region_code=first.client_id.removeprefix(PORTFOLIO_CLIENT),
                body=row.body,
                received_at=row.modified_at,
                participants=participants,
                running_event_id=running,
                made=frozenset(reports.values_list("origin_key", flat=True)),
            )
        )
    return found


def _outside(now: datetime) -> list[Reportable]:
    found = []
    for row in OutsideEvent.objects.select_related("vtn").filter(gone_at=None, vtn__enabled=True).order_by("id"):
        programme = Programme.objects.select_related("region").filter(code=row.code).first()
        if programme is None or not row.body.get("reportDescriptors"):
            continue
        participants, running = _promised(f"{row.vtn.name}:{row.event_id}", now)
        found.append(
            Reportable(
                event_id=row.event_id,
                own_id="",
                outside_id=row.pk,
                client_name=row.vtn.ven_name,
                region_code=programme.region.code,
                body=row.body,
                received_at=row.received_at,
                participants=participants,
                running_event_id=running,
                made=frozenset(OutsideReport.objects.filter(event=row).values_list("key", flat=True)),
            )
        )
    return found


def _promised(source: str, now: datetime) -> tuple[tuple[int, ...], int | None]:
    """The assets that take part in what was promised for an event, and the grid event of it that runs now."""
    answers = OpenAdrAnswer.objects.filter(source=source).exclude(grid_event=None)
    rows = list(GridEvent.objects.filter(pk__in=answers.values("grid_event")).order_by("starts_at"))
    running = next((row.pk for row in rows if row.starts_at <= now < row.ends_at), None)
    return tuple(sorted({asset_id for row in rows for asset_id in row.participants})), running
