"""Events: a grid operator asks for less or more power, watches it delivered, and may call it off."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView, client_name
from aggregator.api.delivery import DeliverySerializer
from aggregator.api.errors import RefersToUnknown
from aggregator.api.fields import InstantField, StrictSerializer
from aggregator.api.paging import PAGE_PARAMETERS, page_of, page_request, page_response
from aggregator.api.problems import problems
from aggregator.api.settlements import SettlementSerializer
from aggregator.queries.delivery import latest_delivery
from aggregator.tasks import request_plan
from common.errors import InvalidInput
from grid.operations.events import cancel_event, record_event
from grid.queries import EventView, UnknownProgramme, event, events_page, latest_settlement

STATES = ["received", "planned", "cancelled", "settled"]
DIRECTIONS = ["reduce", "increase"]


class EventRequestSerializer(StrictSerializer):
    """What an operator asks for."""

    programme = serializers.CharField(max_length=60, help_text="code of the programme")
    direction = serializers.ChoiceField(DIRECTIONS, help_text="reduce: draw less or feed in; increase: draw more")
    target_kw = serializers.FloatField(help_text="change against the baseline, above zero")
    starts_at = InstantField(help_text="with time zone")
    ends_at = InstantField(help_text="with time zone; does not belong to the event")
    idempotency_key = serializers.CharField(
        max_length=120, required=False, help_text="your own name for this request; or the header Idempotency-Key"
    )


class EventSerializer(serializers.Serializer):
    """An event as recorded."""

    event_id = serializers.IntegerField()
    programme = serializers.CharField(source="programme_code")
    region = serializers.CharField(source="region_code")
    direction = serializers.ChoiceField(DIRECTIONS)
    target_kw = serializers.FloatField()
    starts_at = InstantField()
    ends_at = InstantField(help_text="earlier than asked for if it was called off while it ran")
    state = serializers.ChoiceField(STATES)
    received_at = InstantField()
    cancelled_at = InstantField(allow_null=True)
    idempotency_key = serializers.CharField()
    participants = serializers.SerializerMethodField(help_text="how many assets take part")
    baseline_kw = serializers.FloatField(allow_null=True, help_text="estimate; settlement computes it anew")
    slot_s = serializers.IntegerField()
    ramp_s = serializers.IntegerField()
    currency = serializers.CharField()

    def get_participants(self, view: EventView) -> int:
        """How many assets take part."""
        return len(view.participants)


class EventDetailSerializer(EventSerializer):
    """An event with its last measured delivery and, once there is one, its settlement."""

    delivery = DeliverySerializer(allow_null=True)
    settlement = SettlementSerializer(allow_null=True)


REQUEST_VALUE: dict[str, Any] = {
    "programme": "utility-dr",
    "direction": "reduce",
    "target_kw": 120.0,
    "starts_at": "2026-11-23T18:00:00Z",
    "ends_at": "2026-11-23T19:00:00Z",
    "idempotency_key": "2026-11-23-evening",
}
EVENT_VALUE: dict[str, Any] = {
    "event_id": 17,
    "programme": "utility-dr",
    "region": "NL",
    "direction": "reduce",
    "target_kw": 120.0,
    "starts_at": "2026-11-23T18:00:00Z",
    "ends_at": "2026-11-23T19:00:00Z",
    "state": "received",
    "received_at": "2026-11-23T17:40:00Z",
    "cancelled_at": None,
    "idempotency_key": "2026-11-23-evening",
    "participants": 0,
    "baseline_kw": None,
    "slot_s": 900,
    "ramp_s": 300,
    "currency": "EUR",
}
EVENT_EXAMPLES = [
    OpenApiExample("A reduction in the evening", value=REQUEST_VALUE, request_only=True),
    OpenApiExample("As recorded", value=EVENT_VALUE, response_only=True, status_codes=["200", "201"]),
]
DETAIL_EXAMPLE = OpenApiExample(
    "While it runs",
    response_only=True,
    status_codes=["200"],
    value={
        **EVENT_VALUE,
        "state": "planned",
        "participants": 188,
        "baseline_kw": 240.0,
        "delivery": {
            "at": "2026-11-23T18:12:04Z",
            "target_kw": 120.0,
            "baseline_kw": 240.0,
            "measured_kw": 121.2,
            "delivered_kw": 118.8,
            "corrected_assets": 3,
        },
        "settlement": None,
    },
)
LIST_EXAMPLE = OpenApiExample("A page", value={"next": None, "results": [EVENT_VALUE]}, response_only=True)
OVERLAP_EXAMPLE = OpenApiExample(
    "Overlap",
    value={
        "type": "urn:problem:event_overlaps",
        "title": "event overlaps",
        "status": 409,
        "detail": "The programme 'utility-dr' has an event from 2026-11-23T18:00:00+00:00 to 2026-11-23T19:00:00+00:00.",
        "field": "starts_at",
        "remedy": "Choose another time, or call the other event off first.",
    },
)
TOO_LATE_EXAMPLE = OpenApiExample(
    "Too little notice",
    value={
        "type": "urn:problem:event_too_late",
        "title": "event too late",
        "status": 400,
        "detail": "The programme asks for 600 s of notice.",
        "field": "starts_at",
        "remedy": "Start at 2026-11-23T17:52:11+00:00 or later.",
    },
)
KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="your own name for this request; sending the request again under it makes no second event",
)


class EventList(ClientView):
    """The caller's events."""

    required_alternate_scopes: ClassVar = {"GET": [["events:read"]], "POST": [["events:write"]]}

    @extend_schema(
        operation_id="list_events",
        summary="Your events, the latest recorded first",
        tags=["events"],
        parameters=[
            OpenApiParameter("state", str, enum=STATES),
            OpenApiParameter("programme", str, description="code of a programme"),
            *PAGE_PARAMETERS,
        ],
        responses={200: page_of(EventSerializer), **problems(400)},
        examples=[LIST_EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        """A page of them; nobody sees another operator's."""
        asked = page_request(request)
        state = request.query_params.get("state", "")
        if state and state not in STATES:
            raise InvalidInput(f"{state!r} is no state.", field="state", remedy=f"Give one of {', '.join(STATES)}.")
        rows = events_page(
            requested_by=client_name(request),
            before_id=asked.before_id,
            limit=asked.size + 1,
            state=state,
            programme_code=request.query_params.get("programme", ""),
        )
        shown = list(EventSerializer(rows, many=True).data)
        return page_response(request, asked, shown, [row.event_id for row in rows])

    @extend_schema(
        operation_id="create_event",
        summary="Ask for a reduction or an increase",
        tags=["events"],
        parameters=[KEY_HEADER],
        request=EventRequestSerializer,
        responses={
            201: EventSerializer,
            200: EventSerializer,
            **problems(409, 415, examples={400: [TOO_LATE_EXAMPLE], 409: [OVERLAP_EXAMPLE]}),
        },
        examples=EVENT_EXAMPLES,
    )
    def post(self, request: Request) -> Response:
        """Record an event; 201 if it is new, 200 if the same request was recorded before. Planning begins at once."""
        body = EventRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        try:
            recorded = record_event(
                requested_by=client_name(request),
                idempotency_key=_idempotency_key(request, asked.get("idempotency_key")),
                programme_code=asked["programme"],
                direction=asked["direction"],
                target_kw=asked["target_kw"],
                starts_at=asked["starts_at"],
                ends_at=asked["ends_at"],
                now=timezone.now(),
            )
        except UnknownProgramme as error:
            raise RefersToUnknown(error) from error
        if recorded.event.state == "received":
            request_plan(recorded.event.event_id)
        code = status.HTTP_201_CREATED if recorded.created else status.HTTP_200_OK
        location = request.build_absolute_uri(f"{request.path.rstrip('/')}/{recorded.event.event_id}")
        return Response(EventSerializer(recorded.event).data, status=code, headers={"Location": location})


class EventDetail(ClientView):
    """One event of the caller."""

    required_alternate_scopes: ClassVar = {"GET": [["events:read"]], "DELETE": [["events:write"]]}

    @extend_schema(
        operation_id="get_event",
        summary="One event, with its delivery and settlement",
        tags=["events"],
        responses={200: EventDetailSerializer, **problems(404)},
        examples=[DETAIL_EXAMPLE],
    )
    def get(self, request: Request, event_id: int) -> Response:
        """The event, what it delivers now, and its settlement once it is settled."""
        view = event(event_id, requested_by=client_name(request))
        delivery, settled = latest_delivery(event_id=event_id), latest_settlement(event_id)
        return Response(
            {
                **EventSerializer(view).data,
                "delivery": DeliverySerializer(delivery).data if delivery else None,
                "settlement": SettlementSerializer(settled).data if settled else None,
            }
        )

    @extend_schema(
        operation_id="cancel_event",
        summary="Call an event off",
        tags=["events"],
        responses={200: EventSerializer, **problems(404, 409)},
        examples=[
            OpenApiExample(
                "Called off before its start",
                response_only=True,
                status_codes=["200"],
                value={**EVENT_VALUE, "state": "cancelled", "cancelled_at": "2026-11-23T17:50:00Z"},
            )
        ],
    )
    def delete(self, request: Request, event_id: int) -> Response:
        """Before its start it is as if it had never been; while it runs it ends now and is settled until now."""
        view = cancel_event(event_id=event_id, requested_by=client_name(request), now=timezone.now())
        request_plan(event_id)
        return Response(EventSerializer(view).data)


def _idempotency_key(request: Request, in_body: str | None) -> str:
    """The header or the field; without either a fresh one, as the programme's overlap rule still refuses a double."""
    in_header = request.headers.get("Idempotency-Key")
    if in_header and in_body and in_header != in_body:
        raise InvalidInput(
            "The header Idempotency-Key and the field say different things.",
            field="idempotency_key",
            remedy="Send one of them.",
        )
    return in_header or in_body or f"generated-{secrets.token_urlsafe(16)}"
