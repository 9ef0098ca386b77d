"""The owner's limits on a car's use."""

from __future__ import annotations

from dataclasses import asdict

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from aggregator.portal.access import OwnerRequest, for_owner
from aggregator.portal.forms_contracts import UseLimitsForm
from aggregator.portal.pages import render_page
from common.errors import NotFound, PlatformError
from fleet.operations.contracts import UseLimits, agree_use_limits
from fleet.queries.contracts import contracts_of_vehicle
from fleet.queries.portfolio import owned_car


@require_http_methods(["GET", "HEAD", "POST"])
@for_owner
def limits(request: OwnerRequest, vehicle_id: int) -> HttpResponse:
    """What holds now, a form to change it, and what held before."""
    now = timezone.now()
    car = owned_car(owner_id=request.owner.owner_id, vehicle_id=vehicle_id, now=now)
    if car is None:
        raise Http404
    contracts = contracts_of_vehicle(vehicle_id=vehicle_id)
    standing = next((contract for contract in contracts if contract.valid_until is None), None)
    posted = request.POST if request.method == "POST" else None
    form = UseLimitsForm(posted, initial=asdict(standing) if standing is not None else {})
    if posted is not None and form.is_valid():
        try:
            agree_use_limits(
                owner_id=request.owner.owner_id,
                vehicle_id=vehicle_id,
                limits=UseLimits(**form.cleaned_data),
                now=now,
            )
        except NotFound as error:
            raise Http404 from error
        except PlatformError as error:
            form.add_error(error.field if error.field in form.fields else None, _("Give both times, or neither."))
        else:
            messages.success(request, _("Kept. The limits hold from now on."))
            return redirect("portal:my-limits", vehicle_id)
    context = {"car": car, "form": form, "contracts": contracts}
    status = 422 if posted is not None else 200
    return render_page(request, "portal/owner/limits.html", context, time_zone=car.time_zone, status=status)
