"""/api/reservations/: EVSEs kept for drivers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView, client_name
from aggregator.api.fields import InstantField, StrictSerializer
from aggregator.api.paging import PAGE_PARAMETERS, page_of, page_request, page_response
from aggregator.api.problems import problems
from aggregator.api.stations import TAG
from common.errors import NotFound
from fleet.operations.reservations import cancel_reservation, reserve
from fleet.queries.stations import reservations


class ReservationRequestSerializer(StrictSerializer):
    """An EVSE to be kept for a driver."""

    identity = serializers.CharField(max_length=48)
    evse = serializers.IntegerField(default=0, min_value=0, help_text="0: any")
    id_token = serializers.CharField(max_length=36)
    expires_at = InstantField()


class ReservationSerializer(serializers.Serializer):
    """A reservation; whose it is, is not shown."""

    reservation_id = serializers.IntegerField()
    identity = serializers.CharField()
    evse = serializers.IntegerField(help_text="0: any")
    state = serializers.CharField(help_text="requested, active, refused, used, cancelled or expired")
    reason = serializers.CharField(allow_blank=True)
    starts_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


RESERVATION_EXAMPLE: dict[str, Any] = {
    "reservation_id": 9,
    "identity": "CP-000001",
    "evse": 1,
    "state": "active",
    "reason": "",
    "starts_at": "2026-11-23T17:40:00Z",
    "expires_at": "2026-11-23T18:10:00Z",
}


def _reservation(reservation_id: int) -> dict[str, Any]:
    found = reservations(reservation_id=reservation_id)
    if not found:
        raise NotFound(f"There is no reservation {reservation_id}.", field="reservation_id")
    return ReservationSerializer(found[0]).data


class ReservationList(ClientView):
    """Reservations."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]], "POST": [["stations:write"]]}

    @extend_schema(
        operation_id="list_reservations",
        summary="Reservations, the latest first",
        tags=[TAG],
        parameters=[*PAGE_PARAMETERS, OpenApiParameter("identity", str, description="of a station")],
        responses={200: page_of(ReservationSerializer), **problems()},
        examples=[OpenApiExample("One", {"next": None, "results": [RESERVATION_EXAMPLE]}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Also those that are over."""
        asked = page_request(request)
        rows = reservations(
            before_id=asked.before_id, limit=asked.size + 1, identity=request.query_params.get("identity", "")
        )
        return page_response(
            request, asked, [ReservationSerializer(row).data for row in rows], [row.reservation_id for row in rows]
        )

    @extend_schema(
        operation_id="reserve_station",
        summary="Keep an EVSE for a driver",
        tags=[TAG],
        request=ReservationRequestSerializer,
        responses={202: ReservationSerializer, **problems(404, 409)},
        examples=[
            OpenApiExample(
                "Asked", {**RESERVATION_EXAMPLE, "state": "requested"}, response_only=True, status_codes=["202"]
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        """The station decides: `requested` becomes `active` or `refused` with its answer."""
        body = ReservationRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        reservation_id = reserve(
            identity=given["identity"],
            evse_number=given["evse"],
            id_token=given["id_token"],
            expires_at=given["expires_at"],
            requested_by=client_name(request),
            now=timezone.now(),
        )
        return Response(_reservation(reservation_id), status=status.HTTP_202_ACCEPTED)


class ReservationDetail(ClientView):
    """One reservation."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]], "DELETE": [["stations:write"]]}

    @extend_schema(
        operation_id="show_reservation",
        summary="A reservation",
        tags=[TAG],
        responses={200: ReservationSerializer, **problems(404)},
        examples=[OpenApiExample("Held", RESERVATION_EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, reservation_id: int) -> Response:
        """Its state as the station has told."""
        return Response(_reservation(reservation_id))

    @extend_schema(
        operation_id="cancel_reservation",
        summary="Cancel a reservation",
        tags=[TAG],
        responses={202: ReservationSerializer, **problems(404, 409)},
        examples=[OpenApiExample("Being cancelled", RESERVATION_EXAMPLE, response_only=True, status_codes=["202"])],
    )
    def delete(self, request: Request, reservation_id: int) -> Response:
        """The state becomes `cancelled` with the station's answer."""
        cancel_reservation(reservation_id=reservation_id, requested_by=client_name(request), now=timezone.now())
        return Response(_reservation(reservation_id), status=status.HTTP_202_ACCEPTED)
