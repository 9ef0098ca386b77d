"""/api/stations/: charging stations for those who run them: what they are, what they said, what they shall do."""

from __future__ import annotations

from dataclasses import asdict
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
from common.errors import NotFound
from fleet.core.station_commands import COMMANDS
from fleet.operations.station_commands import UnknownStation, order_command
from fleet.queries.stations import (
    CommandView,
    StationView,
    command,
    station,
    station_certificates,
    station_events,
    station_monitors,
    station_reports,
    station_transfers,
    station_variables,
    stations,
)

TAG = "stations"
KINDS = sorted(kind for kind, each in COMMANDS.items() if each.offered)
STATES = ("queued", "sent", "confirmed", "refused", "timed_out", "superseded", "expired")


class StationSerializer(serializers.Serializer):
    """A charging station that speaks OCPP."""

    identity = serializers.CharField()
    site = serializers.CharField()
    protocol = serializers.CharField()
    vendor = serializers.CharField()
    model = serializers.CharField()
    serial_number = serializers.CharField()
    firmware_version = serializers.CharField()
    security_profile = serializers.IntegerField(help_text="the lowest of OCPP's profiles that it may come under")
    local_list_version = serializers.IntegerField(help_text="0: unknown")
    connected = serializers.BooleanField()
    last_seen_at = serializers.DateTimeField(allow_null=True)
    evses = serializers.ListField(child=serializers.IntegerField())


class VariableSerializer(serializers.Serializer):
    """A variable of the device model, or a configuration key of OCPP 1.6."""

    name = serializers.CharField(help_text="Component.Variable; a key of 1.6 stands alone")
    attribute = serializers.CharField()
    value = serializers.CharField(allow_null=True, allow_blank=True, help_text="null: it can be written only")
    mutability = serializers.CharField()
    data_type = serializers.CharField(allow_blank=True)
    unit = serializers.CharField(allow_blank=True)
    choices = serializers.CharField(allow_blank=True)
    reported_at = serializers.DateTimeField()


class MonitorSerializer(serializers.Serializer):
    """A monitor that the station has set."""

    monitor_id = serializers.IntegerField()
    variable = serializers.CharField()
    type = serializers.CharField()
    value = serializers.FloatField()
    severity = serializers.IntegerField()


class StationEventSerializer(serializers.Serializer):
    """Something that the station noticed: a security event, or an event of its device model."""

    event_id = serializers.IntegerField()
    kind = serializers.CharField()
    name = serializers.CharField()
    value = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    severity = serializers.IntegerField(allow_null=True)
    cleared = serializers.BooleanField()
    occurred_at = serializers.DateTimeField()


class TransferSerializer(serializers.Serializer):
    """A log or firmware, in the station's own words."""

    kind = serializers.CharField()
    location = serializers.CharField()
    status = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    began_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    command_id = serializers.IntegerField(allow_null=True)


class CertificateSerializer(serializers.Serializer):
    """A certificate of the station, or its request for one."""

    state = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    fingerprint = serializers.CharField(allow_blank=True)
    serial_number = serializers.CharField(allow_blank=True)
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)


class ReportSerializer(serializers.Serializer):
    """What the station has told in parts after it was asked."""

    action = serializers.CharField()
    command_number = serializers.IntegerField(help_text="of the command that asked for it")
    complete = serializers.BooleanField()
    updated_at = serializers.DateTimeField()
    parts = serializers.ListField(child=serializers.DictField())


class StationDetailSerializer(StationSerializer):
    """A station with all that it has told."""

    variables = VariableSerializer(many=True)
    monitors = MonitorSerializer(many=True)
    transfers = TransferSerializer(many=True)
    certificates = CertificateSerializer(many=True)
    reports = ReportSerializer(many=True)


class CommandRequestSerializer(StrictSerializer):
    """A command. Which parameters there are depends on its kind; docs/ocpp-messages.md lists the kinds."""

    kind = serializers.ChoiceField(KINDS)
    parameters = serializers.DictField(default=dict)


class CommandSerializer(serializers.Serializer):
    """A command and what became of it."""

    command_id = serializers.IntegerField()
    identity = serializers.CharField()
    kind = serializers.CharField()
    parameters = serializers.DictField(help_text="without tokens and certificates")
    state = serializers.ChoiceField(STATES)
    answer = serializers.DictField(help_text="the station's own; `reason` says why it was refused")
    requested_by = serializers.CharField(allow_blank=True)
    queued_at = serializers.DateTimeField()
    answered_at = serializers.DateTimeField(allow_null=True)


STATION_EXAMPLE: dict[str, Any] = {
    "identity": "CP-000001",
    "site": "depot",
    "protocol": "ocpp2.0.1",
    "vendor": "Maker",
    "model": "Wallbox 11",
    "serial_number": "A-1",
    "firmware_version": "1.4.2",
    "security_profile": 2,
    "local_list_version": 3,
    "connected": True,
    "last_seen_at": "2026-11-23T17:40:00Z",
    "evses": [1],
}
COMMAND_EXAMPLE: dict[str, Any] = {
    "command_id": 812,
    "identity": "CP-000001",
    "kind": "availability",
    "parameters": {"operative": False, "evse": 1},
    "state": "confirmed",
    "answer": {"status": "Accepted"},
    "requested_by": "cpo",
    "queued_at": "2026-11-23T17:40:00Z",
    "answered_at": "2026-11-23T17:40:01Z",
}


