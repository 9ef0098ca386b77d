"""What a month brought: the same query feeds the page and the CSV."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aggregator.core.missed_sentences import describe_contribution
from aggregator.core.sentences import Sentence
from aggregator.portal.access import OwnerRequest, for_owner
from aggregator.portal.pages import render_page
from aggregator.portal.pictures import BarPicture, bar_picture
from aggregator.queries.plans import contribution_of_owner
from aggregator.queries.statements import OwnerStatement, statement
from fleet.queries.owners import owner_by_id

# which colour a service has on every page
KIND_OF_SERVICE = {"flexibility": "send", "computing": "computer"}


def wanted_month(text: str, today: date) -> date:
    """The month written as 2026-11; this month for anything else."""
    try:
        year, month = text.split("-")
        return date(int(year), int(month), 1)
    except ValueError:
        return today.replace(day=1)


@require_safe
@for_owner
def earnings(request: OwnerRequest) -> HttpResponse:
    """Totals per service, days as bars and a table, every booking; `format=csv` for the lines."""
    owner = owner_by_id(request.owner.owner_id)
    zone = owner.time_zone if owner is not None and owner.time_zone else "UTC"
    today = timezone.now().astimezone(ZoneInfo(zone)).date()
    month = wanted_month(request.GET.get("m", ""), today)
    found = statement(request.owner.owner_id, month, time_zone=zone)
    if request.GET.get("format") == "csv":
        return _csv(found, zone)
    next_month = (month + timedelta(days=32)).replace(day=1)
    context = {
        "statement": found,
        "contribution": _contribution(request.owner.owner_id),
        "month": month,
        "previous": (month - timedelta(days=1)).replace(day=1),
        "next": next_month if next_month <= today else None,
        "currencies": [_of_currency(found, currency, zone, today) for currency in sorted(found.earned)],
    }
    return render_page(request, "portal/owner/earnings.html", context, time_zone=zone)


def _contribution(owner_id: int) -> Sentence:
    offered_h, delivered_kwh, events = contribution_of_owner(owner_id)
    return describe_contribution(offered_h=offered_h, delivered_kwh=delivered_kwh, events=events)


def _of_currency(found: OwnerStatement, currency: str, zone: str, today: date) -> dict[str, Any]:
    """One currency's components and days; currencies are never added."""
    if not currency:
        return {"currency": "", "components": [], "days": [], "picture": None, "earned": Decimal(0)}
    daily: defaultdict[date, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for line in found.lines:
        if line.unit == currency and line.service != "payout":
            daily[line.occurred_at.astimezone(ZoneInfo(zone)).date()][line.service] += line.amount
    return {
        "currency": currency,
        "earned": found.earned[currency],
        "paid_out": found.paid_out.get(currency),
        "components": [part for part in found.components if part.currency == currency and part.service != "payout"],
        "days": [
            {
                "date": day,
                "flexibility": parts["flexibility"],
                "computing": parts["computing"],
                "total": sum(parts.values()),
            }
            for day, parts in sorted(daily.items(), reverse=True)
        ],
        "picture": _picture(found, daily, zone, today),
    }


def _picture(
    found: OwnerStatement, daily: defaultdict[date, defaultdict[str, Decimal]], zone: str, today: date
) -> BarPicture:
    first = found.starts_at.astimezone(ZoneInfo(zone)).date()
    last = min(today, (found.ends_at.astimezone(ZoneInfo(zone)) - timedelta(seconds=1)).date())
    days = [first + timedelta(days=offset) for offset in range(max(1, (last - first).days + 1))]
    return bar_picture(
        [
            (
                str(day.day) if day.day % 5 == 0 or day == days[0] else "",
                [(kind, float(daily[day][service])) for service, kind in KIND_OF_SERVICE.items()],
            )
            for day in days
        ]
    )


def _csv(found: OwnerStatement, zone: str) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="earnings-{found.month:%Y-%m}.csv"'
    writer = csv.writer(response)
    writer.writerow(
        ["occurred_at", "service", "description", "amount", "currency", "energy_kwh", "co2_kg", "event", "lease"]
    )
    for line in found.lines:
        at = line.occurred_at.astimezone(ZoneInfo(zone)).isoformat()
        writer.writerow(
            [
                at,
                line.service,
                _as_text(line.description),
                line.amount,
                line.unit,
                line.energy_kwh,
                line.co2_kg,
                line.grid_event_id or "",
                line.lease_id or "",
            ]
        )
    return response


def _as_text(value: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if value[:1] in {"=", "+", "-", "@"} else value
