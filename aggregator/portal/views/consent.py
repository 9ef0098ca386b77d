"""Who may use what: granting and withdrawing per car and service, with its history."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from aggregator.portal.access import OwnerRequest, for_owner
from aggregator.portal.pages import render_page
from common.errors import NotFound, PlatformError
from fleet.operations.consent import grant_consent, withdraw_consent
from fleet.queries.portfolio import consent_history, owned_cars

SERVICES = ("flexibility", "computing", "emergency")


@require_http_methods(["GET", "HEAD", "POST"])
@for_owner
def consent(request: OwnerRequest) -> HttpResponse:
    """One switch per car and service; no script needed."""
    now = timezone.now()
    if request.method == "POST":
        return _change(request)
    cars = owned_cars(owner_id=request.owner.owner_id, now=now)
    context = {
        "cars": [
            {"car": car, "services": [(service, service in car.consents) for service in SERVICES]} for car in cars
        ],
        "history": consent_history(owner_id=request.owner.owner_id),
    }
    zone = cars[0].time_zone if cars else "UTC"
    return render_page(request, "portal/owner/consent.html", context, time_zone=zone)


def _change(request: OwnerRequest) -> HttpResponse:
    vehicle, service = request.POST.get("vehicle", ""), request.POST.get("service", "")
    if not vehicle.isdecimal():
        raise Http404
    granting = request.POST.get("change") == "grant"
    change = grant_consent if granting else withdraw_consent
    try:
        change(owner_id=request.owner.owner_id, vehicle_id=int(vehicle), service=service, now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    except PlatformError as error:
        messages.error(request, str(error))
    else:
        granted, withdrawn = (
            _("Consent given. It holds from now on."),
            _("Consent withdrawn. Use stops within seconds."),
        )
        messages.success(request, granted if granting else withdrawn)
    return redirect("portal:my-consent")
