"""The plan of one car: a heading in words, a picture, the blocks each with why, the table."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aggregator.portal.access import OwnerRequest, for_owner
from aggregator.portal.pages import render_page
from aggregator.portal.pictures import plan_picture
from aggregator.portal.views.goals import own_car
from aggregator.queries.portal import CarNow


@require_safe
@for_owner
def plan(request: OwnerRequest, vehicle_id: int) -> HttpResponse:
    """Server-rendered; the picture is SVG in the page."""
    now = timezone.now()
    car = own_car(request, vehicle_id, now)
    context = {"now": car, "car": car.car, "plan": car.plan, "picture": _picture(car), "shown": _shown(car)}
    return render_page(request, "portal/owner/plan.html", context, time_zone=car.car.time_zone)


def _picture(car: CarNow) -> object:
    if car.plan is None:
        return None
    return plan_picture(
        car.plan.steps,
        soc_fraction=car.soc_fraction,
        capacity_kwh=car.car.battery_capacity_kwh,
        floor_fraction=car.car.goal.floor_soc_fraction,
        goal_fraction=car.car.goal.target_soc_fraction,
    )


def _shown(car: CarNow) -> dict[str, object]:
    """What the heading and the list need: how often it charges and sends, what that costs and earns."""
    blocks = car.plan.blocks if car.plan is not None else ()
    charges = [block for block in blocks if block.direction == "charge"]
    sends = [block for block in blocks if block.direction == "send"]
    capacity_kwh = car.car.battery_capacity_kwh
    return {
        "charges": len(charges),
        "sends": len(sends),
        "cost": sum(block.money for block in charges),
        "worth": sum(block.money for block in sends),
        "blocks": [
            {"block": block, "soc": None if block.soc_kwh is None else block.soc_kwh / capacity_kwh}
            for block in blocks
            if block.direction != "rest"
        ],
    }
