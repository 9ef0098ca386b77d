"""DER controls of a station, for the operator: what is set, setting another, dropping one, asking for a report."""

from __future__ import annotations

import json

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from aggregator.portal.access import for_operator
from aggregator.portal.forms import DerControlForm, LocalControlForm
from aggregator.portal.pages import render_page
from common.errors import NotFound, PlatformError
from fleet.core.local_control import LocalControl, V2XMode
from fleet.operations.der import clear_der_control, request_der_report, set_der_control
from fleet.operations.local_control import set_local_control
from fleet.queries.der import der_alarms, der_controls, local_controls
from fleet.queries.devices import DeviceView, device

EXAMPLE = {
    "priority": 1,
    "yUnit": "PctMaxW",
    "curveData": [{"x": 49.8, "y": -80}, {"x": 50.0, "y": 0}, {"x": 50.2, "y": 80}],
}


@require_http_methods(["GET", "HEAD", "POST"])
@for_operator
def der_page(request: HttpRequest, identity: str) -> HttpResponse:
    """Controls and alarms of a station; a POST asks it to take another control."""
    found = _station(identity)
    posted = request.POST if request.method == "POST" else None
    return _show(request, found, posted=posted, local=LocalControlForm())


@require_POST
@for_operator
def set_local(request: HttpRequest, identity: str) -> HttpResponse:
    """Let an EVSE follow a rule of its own around its schedules."""
    found = _station(identity)
    form = LocalControlForm(request.POST)
    if form.is_valid() and _set_local(request, found, form):
        return redirect("portal:ops-der", identity=found.identity)
    return _show(request, found, posted=None, local=form)


def _show(
    request: HttpRequest, found: DeviceView, *, posted: QueryDict | None, local: LocalControlForm
) -> HttpResponse:
    first = {"control_type": "FreqWatt", "is_default": True, "content": EXAMPLE}
    form = DerControlForm(posted, initial=first)
    if posted is not None and form.is_valid() and _set(request, found, form):
        return redirect("portal:ops-der", identity=found.identity)
    controls = [
        (control, json.dumps(control.content, ensure_ascii=False, indent=1)) for control in der_controls(found.identity)
    ]
    context = {
        "device": found,
        "form": form,
        "local": local,
        "rules": local_controls(found.identity),
        "controls": controls,
        "alarms": der_alarms(found.identity),
    }
    status = 422 if posted is not None or local.is_bound else 200
    return render_page(request, "portal/ops/der.html", context, time_zone=found.time_zone, status=status)


@require_POST
@for_operator
def ask_report(request: HttpRequest, identity: str) -> HttpResponse:
    """Ask the station what it has."""
    found = _station(identity)
    request_der_report(identity=found.identity, now=timezone.now())
    messages.success(request, _("The station is asked for a report."))
    return redirect("portal:ops-der", identity=found.identity)


@require_POST
@for_operator
def clear(request: HttpRequest, identity: str, control_id: str) -> HttpResponse:
    """Ask the station to drop a control."""
    found = _station(identity)
    try:
        clear_der_control(identity=found.identity, control_id=control_id, now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    messages.success(request, _("The station is asked to drop the control."))
    return redirect("portal:ops-der", identity=found.identity)


def _set(request: HttpRequest, found: DeviceView, form: DerControlForm) -> bool:
    data = form.cleaned_data
    try:
        set_der_control(
            identity=found.identity,
            control_type=data["control_type"],
            is_default=data["is_default"],
            content=data["content"],
            now=timezone.now(),
        )
    except PlatformError as error:
        form.add_error("content", f"{error.message} {error.remedy}")
        return False
    messages.success(request, _("The station is asked to take the control."))
    return True


def _set_local(request: HttpRequest, found: DeviceView, form: LocalControlForm) -> bool:
    data = form.cleaned_data
    control = LocalControl(V2XMode(data["mode"]), data["frequency_watt"], data["signal_watt"])
    try:
        set_local_control(identity=found.identity, evse_number=data["evse"], control=control, now=timezone.now())
    except PlatformError as error:
        field = error.field if error.field in form.fields else "mode"
        form.add_error(field, f"{error.message} {error.remedy}")
        return False
    messages.success(request, _("The rule holds for schedules from now on."))
    return True


def _station(identity: str) -> DeviceView:
    found = device(identity)
    if found is None or not found.der:
        raise Http404
    return found
