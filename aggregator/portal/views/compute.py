"""The computers on board: what each does now and what it has earned."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aggregator.portal.access import OwnerRequest, for_owner
from aggregator.portal.pages import render_page
from aggregator.queries.computers import computer_sentences
from aggregator.queries.portal import cars_now
from compute_market.queries import computer_summary

EARNED_WITHIN = timedelta(days=30)


@require_safe
@for_owner
def compute(request: OwnerRequest) -> HttpResponse:
    """One card per car with a computer."""
    now = timezone.now()
    cars = cars_now(owner_id=request.owner.owner_id, now=now)
    sentences = computer_sentences(cars, now=now)
    cards = [
        {
            "car": car.car,
            "sentence": sentences[car.car.vehicle_id],
            "summary": computer_summary(car.car.vehicle_id, since=now - EARNED_WITHIN),
        }
        for car in cars
        if car.car.computer is not None
    ]
    zone = cars[0].car.time_zone if cars else "UTC"
    return render_page(request, "portal/owner/compute.html", {"cards": cards}, time_zone=zone)
