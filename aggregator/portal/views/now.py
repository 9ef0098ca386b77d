"""An owner's first page: what each car does now, and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aggregator.core.sentences import Sentence
from aggregator.portal.access import OwnerRequest, for_owner
from aggregator.portal.pages import render_page
from aggregator.portal.pictures import strip_picture
from aggregator.queries.computers import computer_sentences
from aggregator.queries.ledger import owner_earnings
from aggregator.queries.portal import CarNow, cars_now


@require_safe
@for_owner
def now_page(request: OwnerRequest) -> HttpResponse:
    """Every car as a card. The time zone is the first car's, as an owner's cars share a home."""
    now = timezone.now()
    cars = cars_now(owner_id=request.owner.owner_id, now=now)
    computers = computer_sentences(cars, now=now)
    zone = cars[0].car.time_zone if cars else "UTC"
    midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    earned = owner_earnings([request.owner.identity], starts_at=midnight, ends_at=midnight + timedelta(days=1))
    context = {
        "cards": [_card(car, computers.get(car.car.vehicle_id), now) for car in cars],
        "cars": cars,
        "today": sorted(earned.get(request.owner.identity, {}).items()),
    }
    return render_page(request, "portal/owner/now.html", context, time_zone=zone, fragment="portal/owner/cards.html")


def _card(car: CarNow, computer: Sentence | None, now: datetime) -> dict[str, object]:
    until = car.car.goal.charge_now_until
    return {
        "now": car,
        "car": car.car,
        "computer": computer,
        "strip": strip_picture(car.plan.blocks) if car.plan is not None else None,
        "plan_ends_at": car.plan.steps[-1].ends_at if car.plan is not None else None,
        "overridden": until is not None and until > now,
    }
