"""/api/firmware-campaigns/: new firmware for many stations, in stages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from aggregator.api.access import ClientView, client_name
from aggregator.api.fields import StrictSerializer
from aggregator.api.paging import PAGE_PARAMETERS, page_of, page_request, page_response
from aggregator.api.problems import problems
from common.errors import NotFound
from fleet.operations.firmware_campaigns import CampaignPlan, create_campaign, start_campaign, stop_campaign
from fleet.queries.firmware_campaigns import campaign_failures, campaigns

TAG = "firmware"


class CampaignRequestSerializer(StrictSerializer):
    """New firmware for a make and model."""

    name = serializers.CharField(max_length=80)
    vendor = serializers.CharField(max_length=50)
    model = serializers.CharField(max_length=50)
    firmware_version = serializers.CharField(max_length=50, help_text="as stations name it after the update")
    location = serializers.CharField(max_length=512, help_text="address from which stations fetch the file")
    stage_fractions = serializers.ListField(
        child=serializers.FloatField(), default=[0.05, 0.25, 1.0], help_text="rising to 1: told after each stage"
    )
    signing_certificate = serializers.CharField(default="", max_length=5500)
    signature = serializers.CharField(default="", max_length=800, help_text="base64")
    failure_limit_fraction = serializers.FloatField(default=0.1, help_text="more of a stage than this stop it all")
    patience_s = serializers.IntegerField(default=3600, help_text="longer silence is a failure")
    rest_s = serializers.IntegerField(default=3600, help_text="between two stages")


class StageSerializer(serializers.Serializer):
    """One stage."""

    number = serializers.IntegerField()
    stations = serializers.IntegerField()
    waiting = serializers.IntegerField()
    asked = serializers.IntegerField()
    installed = serializers.IntegerField()
    failed = serializers.IntegerField()
    began_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class FailureSerializer(serializers.Serializer):
    """A station that did not take the firmware."""

    identity = serializers.CharField()
    stage = serializers.IntegerField()
    reason = serializers.CharField()


class CampaignSerializer(serializers.Serializer):
    """A campaign, stage by stage."""

    campaign_id = serializers.IntegerField()
    name = serializers.CharField()
    vendor = serializers.CharField()
    model = serializers.CharField()
    firmware_version = serializers.CharField()
    location = serializers.CharField()
    signed = serializers.BooleanField()
    failure_limit_fraction = serializers.FloatField()
    state = serializers.CharField(help_text="draft, running, stopped or finished")
    reason = serializers.CharField(allow_blank=True, help_text="why it stopped")
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    stages = StageSerializer(many=True)


class CampaignDetailSerializer(CampaignSerializer):
    """A campaign with the stations that have failed, the latest first."""

    failures = FailureSerializer(many=True)


CAMPAIGN_EXAMPLE: dict[str, Any] = {
    "campaign_id": 4,
    "name": "Autumn",
    "vendor": "Maker",
    "model": "Wallbox 11",
    "firmware_version": "1.5.0",
    "location": "https://firmware.example.com/wallbox-1.5.0.bin",
    "signed": True,
    "failure_limit_fraction": 0.1,
    "state": "running",
    "reason": "",
    "created_by": "cpo",
    "created_at": "2026-11-23T17:40:00Z",
    "stages": [
        {
            "number": 1,
            "stations": 5,
            "waiting": 0,
            "asked": 2,
            "installed": 3,
            "failed": 0,
            "began_at": "2026-11-23T17:41:00Z",
            "ended_at": None,
        }
    ],
}


def _campaign(campaign_id: int) -> dict[str, Any]:
    found = campaigns(campaign_id=campaign_id)
    if not found:
        raise NotFound(f"There is no campaign {campaign_id}.", field="campaign_id")
    told = {**asdict(found[0]), "failures": campaign_failures(campaign_id)}
    return CampaignDetailSerializer(told).data


class CampaignList(ClientView):
    """Firmware campaigns."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]], "POST": [["stations:write"]]}

    @extend_schema(
        operation_id="list_firmware_campaigns",
        summary="Firmware campaigns, the latest first",
        tags=[TAG],
        parameters=PAGE_PARAMETERS,
        responses={200: page_of(CampaignSerializer), **problems()},
        examples=[OpenApiExample("One", {"next": None, "results": [CAMPAIGN_EXAMPLE]}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """With how many stations of each stage are where."""
        asked = page_request(request)
        rows = campaigns(before_id=asked.before_id, limit=asked.size + 1)
        return page_response(
            request, asked, [CampaignSerializer(row).data for row in rows], [row.campaign_id for row in rows]
        )

    @extend_schema(
        operation_id="create_firmware_campaign",
        summary="Prepare a firmware campaign",
        tags=[TAG],
        request=CampaignRequestSerializer,
        responses={201: CampaignDetailSerializer, **problems()},
        examples=[
            OpenApiExample("Prepared", {**CAMPAIGN_EXAMPLE, "state": "draft", "failures": []}, response_only=True)
        ],
    )
    def post(self, request: Request) -> Response:
        """Its stations are those of the make and model without the version, as of now. Nothing is sent before its start."""
        body = CampaignRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        campaign_id = create_campaign(
            plan=CampaignPlan(**body.validated_data), created_by=client_name(request), now=timezone.now()
        )
        location = request.build_absolute_uri(f"/api/firmware-campaigns/{campaign_id}")
        return Response(_campaign(campaign_id), status=status.HTTP_201_CREATED, headers={"Location": location})


class CampaignDetail(ClientView):
    """One campaign."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]]}

    @extend_schema(
        operation_id="show_firmware_campaign",
        summary="How far a firmware campaign is",
        tags=[TAG],
        responses={200: CampaignDetailSerializer, **problems(404)},
        examples=[OpenApiExample("Running", {**CAMPAIGN_EXAMPLE, "failures": []}, response_only=True)],
    )
    def get(self, request: Request, campaign_id: int) -> Response:
        """With the stations that have failed and why."""
        return Response(_campaign(campaign_id))


class CampaignStart(ClientView):
    """Starting a campaign, or going on with one that has stopped."""

    required_alternate_scopes: ClassVar = {"POST": [["stations:write"]]}

    @extend_schema(
        operation_id="start_firmware_campaign",
        summary="Start a firmware campaign, or go on with it",
        tags=[TAG],
        request=None,
        responses={200: CampaignDetailSerializer, **problems(404, 409)},
        examples=[OpenApiExample("Running", {**CAMPAIGN_EXAMPLE, "failures": []}, response_only=True)],
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """Going on accepts the failures so far; stations that have failed are not tried again."""
        start_campaign(campaign_id=campaign_id, now=timezone.now())
        return Response(_campaign(campaign_id))


class CampaignStop(ClientView):
    """Stopping a campaign."""

    required_alternate_scopes: ClassVar = {"POST": [["stations:write"]]}

    @extend_schema(
        operation_id="stop_firmware_campaign",
        summary="Stop a firmware campaign",
        tags=[TAG],
        request=None,
        responses={200: CampaignDetailSerializer, **problems(404, 409)},
        examples=[
            OpenApiExample("Stopped", {**CAMPAIGN_EXAMPLE, "state": "stopped", "failures": []}, response_only=True)
        ],
    )
    def post(self, request: Request, campaign_id: int) -> Response:
        """No further station is told; those that were told go on by themselves."""
        stop_campaign(campaign_id=campaign_id, reason=f"stopped by {client_name(request)}", now=timezone.now())
        return Response(_campaign(campaign_id))
