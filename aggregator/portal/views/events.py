"""Events for the operator: the list, asking for one, and what became of it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from aggregator import tasks
from aggregator.portal.access import for_operator
from aggregator.portal.charts import chart_data
from aggregator.portal.forms import EventForm
from aggregator.portal.pages import render_page
from aggregator.queries.console import event_result
from common.errors import NotFound, PlatformError
from fleet.queries.console import region_counts
from grid.operations.events import cancel_event, record_event
from grid.queries import EventNotFound, EventView, ProgrammeView, current_programmes, event
from grid.queries.console import recent_events

PAGE = 50
SOON = timedelta(minutes=1)


@require_safe
@for_operator
def event_list(request: HttpRequest) -> HttpResponse:
    """The latest first; older ones by key."""
    stamp, _sep, event_id = request.GET.get("before", "").rpartition(",")
    at = parse_datetime(stamp) if stamp else None
    before = (at, int(event_id)) if at is not None and at.tzinfo is not None and event_id.isdecimal() else None
    found = recent_events(limit=PAGE + 1, before=before)
    shown = found[:PAGE]
    last = shown[-1] if len(found) > PAGE else None
    context = {
        "events": shown,
        "next_before": f"{last.starts_at.isoformat()},{last.event_id}" if last is not None else "",
    }
    zone = shown[0].time_zone if shown else "UTC"
    return render_page(request, "portal/ops/events.html", context, time_zone=zone)


@require_safe
@for_operator
def event_page(request: HttpRequest, event_id: int) -> HttpResponse:
    """What was asked for, what was delivered, what it earned, and what could not be kept."""
    try:
        result = event_result(event_id=event_id, now=timezone.now())
    except EventNotFound as error:
        raise Http404 from error
    found, points = result.event, result.current.points
    now = timezone.now()
    context = {
        "result": result,
        "event": found,
        "chart": chart_data(points, time_zone=found.time_zone) if points else None,
        "last_points": list(reversed(points[-12:])),
        "upcoming": found.starts_at > now,
        "open": found.state in {"received", "planned"} and found.ends_at > now,
        "ratio": _ratio(result),
    }
    return render_page(
        request, "portal/ops/event.html", context, time_zone=found.time_zone, fragment="portal/ops/event_part.html"
    )


def _ratio(result: object) -> float | None:
    """Delivered over target in the full steps after the ramp."""
    settlement = getattr(result, "settlement", None)
    steps = [step for step in settlement.steps if not step.in_ramp] if settlement is not None else []
    target_kw = sum(step.target_kw for step in steps)
    return sum(step.delivered_kw for step in steps) / target_kw if target_kw else None


@require_http_methods(["GET", "HEAD", "POST"])
@for_operator
def new_event(request: HttpRequest) -> HttpResponse:
    """Ask for an event; planning starts with the commit, as for a request by the API."""
    now = timezone.now()
    programmes = current_programmes(now)
    if not programmes:
        return render_page(request, "portal/ops/event_new.html", {"form": None})
    zones = _zones(programmes)
    posted = request.POST if request.method == "POST" else None
    chosen = posted.get("programme_code", "") if posted is not None else programmes[0].code
    zone = zones.get(chosen, "UTC")
    # times in the form are those of the programme's region
    with timezone.override(ZoneInfo(zone)):
        form = EventForm(posted, programmes=programmes, initial=_start_values(programmes[0]))
        if posted is not None and form.is_valid():
            answer = _record(request, form)
            if answer is not None:
                return answer
        status = 422 if posted is not None else 200
        context = {"form": form, "programmes": programmes, "zone": zone}
        return render_page(request, "portal/ops/event_new.html", context, time_zone=zone, status=status)


def _zones(programmes: list[ProgrammeView]) -> dict[str, str]:
    """The time zone of each programme's region."""
    of_region = {region.code: region.time_zone for region in region_counts()}
    return {programme.code: of_region[programme.region_code] for programme in programmes}


def _start_values(programme: ProgrammeView) -> dict[str, object]:
    starts_at = timezone.localtime() + timedelta(seconds=programme.notice_s) + SOON
    return {
        "starts_at": starts_at.replace(microsecond=0),
        "duration_s": min(programme.max_duration_s, max(programme.slot_s * 4, programme.ramp_s * 2)),
        "idempotency_key": f"console-{uuid.uuid4()}",
        "direction": "reduce" if programme.allows_reduction else "increase",
    }


def _record(request: HttpRequest, form: EventForm) -> HttpResponse | None:
    data = form.cleaned_data
    try:
        recorded = record_event(
            requested_by=f"console:{request.user.get_username()}",
            idempotency_key=data["idempotency_key"],
            programme_code=data["programme_code"],
            direction=data["direction"],
            target_kw=data["target_kw"],
            starts_at=data["starts_at"],
            ends_at=data["starts_at"] + timedelta(seconds=data["duration_s"]),
            now=timezone.now(),
        )
    except PlatformError as error:
        field, text = _refusal(error)
        form.add_error(field if field in form.fields else None, text)
        return None
    if recorded.created:
        tasks.plan_event.delay_on_commit(recorded.event.event_id)
        messages.success(request, _("Recorded. The plan is being made."))
    return redirect("portal:ops-event", recorded.event.event_id)


def _refusal(error: PlatformError) -> tuple[str | None, str]:
    """The field at fault and why, in the reader's language; what has no text of ours is said as it came."""
    texts = {
        "event_too_late": ("starts_at", _("The programme wants more notice. Choose a later start.")),
        "event_too_large": ("target_kw", _("The programme buys less at once. Ask for less.")),
        "event_too_small": ("target_kw", _("The programme buys more at once. Ask for more.")),
        "event_too_long": ("duration_s", _("The programme allows no event as long as this. Shorten it.")),
        "event_too_short": ("duration_s", _("The event would end before its target must be reached. Lengthen it.")),
        "event_overlaps": ("starts_at", _("The programme has another event at that time. Choose another time.")),
        "direction_not_offered": ("direction", _("The programme does not buy this direction. Choose the other.")),
    }
    field = "programme_code" if error.field == "programme" else error.field
    return texts.get(error.code, (field or None, str(error)))


@require_POST
@for_operator
def call_off(request: HttpRequest, event_id: int) -> HttpResponse:
    """Call off an event, whoever asked for it: the operator answers for the portfolio."""
    try:
        found: EventView = event(event_id)
        cancel_event(event_id=event_id, requested_by=found.requested_by, now=timezone.now())
    except NotFound as error:
        raise Http404 from error
    except PlatformError as error:
        messages.error(request, str(error))
    else:
        tasks.replan_region.delay_on_commit(found.region_id, "event")
        messages.success(request, _("Called off. Devices go back to their plan."))
    return redirect("portal:ops-event", event_id)
