"""Used packs for the operator: taking one in, and testing what the ones in the hub still hold."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from aggregator.portal.access import for_operator
from aggregator.portal.forms_packs import CapacityTestForm, PackIntakeForm
from aggregator.portal.pages import render_page
from common.errors import PlatformError
from fleet.core.pack_intake import IntakeVerdict, PackInspection
from fleet.operations.assets import IntakeOutcome, PackSpecification, intake_pack
from fleet.operations.capacity_tests import start_capacity_test
from fleet.queries.packs import inverter_identities, pack_identities, recent_capacity_tests, recent_intakes


@require_safe
@for_operator
def packs(request: HttpRequest) -> HttpResponse:
    """What was offered and what was tested last, and a form to begin a test."""
    context = {
        "intakes": recent_intakes(),
        "tests": recent_capacity_tests(),
        "form": CapacityTestForm(identities=pack_identities()),
    }
    return render_page(request, "portal/ops/packs.html", context, time_zone="UTC")


@require_http_methods(["GET", "HEAD", "POST"])
@for_operator
def new_pack(request: HttpRequest) -> HttpResponse:
    """Take a pack in: graded at once, with every reason."""
    posted = request.POST if request.method == "POST" else None
    form = PackIntakeForm(posted, inverters=inverter_identities())
    if posted is not None and form.is_valid():
        try:
            outcome = _take_in(form, request.user.get_username())
        except PlatformError as error:
            form.add_error(error.field if error.field in form.fields else None, f"{error.message} {error.remedy}")
        else:
            _say(request, form.cleaned_data["identity"], outcome)
            return redirect("portal:ops-packs")
    status = 422 if posted is not None else 200
    return render_page(request, "portal/ops/pack_new.html", {"form": form}, time_zone="UTC", status=status)


def _take_in(form: PackIntakeForm, user: str) -> IntakeOutcome:
    data = form.cleaned_data
    return intake_pack(
        identity=data["identity"],
        inverter_identity=data["inverter"],
        device_id=data["device_id"],
        inspection=PackInspection(
            nameplate_kwh=data["nameplate_kwh"],
            tested_kwh=data["tested_kwh"],
            manufactured_on=data["manufactured_on"],
            cell_spread_v=data["cell_spread_v"],
            resistance_ratio=data["resistance_ratio"],
            insulation_ohm_per_v=data["insulation_ohm_per_v"],
            damaged=data["damaged"],
        ),
        specification=PackSpecification(
            origin=data["origin"],
            serial_number=data["serial_number"],
            max_charge_kw=data["max_charge_kw"],
            max_discharge_kw=data["max_discharge_kw"],
        ),
        inspected_by=f"console:{user}"[:120],
        now=timezone.now(),
    )


def _say(request: HttpRequest, identity: str, outcome: IntakeOutcome) -> None:
    if outcome.grade.verdict is IntakeVerdict.REFUSE:
        messages.error(request, _("%(pack)s is refused. The reasons stand below.") % {"pack": identity})
    elif outcome.grade.verdict is IntakeVerdict.DERATE:
        words = {"pack": identity, "part": f"{outcome.grade.power_fraction:.0%}"}
        messages.warning(request, _("%(pack)s is taken with %(part)s of its power. The reasons stand below.") % words)
    else:
        messages.success(request, _("%(pack)s is taken.") % {"pack": identity})


@require_POST
@for_operator
def new_capacity_test(request: HttpRequest) -> HttpResponse:
    """Begin a capacity test, or say why not now."""
    form = CapacityTestForm(request.POST, identities=pack_identities())
    if not form.is_valid():
        messages.error(request, _("Choose a pack."))
        return redirect("portal:ops-packs")
    try:
        started = start_capacity_test(pack_identity=form.cleaned_data["pack"], now=timezone.now())
    except PlatformError as error:
        messages.error(request, f"{error.message} {error.remedy}")
    else:
        hours = (started.ends_at - started.starts_at).total_seconds() / 3600
        messages.success(request, _("The test has begun. It takes %(hours)s h.") % {"hours": f"{hours:.1f}"})
    return redirect("portal:ops-packs")
