"""Error bodies as the API's description shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

MEANING = {
    400: "The request breaks a rule; `field` names it and `remedy` says how to mend it.",
    401: "There is no valid token.",
    403: "The token lacks the scope.",
    404: "There is no such thing, or it is another client's.",
    409: "The request clashes with what is recorded.",
    415: "The body is no JSON.",
    429: "Too many calls in this minute; `Retry-After` says when to call again.",
}


class ProblemSerializer(serializers.Serializer):
    """Problem details (RFC 9457)."""

    type = serializers.CharField(help_text="a stable name, such as urn:problem:event_overlaps")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="what is wrong, one sentence")
    field = serializers.CharField(required=False, help_text="the input at fault, by the name its sender used")
    remedy = serializers.CharField(required=False, help_text="what the sender can do about it")
    # the name is the body's, whatever DRF keeps under it on a serializer that checks input
    errors = serializers.DictField(  # type: ignore[assignment]
        required=False, help_text="every field at fault, if there are several"
    )


def problems(*codes: int, examples: dict[int, list[OpenApiExample]] | None = None) -> dict[Any, OpenApiResponse]:
    """Responses of an operation that may fail with these statuses, beside 400, 401, 403 and 429, which every one may."""
    shown = examples or {}
    return {
        (code, "application/problem+json"): OpenApiResponse(
            ProblemSerializer, description=MEANING[code], examples=shown.get(code, [])
        )
        for code in sorted({*codes, 400, 401, 403, 429})
    }
