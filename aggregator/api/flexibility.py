"""Flexibility: how far the portfolio's power can move now, and what stands where."""

from __future__ import annotations

from typing import ClassVar

from django.core.cache import cache
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView
from aggregator.api.fields import InstantField
from aggregator.api.problems import problems
from aggregator.queries.flexibility import flexibility_now
from fleet.queries.places import region_by_code, site_groups

# all who ask share one look at the fleet: it reads every asset, and meters report every few seconds anyway
KEPT_S = 5


class HeldFlexibilitySerializer(serializers.Serializer):
    """Power that can be held for a duration; neither is negative."""

    duration_h = serializers.FloatField()
    reduction_kw = serializers.FloatField()
    increase_kw = serializers.FloatField()


class FlexibilitySerializer(serializers.Serializer):
    """What a region can do now, from where it is. `power_kw` is signed, positive = import; the others never are."""

    region = serializers.CharField(source="region_code")
    at = InstantField()
    assets = serializers.IntegerField(help_text="assets that may be steered")
    left_out = serializers.IntegerField(help_text="assets that may not: no consent, offline, fault, owner's override")
    power_kw = serializers.FloatField()
    reduction_kw = serializers.FloatField(help_text="how much less they can draw, or feed in")
    increase_kw = serializers.FloatField(help_text="how much more they can draw")
    held = HeldFlexibilitySerializer(many=True)


class SiteGroupSerializer(serializers.Serializer):
    """The sites of one kind in one region, together."""

    region = serializers.CharField(source="region_code")
    kind = serializers.CharField()
    sites = serializers.IntegerField()
    assets = serializers.IntegerField()
    import_limit_kw = serializers.FloatField()
    export_limit_kw = serializers.FloatField()


class FlexibilityList(ClientView):
    """Flexibility by region."""

    required_alternate_scopes: ClassVar = {"GET": [["fleet:read"]]}

    @extend_schema(
        operation_id="list_flexibility",
        summary="Power that can be moved now, by region",
        tags=["flexibility"],
        parameters=[OpenApiParameter("region", str, description="code of a region; default: all")],
        responses={200: FlexibilitySerializer(many=True), **problems(404)},
        examples=[
            OpenApiExample(
                "One region",
                response_only=True,
                value={
                    "region": "NL",
                    "at": "2026-11-23T17:40:00Z",
                    "assets": 188,
                    "left_out": 20,
                    "power_kw": 240.0,
                    "reduction_kw": 905.5,
                    "increase_kw": 1210.0,
                    "held": [
                        {"duration_h": 0.25, "reduction_kw": 905.5, "increase_kw": 1180.0},
                        {"duration_h": 1.0, "reduction_kw": 640.2, "increase_kw": 900.0},
                    ],
                },
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """Up and down, and how much of it can be held for how long; `at` says of when, a few seconds ago at most."""
        code = request.query_params.get("region", "")
        if code:
            region_by_code(code)
        found = cache.get_or_set(
            f"flexibility:{code}", lambda: flexibility_now(now=timezone.now(), region_code=code), KEPT_S
        )
        return Response(FlexibilitySerializer(found, many=True).data)


class SiteGroupList(ClientView):
    """What stands where, as totals that show no single site."""

    required_alternate_scopes: ClassVar = {"GET": [["fleet:read"]]}

    @extend_schema(
        operation_id="list_sites",
        summary="Sites and assets by region and kind",
        tags=["flexibility"],
        responses={200: SiteGroupSerializer(many=True), **problems()},
        examples=[
            OpenApiExample(
                "Depots",
                response_only=True,
                value={
                    "region": "NL",
                    "kind": "depot",
                    "sites": 4,
                    "assets": 60,
                    "import_limit_kw": 1600.0,
                    "export_limit_kw": 1200.0,
                },
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """Counts and connection limits."""
        return Response(SiteGroupSerializer(site_groups(), many=True).data)