def found_station(identity: str) -> StationView:
    """The station of an address.

    Raises:
        UnknownStation: there is none.
    """
    found = station(identity)
    if found is None:
        raise UnknownStation(f"{identity[:60]!r} is no charging station.", field="identity")
    return found


def shown_command(view: CommandView) -> dict[str, Any]:
    """A command as the API shows it."""
    return CommandSerializer(view).data


class StationList(ClientView):
    """All stations."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]]}

    @extend_schema(
        operation_id="list_stations",
        summary="Charging stations, the latest registered first",
        tags=[TAG],
        parameters=[*PAGE_PARAMETERS, OpenApiParameter("vendor", str), OpenApiParameter("model", str)],
        responses={200: page_of(StationSerializer), **problems()},
        examples=[OpenApiExample("One", {"next": None, "results": [STATION_EXAMPLE]}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """What each is, and whether it is connected."""
        asked = page_request(request)
        rows = stations(
            before_id=asked.before_id,
            limit=asked.size + 1,
            vendor=request.query_params.get("vendor", ""),
            model=request.query_params.get("model", ""),
        )
        return page_response(
            request, asked, [StationSerializer(row).data for row in rows], [row.station_id for row in rows]
        )


class StationDetail(ClientView):
    """One station."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]]}

    @extend_schema(
        operation_id="show_station",
        summary="A station with its settings, monitors, files, certificates and reports",
        tags=[TAG],
        responses={200: StationDetailSerializer, **problems(404)},
        examples=[
            OpenApiExample(
                "A station that has told nothing yet",
                {
                    **STATION_EXAMPLE,
                    "variables": [],
                    "monitors": [],
                    "transfers": [],
                    "certificates": [],
                    "reports": [],
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, identity: str) -> Response:
        """What it has told; ask it with the commands base_report and monitoring_report to bring that up to date."""
        told = {
            **asdict(found_station(identity)),
            "variables": station_variables(identity),
            "monitors": station_monitors(identity),
            "transfers": station_transfers(identity),
            "certificates": station_certificates(identity),
            "reports": station_reports(identity),
        }
        return Response(StationDetailSerializer(told).data)


class StationEventList(ClientView):
    """What a station has noticed."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]]}

    @extend_schema(
        operation_id="list_station_events",
        summary="Security events and events of the device model, the latest told first",
        tags=[TAG],
        parameters=PAGE_PARAMETERS,
        responses={200: page_of(StationEventSerializer), **problems(404)},
        examples=[
            OpenApiExample(
                "A security event",
                {
                    "next": None,
                    "results": [
                        {
                            "event_id": 5,
                            "kind": "security",
                            "name": "FirmwareUpdated",
                            "value": "",
                            "detail": "",
                            "severity": None,
                            "cleared": False,
                            "occurred_at": "2026-11-23T17:40:00Z",
                        }
                    ],
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, identity: str) -> Response:
        """Kept for good; a station that tells one twice has told it once."""
        found_station(identity)
        asked = page_request(request)
        rows = station_events(identity, before_id=asked.before_id, limit=asked.size + 1)
        return page_response(
            request, asked, [StationEventSerializer(row).data for row in rows], [row.event_id for row in rows]
        )


class StationCommandList(ClientView):
    """Commands to a station."""

    required_alternate_scopes: ClassVar = {"POST": [["stations:write"]]}

    @extend_schema(
        operation_id="command_station",
        summary="Give a station a command",
        tags=[TAG],
        request=CommandRequestSerializer,
        responses={202: CommandSerializer, **problems(404)},
        examples=[
            OpenApiExample(
                "Out of service",
                {"kind": "availability", "parameters": {"operative": False, "evse": 1}},
                request_only=True,
            ),
            OpenApiExample(
                "Queued",
                {**COMMAND_EXAMPLE, "state": "queued", "answer": {}, "answered_at": None},
                response_only=True,
                status_codes=["202"],
            ),
        ],
    )
    def post(self, request: Request, identity: str) -> Response:
        """It is sent as soon as the station is connected, within ten minutes; then its answer stands in the command."""
        body = CommandRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        command_id = order_command(
            identity=identity,
            kind=body.validated_data["kind"],
            parameters=body.validated_data["parameters"],
            requested_by=client_name(request),
            now=timezone.now(),
        )
        view = command(command_id)
        assert view is not None
        location = request.build_absolute_uri(f"/api/station-commands/{command_id}")
        return Response(shown_command(view), status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class StationCommandDetail(ClientView):
    """One command."""

    required_alternate_scopes: ClassVar = {"GET": [["stations:read"]]}

    @extend_schema(
        operation_id="show_station_command",
        summary="What became of a command",
        tags=[TAG],
        responses={200: CommandSerializer, **problems(404)},
        examples=[OpenApiExample("Done", COMMAND_EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, command_id: int) -> Response:
        """`confirmed`: the station has accepted; `refused`: `answer.reason` says why; `timed_out`: it never answered."""
        view = command(command_id)
        if view is None:
            raise NotFound(f"There is no command {command_id}.", field="command_id")
        return Response(shown_command(view))
