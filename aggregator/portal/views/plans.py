"""Plans for the operator: what they promise with which probability, what they miss and why, and how forecasts fared."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aggregator.portal.access import for_operator
from aggregator.portal.pages import render_page
from aggregator.queries.forecasts import departure_scores
from aggregator.queries.plans import MOST_LINES, PlanNotFound, fairness_by_region, plan_view, recent_plans

PAGE = 50


@require_safe
@for_operator
def plan_list(request: HttpRequest) -> HttpResponse:
    """The newest plans, how forecasts fared in the last 30 days, and how evenly owners were called."""
    before = request.GET.get("before", "")
    found = recent_plans(limit=PAGE + 1, before_id=int(before) if before.isdecimal() else None)
    shown = found[:PAGE]
    context = {
        "plans": shown,
        "next_before": shown[-1].plan_id if len(found) > PAGE else None,
        "scores": departure_scores(now=timezone.now()),
        "fairness": fairness_by_region(),
    }
    zone = shown[0].time_zone if shown else "UTC"
    return render_page(request, "portal/ops/plans.html", context, time_zone=zone)


@require_safe
@for_operator
def plan_page(request: HttpRequest, plan_id: int) -> HttpResponse:
    """One plan, with every promise that it could not keep."""
    try:
        plan = plan_view(plan_id)
    except PlanNotFound as error:
        raise Http404 from error
    context = {"plan": plan, "most_lines": MOST_LINES}
    return render_page(request, "portal/ops/plan.html", context, time_zone=plan.time_zone)
