"""One charging station for the operator: commands, reservations, its settings, and what it has told."""

from __future__ import annotations

import json
from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from aggregator.portal.access import for_operator
from aggregator.portal.pages import render_page
from aggregator.portal.station_forms import CommandForm, ReservationForm, offered_commands
from common.errors import NotFound, PlatformError
from fleet.operations.local_lists import send_local_list
from fleet.operations.reservations import cancel_reservation, reserve
from fleet.operations.station_commands import order_command
from fleet.queries.devices import device
from fleet.queries.stations import (
    StationView,
    reservations,
    station,
    station_certificates,
    station_events,
    station_monitors,
    station_reports,
    station_transfers,
    station_variables,
)


def asker(request: HttpRequest) -> str:
    """Under which name a command of a person stands."""
    return f"console:{request.user.get_username()}"


def _found(identity: str) -> StationView:
    found = station(identity)
    if found is None:
        raise Http404
    return found


@require_http_methods(["GET", "HEAD", "POST"])
@for_operator
def station_page(request: HttpRequest, identity: str) -> HttpResponse:
    """What can be asked of a station, and what it has told; a POST gives it a command."""
    found, seen = _found(identity), device(identity)
    offered = offered_commands(found.protocol)
    kind = request.POST.get("kind") or request.GET.get("kind") or "trigger"
    if kind not in dict(offered):
        raise Http404
    zone = seen.time_zone if seen is not None else "UTC"
    posted = request.POST if request.method == "POST" else None
    with timezone.override(zone):
        form = CommandForm(posted, kind=kind)
        if posted is not None and form.is_valid():
            command_id = _order(request, found, form)
            if command_id is not None:
                messages.success(request, _("Queued. The answer stands under Commands."))
                return redirect("portal:ops-station", identity)
    wanted = request.GET.get("q", "")[:60].strip()
    variables = [each for each in station_variables(identity) if wanted.lower() in each.name.lower()]
    context = {
        "station": found,
        "device": seen,
        "offered": offered,
        "kind": kind,
        "form": form,
        "reservation_form": ReservationForm(prefix="reservation"),
        "q": wanted,
        "variables": variables[:200],
        "variable_count": len(variables),
        "monitors": station_monitors(identity),
        "events": station_events(identity),
        "transfers": station_transfers(identity),
        "certificates": station_certificates(identity),
        "reservations": reservations(identity=identity, limit=10),
        "reports": [
            (report, json.dumps(report.parts, ensure_ascii=False, indent=1)) for report in station_reports(identity)
        ],
    }
    status = 422 if posted is not None else 200
    return render_page(request, "portal/ops/station.html", context, time_zone=zone, status=status)


def _order(request: HttpRequest, found: StationView, form: CommandForm) -> int | None:
    try:
        return order_command(
            identity=found.identity,
            kind=form.kind,
            parameters=form.given(),
            requested_by=asker(request),
            now=timezone.now(),
        )
    except PlatformError as error:
        add_refusal(form, error)
        return None


def add_refusal(form: CommandForm, error: PlatformError) -> None:
    """Show what the operation refused at the field that it names."""
    field = error.field.removeprefix("parameters.")
    form.add_error(field if field in form.fields else None, str(error.remedy or error))


@require_POST
@for_operator
def reserve_evse(request: HttpRequest, identity: str) -> HttpResponse:
    """Keep an EVSE for a driver."""
    found, now = _found(identity), timezone.now()
    form = ReservationForm(request.POST, prefix="reservation")
    if not form.is_valid():
        messages.error(request, _("Give a token, an EVSE and 1 to 1440 minutes."))
        return redirect("portal:ops-station", identity)
    try:
        reserve(
            identity=found.identity,
            evse_number=form.cleaned_data["evse"],
            id_token=form.cleaned_data["id_token"],
            expires_at=now + timedelta(minutes=form.cleaned_data["minutes"]),
            requested_by=asker(request),
            now=now,
        )
    except PlatformError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The station is asked to keep it."))
    return redirect("portal:ops-station", identity)


@require_POST
@for_operator
def give_up_reservation(request: HttpRequest, identity: str, reservation_id: int) -> HttpResponse:
    """Keep it no more."""
    _found(identity)
    try:
        cancel_reservation(reservation_id=reservation_id, requested_by=asker(request), now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    except PlatformError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The station is asked to keep it no more."))
    return redirect("portal:ops-station", identity)


@require_POST
@for_operator
def update_local_list(request: HttpRequest, identity: str) -> HttpResponse:
    """Bring the station's local list up to date with the cars whose home its site is."""
    found = _found(identity)
    try:
        queued = send_local_list(identity=found.identity, now=timezone.now(), requested_by=asker(request))
    except PlatformError as error:
        messages.error(request, str(error))
    else:
        changed = _("The local list is on its way.")
        messages.success(request, changed if queued is not None else _("The station has the latest list already."))
    return redirect("portal:ops-station", identity)
