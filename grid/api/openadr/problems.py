"""Errors as OpenADR wants them: a `problem` in plain JSON, with one of the statuses that its description knows."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from common.errors import Conflict, InvalidInput, NotAllowed, NotFound, PlatformError

logger = logging.getLogger(__name__)

STATUS_OF_ERROR: dict[type[PlatformError], int] = {InvalidInput: 400, NotAllowed: 403, NotFound: 404, Conflict: 409}
# OpenADR knows no 415: a body that is no JSON is a bad request
_AS_BAD_REQUEST = (exceptions.UnsupportedMediaType, exceptions.ParseError)


def problem(status: int, title: str, detail: str, *, kind: str = "", field: str = "", remedy: str = "") -> dict:
    """The body of an error: OpenADR's `problem`, with the field at fault and the remedy where they are known."""
    body: dict[str, Any] = {"type": f"urn:problem:{kind}" if kind else "about:blank", "title": title}
    body |= {"status": status, "detail": detail}
    return body | ({"field": field} if field else {}) | ({"remedy": remedy} if remedy else {})


def handle_exception(exc: Exception, context: dict) -> Response:
    """DRF's exception handler for all of the VTN, also for what nobody expected."""
    set_rollback()
    if isinstance(exc, PlatformError):
        status = next((STATUS_OF_ERROR[cls] for cls in type(exc).__mro__ if cls in STATUS_OF_ERROR), 400)
        title = exc.code.replace("_", " ")
        body = problem(status, title, exc.message, kind=exc.code, field=exc.field, remedy=exc.remedy)
        return Response(body, status=status)
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    if not isinstance(exc, exceptions.APIException):
        logger.error("the VTN failed", exc_info=exc)
        return Response(problem(500, "Internal Server Error", "The server failed; it is logged."), status=500)
    status = 400 if isinstance(exc, _AS_BAD_REQUEST) else exc.status_code
    answer = Response(problem(status, str(exc.default_detail), str(exc.detail), kind=str(exc.default_code)), status)
    challenge, wait_s = getattr(exc, "auth_header", None), getattr(exc, "wait", None)
    if challenge:
        answer["WWW-Authenticate"] = challenge
    if wait_s:
        answer["Retry-After"] = str(int(wait_s) + 1)
    return answer


def no_such_address(request: HttpRequest, **_: Any) -> JsonResponse:
    """What an address of the VTN that does not exist answers."""
    return JsonResponse(problem(404, "Not Found", f"There is nothing at {request.path}.", kind="not_found"), status=404)
