"""The API's description: what is left out of it, and how it is shown."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from aggregator.api.errors import PROBLEM_CONTENT_TYPE


def keep_canonical_paths(endpoints: list[tuple[Any, ...]], **_: Any) -> list[tuple[Any, ...]]:
    """Leave out the twins of addresses that end in a slash; they answer alike."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


class Schema(SpectacularAPIView):
    """OpenAPI 3.1."""

    authentication_classes = ()


class Docs(SpectacularSwaggerView):
    """The description as a page to read and try, from files of our own."""

    authentication_classes = ()


class Reference(SpectacularRedocView):
    """The description as a page to read."""

    authentication_classes = ()


def no_such_address(request: HttpRequest, **_: Any) -> JsonResponse:
    """What an address below /api/ that does not exist answers."""
    body = {
        "type": "urn:problem:not_found",
        "title": "Not found.",
        "status": 404,
        "detail": f"There is nothing at {request.path}.",
        "remedy": "/api/schema/ lists every address.",
    }
    return JsonResponse(body, status=404, content_type=PROBLEM_CONTENT_TYPE)
