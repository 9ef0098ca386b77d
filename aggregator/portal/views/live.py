"""The operator's first page: the gap and its cause, then the picture, then the regions."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aggregator.portal.access import for_operator
from aggregator.portal.charts import chart_data
from aggregator.portal.pages import render_page
from aggregator.queries.console import live_portfolio


@require_safe
@for_operator
def live(request: HttpRequest) -> HttpResponse:
    """The whole page, or its moving part for htmx."""
    portfolio = live_portfolio(now=timezone.now())
    zone = portfolio.regions[0].counts.time_zone if portfolio.regions else "UTC"
    current = portfolio.current
    context = {
        "live": portfolio,
        "chart": None if current is None else chart_data(current.points, time_zone=zone),
        "last_points": list(reversed(current.points[-12:])) if current is not None else [],
    }
    return render_page(request, "portal/ops/live.html", context, time_zone=zone, fragment="portal/ops/live_part.html")
