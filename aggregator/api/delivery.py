"""Live delivery: what an event's participants draw against their baseline, a few seconds old."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView, client_name
from aggregator.api.fields import InstantField
from aggregator.api.problems import problems
from aggregator.queries.delivery import delivery_since
from grid.queries import event

MOST_SAMPLES = 1000


class DeliverySerializer(serializers.Serializer):
    """One look. Powers in kW, signed as at the meter; delivered is positive in the direction asked for."""

    at = InstantField()
    target_kw = serializers.FloatField()
    baseline_kw = serializers.FloatField()
    measured_kw = serializers.FloatField()
    delivered_kw = serializers.FloatField()
    corrected_assets = serializers.IntegerField(help_text="how many set-points this look changed")


class DeliveryQuerySerializer(serializers.Serializer):
    """Which looks are asked for."""

    since = InstantField(required=False)


class EventDelivery(ClientView):
    """The delivery of one event."""

    required_alternate_scopes: ClassVar = {"GET": [["events:read"]]}

    @extend_schema(
        operation_id="list_event_delivery",
        summary="Target, baseline and delivery over time",
        tags=["events"],
        parameters=[
            OpenApiParameter(
                "since",
                OpenApiTypes.DATETIME,
                description="only looks after this instant; ask again with the last `at`",
            )
        ],
        responses={200: DeliverySerializer(many=True), **problems(400, 404)},
        examples=[
            OpenApiExample(
                "One look of several",
                response_only=True,
                value={
                    "at": "2026-11-23T18:12:02Z",
                    "target_kw": 120.0,
                    "baseline_kw": 240.0,
                    "measured_kw": 121.9,
                    "delivered_kw": 118.1,
                    "corrected_assets": 3,
                },
            )
        ],
    )
    def get(self, request: Request, event_id: int) -> Response:
        """Up to 1,000 looks, oldest first."""
        query = DeliveryQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        event(event_id, requested_by=client_name(request))
        rows = delivery_since(event_id=event_id, since=query.validated_data.get("since"), limit=MOST_SAMPLES)
        return Response(DeliverySerializer(rows, many=True).data)
