"""/auth: where tokens are to be had, and the tokens themselves (OAuth2 client credentials, HTTP Basic or form)."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.views import TokenView
from rest_framework.request import Request
from rest_framework.response import Response

from grid.api.openadr.problems import problem
from grid.api.openadr.views import VtnView

_FORM = "application/x-www-form-urlencoded"


class AuthServer(VtnView):
    """The authorisation server."""

    authentication_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Anybody may ask."""
        if (request.method or "").lower() != "get":
            self.http_method_not_allowed(request)

    def get(self, request: Request) -> Response:
        """Where tokens are to be had."""
        return Response({"tokenURL": request.build_absolute_uri(request.path.removesuffix("/server") + "/token")})


@method_decorator(csrf_exempt, name="dispatch")
class OpenAdrTokenView(TokenView):
    """The platform's token end point, with errors that are both OAuth2's and OpenADR's."""

    http_method_names = ["post"]

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """405, as a problem."""
        answer = _error(405, "invalid_request", "Tokens are asked for by POST.")
        answer["Allow"] = "POST"
        return answer

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A token, or why there is none."""
        if (request.content_type or "") != _FORM:
            return _error(400, "invalid_request", f"Send a form ({_FORM}).")
        if any("\x00" in value or not value.isprintable() for values in request.POST.lists() for value in values[1]):
            return _error(400, "invalid_request", "A field holds characters that no identifier has.")
        given = super().post(request, *args, **kwargs)
        if given.status_code == 200:
            return given
        told = json.loads(given.content or b"{}")
        answer = _error(given.status_code, told.get("error", "invalid_request"), told.get("error_description", ""))
        if "WWW-Authenticate" in given:
            answer["WWW-Authenticate"] = given["WWW-Authenticate"]
        return answer


def _error(status: int, error: str, description: str) -> JsonResponse:
    detail = description or error.replace("_", " ")
    return JsonResponse(
        {"error": error, "error_description": detail, **problem(status, error.replace("_", " "), detail, kind=error)},
        status=status,
    )
