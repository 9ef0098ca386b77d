"""/api/station-batches/: one command to many stations, and how far it is."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView, client_name
from aggregator.api.fields import StrictSerializer
from aggregator.api.paging import PAGE_PARAMETERS, page_of, page_request, page_response
from aggregator.api.problems import problems
from aggregator.api.stations import COMMAND_EXAMPLE, KINDS, TAG, CommandSerializer
from common.errors import NotFound
from fleet.operations.station_commands import BatchFilter, cancel_batch, order_batch
from fleet.queries.stations import batch_commands, batches


class StationFilterSerializer(StrictSerializer):
    """Which stations: these, or all that match everything given."""

    identities = serializers.ListField(child=serializers.CharField(max_length=48), default=list, max_length=10_000)
    site = serializers.CharField(default="")
    vendor = serializers.CharField(default="")
    model = serializers.CharField(default="")
    protocol = serializers.CharField(default="")


class BatchRequestSerializer(StrictSerializer):
    """The same command for many stations."""

    stations = StationFilterSerializer()
    kind = serializers.ChoiceField(KINDS)
    parameters = serializers.DictField(default=dict)


class BatchSerializer(serializers.Serializer):
    """How far it is: `stations` is `waiting` + `done` + `failed`."""

    batch_id = serializers.IntegerField()
    kind = serializers.CharField()
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    stations = serializers.IntegerField()
    waiting = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()


BATCH_EXAMPLE: dict[str, Any] = {
    "batch_id": 3,
    "kind": "write_variable",
    "requested_by": "cpo",
    "requested_at": "2026-11-23T17:40:00Z",
    "stations": 120,
    "waiting": 4,
    "done": 115,
    "failed": 1,
}


def _batch(batch_id: int) -> dict[str, Any]:
    found = batches(batch_id=batch_id)
    if not found:
        raise NotFound(f"There is no batch {batch_id}.", field="batch_id")
    return BatchSerializer(found[0]).data


class BatchList(ClientView):
    """Commands to many stations."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]], "POST": [["stations:write"]]}

    @extend_schema(
        operation_id="list_station_batches",
        summary="Commands to many stations, the latest first",
        tags=[TAG],
        parameters=PAGE_PARAMETERS,
        responses={200: page_of(BatchSerializer), **problems()},
        examples=[OpenApiExample("One", {"next": None, "results": [BATCH_EXAMPLE]}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """With how many stations have done it."""
        asked = page_request(request)
        rows = batches(before_id=asked.before_id, limit=asked.size + 1)
        return page_response(
            request, asked, [BatchSerializer(row).data for row in rows], [row.batch_id for row in rows]
        )

    @extend_schema(
        operation_id="command_stations",
        summary="Give many stations the same command",
        tags=[TAG],
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=BatchRequestSerializer,
        responses={202: BatchSerializer, **problems(404, 409)},
        examples=[
            OpenApiExample(
                "A make's heartbeat",
                {
                    "stations": {"vendor": "Maker", "protocol": "ocpp1.6"},
                    "kind": "write_variable",
                    "parameters": {"variable": "HeartbeatInterval", "value": "300"},
                },
                request_only=True,
            ),
            OpenApiExample("On its way", BATCH_EXAMPLE, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Stations that are offline get it when they are back within the hour. The same key again is the same batch."""
        body = BatchRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        batch_id = order_batch(
            chosen=BatchFilter(**body.validated_data["stations"]),
            kind=body.validated_data["kind"],
            parameters=body.validated_data["parameters"],
            requested_by=client_name(request),
            idempotency_key=request.headers.get("Idempotency-Key") or secrets.token_urlsafe(16),
            now=timezone.now(),
        )
        location = request.build_absolute_uri(f"/api/station-batches/{batch_id}")
        return Response(_batch(batch_id), status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class BatchDetail(ClientView):
    """One batch."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]], "DELETE": [["stations:write"]]}

    @extend_schema(
        operation_id="show_station_batch",
        summary="How far a batch is",
        tags=[TAG],
        responses={200: BatchSerializer, **problems(404)},
        examples=[OpenApiExample("On its way", BATCH_EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, batch_id: int) -> Response:
        """Counts; which station said what is in its commands."""
        return Response(_batch(batch_id))

    @extend_schema(
        operation_id="cancel_station_batch",
        summary="Take back what of a batch has not been sent",
        tags=[TAG],
        responses={200: BatchSerializer, **problems(404)},
        examples=[OpenApiExample("Taken back", {**BATCH_EXAMPLE, "waiting": 0, "failed": 5}, response_only=True)],
    )
    def delete(self, request: Request, batch_id: int) -> Response:
        """What has been sent goes on."""
        cancel_batch(batch_id=batch_id, now=timezone.now())
        return Response(_batch(batch_id))


class BatchCommandList(ClientView):
    """The commands of a batch."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]]}

    @extend_schema(
        operation_id="list_station_batch_commands",
        summary="What each station of a batch said",
        tags=[TAG],
        parameters=[*PAGE_PARAMETERS, OpenApiParameter("state", str, description="such as refused")],
        responses={200: page_of(CommandSerializer), **problems(404)},
        examples=[OpenApiExample("One", {"next": None, "results": [COMMAND_EXAMPLE]}, response_only=True)],
    )
    def get(self, request: Request, batch_id: int) -> Response:
        """The latest first."""
        _batch(batch_id)
        asked = page_request(request)
        rows = batch_commands(
            batch_id,
            before_id=asked.before_id,
            limit=asked.size + 1,
            state=request.query_params.get("state", ""),
        )
        return page_response(
            request, asked, [CommandSerializer(row).data for row in rows], [row.command_id for row in rows]
        )
