"""Programmes: what a grid operator can ask for, and on which terms."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView
from aggregator.api.fields import InstantField
from aggregator.api.problems import problems
from grid.queries import current_programmes, programme_on


class ProgrammeSerializer(serializers.Serializer):
    """The terms that hold now."""

    code = serializers.CharField()
    name = serializers.CharField()
    region = serializers.CharField(source="region_code")
    effective_from = InstantField()
    allows_reduction = serializers.BooleanField()
    allows_increase = serializers.BooleanField()
    min_kw = serializers.FloatField()
    max_kw = serializers.FloatField(help_text="most that one event may ask for")
    notice_s = serializers.IntegerField(help_text="least time between the request and the start")
    ramp_s = serializers.IntegerField(help_text="time from the start within which the target is reached")
    slot_s = serializers.IntegerField(help_text="length of a settlement slot")
    max_duration_s = serializers.IntegerField()
    energy_price_per_kwh = serializers.DecimalField(12, 4)
    capacity_price_per_kw = serializers.DecimalField(12, 4, help_text="per kW held, per event")
    missed_price_per_kwh = serializers.DecimalField(12, 4)
    tolerance_fraction = serializers.FloatField()
    baseline_method = serializers.ChoiceField(
        [
            "meter_before",
            "meter_before_after",
            "same_day_3_plus_2",
            "high_4_of_5",
            "high_5_of_10",
            "ten_of_ten",
            "device_metered",
            "nominated",
        ]
    )
    baseline_window_s = serializers.IntegerField()
    currency = serializers.CharField()
    # the name is the programme's; DRF takes declared fields out of the way of its own attribute
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="where the terms were read, and how sure they are"
    )


PROGRAMME_EXAMPLE = OpenApiExample(
    "Fast response",
    response_only=True,
    value={
        "code": "fast-response",
        "name": "Demonstration: fast response in 15-second slots",
        "region": "NL",
        "effective_from": "2026-01-01T00:00:00Z",
        "allows_reduction": True,
        "allows_increase": True,
        "min_kw": 0.1,
        "max_kw": 100000.0,
        "notice_s": 5,
        "ramp_s": 15,
        "slot_s": 15,
        "max_duration_s": 3600,
        "energy_price_per_kwh": "2.0000",
        "capacity_price_per_kw": "0.0500",
        "missed_price_per_kwh": "3.0000",
        "tolerance_fraction": 0.1,
        "baseline_method": "meter_before",
        "baseline_window_s": 15,
        "currency": "EUR",
        "source": "DEMONSTRATION ONLY: a made-up product with slots short enough to watch.",
    },
)


class ProgrammeList(ClientView):
    """Programmes with the terms that hold now."""

    required_alternate_scopes: ClassVar = {"GET": [["events:read"]]}

    @extend_schema(
        operation_id="list_programmes",
        summary="Programmes that can be asked for",
        tags=["programmes"],
        responses={200: ProgrammeSerializer(many=True), **problems()},
        examples=[PROGRAMME_EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        """Every programme with its current terms, by code."""
        return Response(ProgrammeSerializer(current_programmes(timezone.now()), many=True).data)


class ProgrammeDetail(ClientView):
    """One programme."""

    required_alternate_scopes: ClassVar = {"GET": [["events:read"]]}

    @extend_schema(
        operation_id="get_programme",
        summary="One programme",
        tags=["programmes"],
        responses={200: ProgrammeSerializer, **problems(404)},
        examples=[PROGRAMME_EXAMPLE],
    )
    def get(self, request: Request, code: str) -> Response:
        """The terms of a programme that hold now."""
        return Response(ProgrammeSerializer(programme_on(code, timezone.now())).data)
