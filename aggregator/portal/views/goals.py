"""The driver's wish: days, time, level, floor; whether it can be met; and charging now, whatever the plan says."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from aggregator.portal.access import OwnerRequest, for_owner
from aggregator.portal.formats import clock
from aggregator.portal.forms import GoalForm
from aggregator.portal.pages import render_page
from aggregator.queries.outlook import ChargeNowOption, GoalOutlook, charge_now_options, goal_outlook
from aggregator.queries.portal import CarNow, car_now
from common.errors import PlatformError
from fleet.operations.goals import Wish, charge_now, set_goal, undo_charge_now


def own_car(request: OwnerRequest, vehicle_id: int, now: datetime) -> CarNow:
    """The car, if it is this owner's; else there is no such page."""
    found = car_now(owner_id=request.owner.owner_id, vehicle_id=vehicle_id, now=now)
    if found is None:
        raise Http404
    return found


def goal_initial(car: CarNow) -> dict[str, Any]:
    """The wish in force, as the form shows it."""
    goal = car.car.goal
    return {
        "kind": goal.kind,
        "weekdays": list(goal.weekdays),
        "ready_by": goal.ready_by,
        "ready_at": goal.once_at,
        "target_percent": round(100 * goal.target_soc_fraction),
        "floor_percent": round(100 * goal.floor_soc_fraction),
        "keep_charging_if_late": goal.keep_charging_if_late,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@for_owner
def goals(request: OwnerRequest, vehicle_id: int) -> HttpResponse:
    """Show and keep the wish. Every edit is checked; what cannot be met is said at once, with three ways out."""
    now = timezone.now()
    car = own_car(request, vehicle_id, now)
    with timezone.override(ZoneInfo(car.car.time_zone)):
        return _goals(request, car, now)


def _goals(request: OwnerRequest, car: CarNow, now: datetime) -> HttpResponse:
    edited = request.method == "POST" or "kind" in request.GET
    form = GoalForm(request.POST or request.GET) if edited else GoalForm(initial=goal_initial(car))
    outlook = None
    if not edited:
        outlook = goal_outlook(car=car, wish=_wish_in_force(car), now=now)
    elif form.is_valid():
        outlook = goal_outlook(car=car, wish=form.wish(), now=now)
    if request.method == "POST" and outlook is not None:
        answer = _save(request, form, outlook, car, now)
        if answer is not None:
            return answer
    status = 422 if request.method == "POST" and form.errors else 200
    context = {"form": form, "now": car, "car": car.car, "outlook": outlook, "asked": request.method == "POST"}
    return render_page(
        request,
        "portal/owner/goals.html",
        context,
        time_zone=car.car.time_zone,
        fragment="portal/owner/readback.html",
        status=status,
    )


def _wish_in_force(car: CarNow) -> Wish:
    goal = car.car.goal
    return Wish(
        kind=goal.kind,
        target_soc_fraction=goal.target_soc_fraction,
        floor_soc_fraction=goal.floor_soc_fraction,
        weekdays=goal.weekdays,
        ready_by=goal.ready_by,
        ready_at=goal.once_at,
        keep_charging_if_late=goal.keep_charging_if_late,
    )


def _save(
    request: OwnerRequest, form: GoalForm, outlook: GoalOutlook, car: CarNow, now: datetime
) -> HttpResponse | None:
    """Keep the wish, or None if it first needs the owner's choice."""
    wish, way_out = form.wish(), request.POST.get("resolve", "")
    if not outlook.possible and not way_out:
        return None
    if way_out in {"later", "accept"}:
        wish = outlook.later if way_out == "later" else outlook.lower
    ids = {"vehicle_id": car.car.vehicle_id, "owner_id": request.owner.owner_id}
    try:
        set_goal(**ids, wish=wish, now=now)
        if way_out == "charge" and outlook.flat_out_until is not None:
            charge_now(**ids, until=outlook.flat_out_until, now=now)
    except PlatformError as error:
        form.add_error(None, str(error))
        return None
    messages.success(request, _("Kept. The plan follows within seconds."))
    return redirect("portal:my-now")


@require_http_methods(["GET", "HEAD", "POST"])
@for_owner
def charge_now_page(request: OwnerRequest, vehicle_id: int) -> HttpResponse:
    """What charging now costs before it is asked for; then do it."""
    now = timezone.now()
    car = own_car(request, vehicle_id, now)
    options = charge_now_options(car=car, now=now)
    if request.method == "POST":
        chosen = next((option for option in options if option.name == request.POST.get("until")), None)
        if chosen is None:
            messages.error(request, _("Choose until when."))
            return redirect("portal:my-charge-now", vehicle_id)
        return _do_charge_now(request, car, chosen, now)
    context = {"now": car, "car": car.car, "options": options}
    return render_page(request, "portal/owner/charge_now.html", context, time_zone=car.car.time_zone)


def _do_charge_now(request: OwnerRequest, car: CarNow, chosen: ChargeNowOption, now: datetime) -> HttpResponse:
    try:
        charge_now(vehicle_id=car.car.vehicle_id, owner_id=request.owner.owner_id, until=chosen.until, now=now)
    except PlatformError as error:
        messages.error(request, str(error))
    else:
        with timezone.override(ZoneInfo(car.car.time_zone)):
            text = _("Charging now, at the latest until %(time)s or until you unplug. Then the plan resumes.")
            messages.success(request, text % {"time": clock(chosen.until, now=now)})
    return redirect("portal:my-now")


@require_POST
@for_owner
def undo(request: OwnerRequest, vehicle_id: int) -> HttpResponse:
    """Let the plan resume."""
    now = timezone.now()
    car = own_car(request, vehicle_id, now)
    if undo_charge_now(vehicle_id=car.car.vehicle_id, owner_id=request.owner.owner_id, now=now):
        messages.success(request, _("Undone. The plan resumes."))
    return redirect("portal:my-now")
