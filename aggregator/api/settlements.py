"""Settlements: what events delivered and what that is worth."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView, client_name
from aggregator.api.fields import InstantField
from aggregator.api.paging import PAGE_PARAMETERS, page_of, page_request, page_response
from aggregator.api.problems import problems
from common.errors import InvalidInput
from grid.queries import event, settlement, settlements_page, shares_page


class SettlementStepSerializer(serializers.Serializer):
    """One slot. Powers are means over it, signed as at the meter; delivered is positive in the direction asked for."""

    starts_at = InstantField()
    ends_at = InstantField()
    in_ramp = serializers.BooleanField()
    baseline_kw = serializers.FloatField()
    metered_kw = serializers.FloatField()
    delivered_kw = serializers.FloatField()
    target_kw = serializers.FloatField()
    delivered_kwh = serializers.DecimalField(16, 6)
    payment = serializers.DecimalField(16, 4)


class SettlementSerializer(serializers.Serializer):
    """One revision of an event's settlement; the books hold the same numbers."""

    event_id = serializers.IntegerField()
    revision = serializers.IntegerField(help_text="1 at first; late readings make a further one")
    settled_at = InstantField()
    rule_version = serializers.CharField()
    baseline_method = serializers.CharField(help_text="the method that was really used")
    evidence_sha256 = serializers.CharField(help_text="fingerprint of the readings behind it")
    delivered_kwh = serializers.DecimalField(16, 6)
    target_kwh = serializers.DecimalField(16, 6)
    missed_kwh = serializers.DecimalField(16, 6)
    energy_payment = serializers.DecimalField(16, 4)
    capacity_payment = serializers.DecimalField(16, 4)
    penalty = serializers.DecimalField(16, 4)
    payment = serializers.DecimalField(16, 4, help_text="energy plus capacity less penalty")
    avoided_co2_kg = serializers.DecimalField(
        16, 6, help_text="by marginal factors: a decision number, neither an inventory nor a credit"
    )
    currency = serializers.CharField()
    steps = SettlementStepSerializer(many=True)


class SettlementShareSerializer(serializers.Serializer):
    """What one asset contributed over the event; whose it is, is not the operator's business."""

    asset_id = serializers.IntegerField()
    baseline_kwh = serializers.FloatField()
    metered_kwh = serializers.FloatField()
    delivered_kwh = serializers.DecimalField(16, 6)


STEP_EXAMPLE = {
    "starts_at": "2026-11-23T18:00:15Z",
    "ends_at": "2026-11-23T18:00:30Z",
    "in_ramp": False,
    "baseline_kw": 240.0,
    "metered_kw": 121.4,
    "delivered_kw": 118.6,
    "target_kw": 120.0,
    "delivered_kwh": "0.494167",
    "payment": "0.9883",
}
SETTLEMENT_EXAMPLE = OpenApiExample(
    "A settled event",
    response_only=True,
    value={
        "event_id": 17,
        "revision": 1,
        "settled_at": "2026-11-23T18:01:25Z",
        "rule_version": "2026-11.1",
        "baseline_method": "meter_before",
        "evidence_sha256": "9f2c8e0d2a4b6c7e8f90112233445566778899aabbccddeeff00112233445566",
        "delivered_kwh": "2.401667",
        "target_kwh": "2.250000",
        "missed_kwh": "0.000000",
        "energy_payment": "4.8033",
        "capacity_payment": "5.9400",
        "penalty": "0.0000",
        "payment": "10.7433",
        "avoided_co2_kg": "1.080750",
        "currency": "EUR",
        "steps": [STEP_EXAMPLE],
    },
)
SHARE_EXAMPLE = OpenApiExample(
    "Shares",
    response_only=True,
    value={
        "next": None,
        "results": [{"asset_id": 412, "baseline_kwh": 0.23, "metered_kwh": -0.04, "delivered_kwh": "0.270000"}],
    },
)


class SettlementList(ClientView):
    """The latest settlements of the caller's events."""

    required_alternate_scopes: ClassVar = {"GET": [["settlements:read"]]}

    @extend_schema(
        operation_id="list_settlements",
        summary="Your settled events, newest first",
        tags=["settlements"],
        parameters=PAGE_PARAMETERS,
        responses={200: page_of(SettlementSerializer), **problems(400)},
        examples=[
            OpenApiExample("A page", response_only=True, value={"next": None, "results": [SETTLEMENT_EXAMPLE.value]})
        ],
    )
    def get(self, request: Request) -> Response:
        """The latest revision of each, a page at a time."""
        asked = page_request(request)
        rows = settlements_page(requested_by=client_name(request), before_id=asked.before_id, limit=asked.size + 1)
        shown = list(SettlementSerializer(rows, many=True).data)
        return page_response(request, asked, shown, [row.settlement_id for row in rows])


class SettlementDetail(ClientView):
    """The settlement of one event."""

    required_alternate_scopes: ClassVar = {"GET": [["settlements:read"]]}

    @extend_schema(
        operation_id="get_event_settlement",
        summary="The settlement of an event, slot by slot",
        tags=["settlements"],
        parameters=[OpenApiParameter("revision", int, description="default: the latest")],
        responses={200: SettlementSerializer, **problems(400, 404)},
        examples=[SETTLEMENT_EXAMPLE],
    )
    def get(self, request: Request, event_id: int) -> Response:
        """A revision of it; the latest unless another is asked for."""
        event(event_id, requested_by=client_name(request))
        found = settlement(event_id=event_id, revision=_number(request, "revision"), with_shares=False)
        return Response(SettlementSerializer(found).data)


class SettlementShareList(ClientView):
    """What each asset contributed to an event."""

    required_alternate_scopes: ClassVar = {"GET": [["settlements:read"]]}

    @extend_schema(
        operation_id="list_event_settlement_shares",
        summary="What each asset contributed",
        tags=["settlements"],
        parameters=[OpenApiParameter("revision", int, description="default: the latest"), *PAGE_PARAMETERS],
        responses={200: page_of(SettlementShareSerializer), **problems(400, 404)},
        examples=[SHARE_EXAMPLE],
    )
    def get(self, request: Request, event_id: int) -> Response:
        """The shares behind the totals by asset, a page at a time; they add up to what was delivered."""
        event(event_id, requested_by=client_name(request))
        asked = page_request(request)
        found = settlement(event_id=event_id, revision=_number(request, "revision"), with_shares=False)
        rows = shares_page(settlement_id=found.settlement_id, after_asset_id=asked.before_id or 0, limit=asked.size + 1)
        shown = list(SettlementShareSerializer(rows, many=True).data)
        return page_response(request, asked, shown, [row.asset_id for row in rows])


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise InvalidInput(f"{text!r} is no number.", field=name, remedy="Give a whole number, or leave it out.")
    return int(text)
