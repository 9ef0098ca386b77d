"""Rendering a page in the time zone of the place that it speaks of."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone


def render_page(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    time_zone: str = "UTC",
    fragment: str = "",
    status: int = 200,
) -> HttpResponse:
    """Render the template; for a request by htmx the fragment alone, where there is one."""
    name = fragment if fragment and request.headers.get("HX-Request") == "true" else template
    with timezone.override(ZoneInfo(time_zone)):
        response = render(request, name, context, status=status)
    response.headers["Vary"] = ", ".join(filter(None, [response.headers.get("Vary"), "HX-Request"]))
    return response
