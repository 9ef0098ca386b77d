"""Every HTTP status that an error of ours becomes. Bodies are problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from common.errors import Conflict, InvalidInput, NotAllowed, NotFound, PlatformError

PROBLEM_CONTENT_TYPE = "application/problem+json"

STATUS_OF_ERROR: dict[type[PlatformError], int] = {
    InvalidInput: status.HTTP_400_BAD_REQUEST,
    NotFound: status.HTTP_404_NOT_FOUND,
    Conflict: status.HTTP_409_CONFLICT,
    NotAllowed: status.HTTP_403_FORBIDDEN,
}


class RefersToUnknown(InvalidInput):
    """The body names something that does not exist: the request is wrong, not its address."""

    def __init__(self, error: PlatformError) -> None:
        super().__init__(error.message, field=error.field, remedy=error.remedy)
        self.code = error.code


def status_of(error: PlatformError) -> int:
    """HTTP status of an error: that of its nearest ancestor in the table, else 400."""
    for cls in type(error).__mro__:
        if cls in STATUS_OF_ERROR:
            return STATUS_OF_ERROR[cls]
    return status.HTTP_400_BAD_REQUEST


def handle_exception(exc: Exception, context: dict) -> Response | None:
    """DRF's exception handler: every error body has type, title, status, detail and, where known, field and remedy."""
    if isinstance(exc, PlatformError):
        return _problem(
            status_of(exc), exc.code, exc.code.replace("_", " "), exc.message, field=exc.field, remedy=exc.remedy
        )
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    response = exception_handler(exc, context)
    if response is None or not isinstance(exc, exceptions.APIException):
        return response
    field, detail = "", str(exc.detail)
    extra: dict[str, Any] = {}
    if isinstance(exc, exceptions.ValidationError):
        field, detail = _first_error(response.data)
        extra["errors"] = response.data
    problem = _problem(
        response.status_code, str(exc.default_code), str(exc.default_detail), detail, field=field, **extra
    )
    for header in ("WWW-Authenticate", "Retry-After"):
        if header in response:
            problem[header] = response[header]
    return problem


def _problem(
    code: int, kind: str, title: str, detail: str, *, field: str = "", remedy: str = "", **extra: Any
) -> Response:
    body: dict[str, Any] = {"type": f"urn:problem:{kind}", "title": title, "status": code, "detail": detail}
    if field:
        body["field"] = field
    if remedy:
        body["remedy"] = remedy
    return Response({**body, **extra}, status=code, content_type=PROBLEM_CONTENT_TYPE)


def _first_error(data: Any) -> tuple[str, str]:
    """The first field at fault, by the name that its sender used (nested with dots), and what is wrong with it."""
    if isinstance(data, dict) and data:
        name, inner = next(iter(data.items()))
        field, detail = _first_error(inner)
        path = "" if name == "non_field_errors" else str(name)
        return ".".join(part for part in (path, field) if part), detail
    if isinstance(data, list) and data:
        return _first_error(data[0])
    return "", str(data) if data else "the request breaks a rule"
