"""/vens, /resources and /reports: nodes, what stands behind them, and what they tell."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from grid.api.openadr.description import checked, list_parameter, page_parameters, text_parameter
from grid.api.openadr.views import VtnView
from grid.models import OpenAdrReport, OpenAdrResource, OpenAdrVen
from grid.operations.openadr import vens as node_operations
from grid.operations.openadr.reports import create_report, delete_report, update_report
from grid.queries.openadr import one, reports, resources, vens
from grid.tasks import request_delivery

READERS = ("read_all", "read_ven_objects")


class VenList(VtnView):
    """All nodes that the caller may see."""

    scopes: ClassVar = {"get": READERS, "post": ("write_vens",)}

    def get(self, request: Request) -> Response:
        """A part of them: of a name, with targets."""
        return Response(
            vens(
                self.caller,
                ven_name=text_parameter(request, "venName", "venName"),
                targets=list_parameter(request, "targets", "target"),
                page=page_parameters(request),
            )
        )

    def post(self, request: Request) -> Response:
        """Enrol one."""
        body = checked("venRequest", self.body_of(request))
        made = node_operations.create_ven(caller=self.caller, body=body, now=timezone.now())
        request_delivery()
        return Response(made, status=201)


class VenDetail(VtnView):
    """One node."""

    scopes: ClassVar = {"get": READERS, "put": ("write_vens",), "delete": ("write_vens",)}

    def get(self, request: Request, object_id: str) -> Response:
        """It."""
        return Response(one(self.caller, OpenAdrVen, object_id))

    def put(self, request: Request, object_id: str) -> Response:
        """Change it; an operator grants targets so."""
        body = checked("venRequest", self.body_of(request))
        changed = node_operations.update_ven(caller=self.caller, ven_id=object_id, body=body, now=timezone.now())
        request_delivery()
        return Response(changed)

    def delete(self, request: Request, object_id: str) -> Response:
        """Take it away, with its resources."""
        gone = node_operations.delete_ven(caller=self.caller, ven_id=object_id, now=timezone.now())
        request_delivery()
        return Response(gone)


class ResourceList(VtnView):
    """All resources that the caller may see."""

    scopes: ClassVar = {"get": READERS, "post": ("write_vens",)}

    def get(self, request: Request) -> Response:
        """A part of them: of a name, of a node, with targets."""
        return Response(
            resources(
                self.caller,
                resource_name=text_parameter(request, "resourceName", "resourceName"),
                ven_id=text_parameter(request, "venID", "objectID"),
                targets=list_parameter(request, "targets", "target"),
                page=page_parameters(request),
            )
        )

    def post(self, request: Request) -> Response:
        """Add one."""
        body = checked("resourceRequest", self.body_of(request))
        made = node_operations.create_resource(caller=self.caller, body=body, now=timezone.now())
        request_delivery()
        return Response(made, status=201)


class ResourceDetail(VtnView):
    """One resource."""

    scopes: ClassVar = {"get": READERS, "put": ("write_vens",), "delete": ("write_vens",)}

    def get(self, request: Request, object_id: str) -> Response:
        """It."""
        return Response(one(self.caller, OpenAdrResource, object_id))

    def put(self, request: Request, object_id: str) -> Response:
        """Change it."""
        body = checked("resourceRequest", self.body_of(request))
        changed = node_operations.update_resource(
            caller=self.caller, resource_id=object_id, body=body, now=timezone.now()
        )
        request_delivery()
        return Response(changed)

    def delete(self, request: Request, object_id: str) -> Response:
        """Take it away."""
        gone = node_operations.delete_resource(caller=self.caller, resource_id=object_id, now=timezone.now())
        request_delivery()
        return Response(gone)


class ReportList(VtnView):
    """All reports that the caller may see."""

    scopes: ClassVar = {"get": READERS, "post": ("write_reports",)}

    def get(self, request: Request) -> Response:
        """A part of them: on a programme, on an event, of a client."""
        return Response(
            reports(
                self.caller,
                program_id=text_parameter(request, "programID", "objectID"),
                event_id=text_parameter(request, "eventID", "objectID"),
                client_name=text_parameter(request, "clientName", "clientName"),
                page=page_parameters(request),
            )
        )

    def post(self, request: Request) -> Response:
        """Tell something of an event."""
        self.only_nodes()
        body = checked("reportRequest", self.body_of(request))
        made = create_report(caller=self.caller, body=body, now=timezone.now())
        request_delivery()
        return Response(made, status=201)


class ReportDetail(VtnView):
    """One report."""

    scopes: ClassVar = {"get": READERS, "put": ("write_reports",), "delete": ("write_reports",)}

    def get(self, request: Request, object_id: str) -> Response:
        """It."""
        return Response(one(self.caller, OpenAdrReport, object_id))

    def put(self, request: Request, object_id: str) -> Response:
        """Correct it."""
        self.only_nodes()
        body = checked("reportRequest", self.body_of(request))
        changed = update_report(caller=self.caller, report_id=object_id, body=body, now=timezone.now())
        request_delivery()
        return Response(changed)

    def delete(self, request: Request, object_id: str) -> Response:
        """Take it back."""
        self.only_nodes()
        gone = delete_report(caller=self.caller, report_id=object_id, now=timezone.now())
        request_delivery()
        return Response(gone)
