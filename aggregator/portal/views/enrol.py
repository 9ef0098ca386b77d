"""Enrolling a car in five steps. The answers are a draft in the session; the car is registered with the consents."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from aggregator.portal.access import OwnerRequest, for_owner
from aggregator.portal.forms import CarForm, ChargerForm, ConsentForm, GoalForm
from aggregator.portal.pages import render_page
from aggregator.portal.views.goals import own_car
from common.errors import PlatformError
from fleet.operations.enrolment import CarDescription, enrol_vehicle, queue_pause_test, usable_charger
from fleet.queries.portfolio import ModelChoice, charger_check, vehicle_models, vehicle_token

DRAFT = "enrolment"
LAST_FORM_STEP = 4
# what is assumed of a car that is not in the list, until its charger says more
UNLISTED_CHARGE_KW = 7.4
UNLISTED_DISCHARGE_KW = 6.0
FORMS: dict[int, Any] = {1: CarForm, 2: ChargerForm, 3: GoalForm, 4: ConsentForm}
GOAL_START = {
    "kind": "weekly",
    "weekdays": [0, 1, 2, 3, 4],
    "ready_by": "07:30",
    "target_percent": 80,
    "floor_percent": 30,
}


@require_http_methods(["GET", "HEAD", "POST"])
@for_owner
def enrol(request: OwnerRequest, step: int = 1) -> HttpResponse:
    """Steps 1 to 4, each one POST; going back keeps what was said."""
    if step not in FORMS:
        raise Http404
    draft = request.session.get(DRAFT, {})
    missing = next((number for number in range(1, step) if str(number) not in draft), None)
    if missing is not None:
        return redirect("portal:my-enrol-step", missing)
    models = vehicle_models() if step == 1 or request.method == "POST" else []
    form = _form(step, request.POST if request.method == "POST" else None, draft, models)
    if request.method == "POST" and form.is_valid():
        answer = _next(request, step, form, draft, models)
        if answer is not None:
            return answer
    context = {"form": form, "step": step, "steps": _steps(step), "check": _checked(step, form, draft)}
    status = 422 if request.method == "POST" else 200
    return render_page(request, f"portal/owner/enrol_{step}.html", context, status=status)


def _steps(current: int) -> list[tuple[int, str, bool]]:
    names = [_("Car"), _("Charger"), _("Goal"), _("Consent"), _("Test")]
    return [(number, name, number == current) for number, name in enumerate(names, start=1)]


def _form(step: int, posted: Any, draft: dict[str, Any], models: list[ModelChoice]) -> Any:
    extra = {"models": models} if step == 1 else {}
    initial = draft.get(str(step), GOAL_START if step == 3 else {})
    # consents are never filled in for the owner, not even from their own draft
    return FORMS[step](posted, initial={} if step == 4 else initial, **extra)


def _checked(step: int, form: Any, draft: dict[str, Any]) -> object:
    """The live check of a charger's code, once there is one."""
    code = form["charger_code"].value() if step == 2 else None
    return charger_check(code=code) if code else None


def _next(
    request: OwnerRequest, step: int, form: Any, draft: dict[str, Any], models: list[ModelChoice]
) -> HttpResponse | None:
    """Keep the answers and go on; None if an operation refused them (the form says why)."""
    if step == 2 and form.cleaned_data["charger_code"]:
        try:
            usable_charger(owner_id=request.owner.owner_id, code=form.cleaned_data["charger_code"])
        except PlatformError as error:
            form.add_error("charger_code", _refusal(error))
            return None
    if step < LAST_FORM_STEP:
        kept = {name: form.data.getlist(name) if name == "weekdays" else form.data.get(name) for name in form.fields}
        request.session[DRAFT] = {**draft, str(step): kept}
        return redirect("portal:my-enrol-step", step + 1)
    return _register(request, form, draft, models)


def _refusal(error: PlatformError) -> str:
    texts = {
        "unknown_charger": _("No charger has this code. It is on the charger's label, such as CP-0412."),
        "charger_of_another": _("This charger stands at another owner's home. Check the code on the label."),
    }
    return texts.get(error.code, str(error))


def _register(
    request: OwnerRequest, form: ConsentForm, draft: dict[str, Any], models: list[ModelChoice]
) -> HttpResponse | None:
    goal = GoalForm(draft["3"])
    car = CarForm(draft["1"], models=models)
    if not goal.is_valid() or not car.is_valid():
        return redirect("portal:my-enrol-step", 1)
    try:
        registered = enrol_vehicle(
            owner_id=request.owner.owner_id,
            car=_description(car.cleaned_data, models),
            charger_code=draft["2"].get("charger_code") or "",
            wish=goal.wish(),
            consents=form.services(),
            now=timezone.now(),
        )
    except PlatformError as error:
        form.add_error(None, _refusal(error))
        return None
    del request.session[DRAFT]
    messages.success(request, _("Your car is enrolled."))
    return redirect("portal:my-test", registered.vehicle_id)


def _description(data: dict[str, Any], models: list[ModelChoice]) -> CarDescription:
    """The car as registered: the model's figures, or careful ones. Unknown two-way counts as no."""
    model = next((model for model in models if str(model.model_id) == data["model"]), None)
    if model is None:
        return CarDescription(
            label=data["label"],
            make="Unlisted",
            model=f"{data['battery_capacity_kwh']:g} kWh",
            battery_capacity_kwh=data["battery_capacity_kwh"],
            max_charge_kw=UNLISTED_CHARGE_KW,
            max_discharge_kw=UNLISTED_DISCHARGE_KW if data["two_way"] == "yes" else 0.0,
        )
    return CarDescription(
        label=data["label"],
        make=model.make,
        model=model.name,
        battery_capacity_kwh=data["battery_capacity_kwh"] or model.battery_capacity_kwh,
        max_charge_kw=model.max_charge_kw,
        max_discharge_kw=model.max_discharge_kw if data["two_way"] != "no" else 0.0,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@for_owner
def test(request: OwnerRequest, vehicle_id: int) -> HttpResponse:
    """Step 5: pause charging for 60 s and watch it happen: sent, accepted, measured."""
    now = timezone.now()
    car = own_car(request, vehicle_id, now)
    if request.method == "POST":
        try:
            queue_pause_test(owner_id=request.owner.owner_id, vehicle_id=vehicle_id, now=now)
        except PlatformError:
            messages.error(request, _("The car is not plugged in. Plug it in first."))
        return redirect("portal:my-test", vehicle_id)
    context = {
        "now": car,
        "car": car.car,
        "steps": _steps(5),
        "token": vehicle_token(owner_id=request.owner.owner_id, vehicle_id=vehicle_id),
        "ticks": _ticks(car),
    }
    return render_page(
        request,
        "portal/owner/enrol_5.html",
        context,
        time_zone=car.car.time_zone,
        fragment="portal/owner/test_result.html",
    )


def _ticks(car: Any) -> dict[str, bool] | None:
    """How far the newest pause has come; None if none was asked for. Done only when measured, never before."""
    command = car.command
    if command is None or command.plan_id is not None or not command.power_kw or command.power_kw[0] != 0:
        return None
    heard_since = car.heard_at is not None and command.sent_at is not None and car.heard_at > command.sent_at
    return {
        "sent": command.sent_at is not None,
        "accepted": command.state == "confirmed",
        "refused": command.state in {"refused", "timed_out", "expired"},
        "measured": bool(heard_since and car.power_kw is not None and abs(car.power_kw) < 0.1),
    }
