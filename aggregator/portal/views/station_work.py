"""Work on many stations: the same command with its progress, and firmware campaigns."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from aggregator.portal.access import for_operator
from aggregator.portal.pages import render_page
from aggregator.portal.station_forms import BatchForm, CampaignForm, CommandForm, offered_commands
from aggregator.portal.views.stations import add_refusal, asker
from common.errors import NotFound, PlatformError
from fleet.operations.firmware_campaigns import CampaignPlan, create_campaign, start_campaign, stop_campaign
from fleet.operations.station_commands import BatchFilter, cancel_batch, order_batch
from fleet.queries.firmware_campaigns import campaign_failures, campaigns
from fleet.queries.stations import batch_commands, batches

PAGE = 50


def _before(request: HttpRequest) -> int | None:
    text = request.GET.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


@require_http_methods(["GET", "HEAD", "POST"])
@for_operator
def batch_list(request: HttpRequest) -> HttpResponse:
    """Commands to many stations with their progress; a POST gives one."""
    kind = request.POST.get("kind") or request.GET.get("kind") or "trigger"
    offered = offered_commands()
    if kind not in dict(offered):
        raise Http404
    posted = request.POST if request.method == "POST" else None
    form = CommandForm(posted, kind=kind)
    chosen = BatchForm(posted, prefix="stations", initial={"idempotency_key": f"console-{uuid.uuid4()}"})
    if posted is not None and form.is_valid() and chosen.is_valid():
        batch_id = _order(request, form, chosen)
        if batch_id is not None:
            return redirect("portal:ops-batch", batch_id)
    rows = batches(before_id=_before(request), limit=PAGE + 1)
    context = {
        "batches": rows[:PAGE],
        "next_before": rows[PAGE - 1].batch_id if len(rows) > PAGE else None,
        "offered": offered,
        "kind": kind,
        "form": form,
        "chosen": chosen,
    }
    return render_page(request, "portal/ops/batches.html", context, status=422 if posted is not None else 200)


def _order(request: HttpRequest, form: CommandForm, chosen: BatchForm) -> int | None:
    given = chosen.cleaned_data
    identities = [line.strip() for line in given["identities"].splitlines() if line.strip()]
    try:
        return order_batch(
            chosen=BatchFilter(identities, given["site"], given["vendor"], given["model"]),
            kind=form.kind,
            parameters=form.given(),
            requested_by=asker(request),
            idempotency_key=given["idempotency_key"],
            now=timezone.now(),
        )
    except PlatformError as error:
        add_refusal(form, error)
        return None


@require_safe
@for_operator
def batch_page(request: HttpRequest, batch_id: int) -> HttpResponse:
    """How far it is, and what each station said."""
    found = batches(batch_id=batch_id)
    if not found:
        raise Http404
    rows = batch_commands(batch_id, before_id=_before(request), limit=PAGE + 1)
    context = {
        "batch": found[0],
        "lines": rows[:PAGE],
        "next_before": rows[PAGE - 1].command_id if len(rows) > PAGE else None,
    }
    return render_page(request, "portal/ops/batch.html", context, fragment="portal/ops/batch_part.html")


@require_POST
@for_operator
def take_back_batch(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Take back what has not been sent."""
    try:
        cancel_batch(batch_id=batch_id, now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    messages.success(request, _("What had not been sent is taken back."))
    return redirect("portal:ops-batch", batch_id)


@require_http_methods(["GET", "HEAD", "POST"])
@for_operator
def campaign_list(request: HttpRequest) -> HttpResponse:
    """Firmware campaigns; a POST prepares one."""
    posted = request.POST if request.method == "POST" else None
    form = CampaignForm(posted)
    if posted is not None and form.is_valid():
        campaign_id = _create(request, form)
        if campaign_id is not None:
            messages.success(request, _("Prepared. Nothing is sent before you start it."))
            return redirect("portal:ops-campaign", campaign_id)
    rows = campaigns(before_id=_before(request), limit=PAGE + 1)
    context = {
        "campaigns": rows[:PAGE],
        "next_before": rows[PAGE - 1].campaign_id if len(rows) > PAGE else None,
        "form": form,
    }
    return render_page(request, "portal/ops/campaigns.html", context, status=422 if posted is not None else 200)


def _create(request: HttpRequest, form: CampaignForm) -> int | None:
    given = form.cleaned_data
    plan = CampaignPlan(
        name=given["name"],
        vendor=given["vendor"],
        model=given["model"],
        firmware_version=given["firmware_version"],
        location=given["location"],
        stage_fractions=form.stage_fractions(),
        signing_certificate=given["signing_certificate"],
        signature=given["signature"],
        failure_limit_fraction=given["failure_limit_percent"] / 100,
        patience_s=given["patience_minutes"] * 60,
        rest_s=given["rest_minutes"] * 60,
    )
    try:
        return create_campaign(plan=plan, created_by=asker(request), now=timezone.now())
    except PlatformError as error:
        field = "stages" if error.field == "stage_fractions" else error.field
        form.add_error(field if field in form.fields else None, str(error))
        return None


@require_safe
@for_operator
def campaign_page(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """One campaign, stage by stage, and who has failed."""
    found = campaigns(campaign_id=campaign_id)
    if not found:
        raise Http404
    context = {"campaign": found[0], "failures": campaign_failures(campaign_id)}
    return render_page(request, "portal/ops/campaign.html", context, fragment="portal/ops/campaign_part.html")


@require_POST
@for_operator
def run_campaign(request: HttpRequest, campaign_id: int, order: str) -> HttpResponse:
    """Start it, go on with it, or stop it."""
    try:
        if order == "start":
            start_campaign(campaign_id=campaign_id, now=timezone.now())
        else:
            stop_campaign(campaign_id=campaign_id, reason=f"stopped by {asker(request)}", now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    except PlatformError as error:
        messages.error(request, str(error))
    return redirect("portal:ops-campaign", campaign_id)
