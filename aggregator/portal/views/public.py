"""What anybody may see."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from aggregator.portal.pages import render_page
from aggregator.queries.console import public_figures


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this is, and the portfolio's totals as they are now."""
    context = {"figures": public_figures(now=timezone.now())}
    return render_page(request, "portal/landing.html", context, fragment="portal/parts/figures.html")
