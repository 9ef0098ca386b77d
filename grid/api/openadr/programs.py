"""/programs and /events: what grid operators announce and ask for."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from grid.api.openadr.description import (
    checked,
    flag_parameter,
    list_parameter,
    page_parameters,
    text_parameter,
)
from grid.api.openadr.views import VtnView
from grid.models import OpenAdrEvent, OpenAdrProgram
from grid.operations.openadr.events import create_event, delete_event, update_event
from grid.operations.openadr.programs import create_program, delete_program, update_program
from grid.queries.openadr import events, one, programs
from grid.tasks import request_delivery

READERS = ("read_all", "read_targets")


class ProgramList(VtnView):
    """All programmes that the caller may see."""

    scopes: ClassVar = {"get": READERS, "post": ("write_programs",)}

    def get(self, request: Request) -> Response:
        """A part of them, with any targets that are asked for."""
        targets = list_parameter(request, "targets", "target")
        return Response(programs(self.caller, targets=targets, page=page_parameters(request)))

    def post(self, request: Request) -> Response:
        """Announce one."""
        self.only_business_logic()
        body = checked("programRequest", self.body_of(request))
        made = create_program(caller=self.caller, body=body, now=timezone.now())
        request_delivery()
        return Response(made, status=201)


class ProgramDetail(VtnView):
    """One programme."""

    scopes: ClassVar = {"get": READERS, "put": ("write_programs",), "delete": ("write_programs",)}

    def get(self, request: Request, object_id: str) -> Response:
        """It."""
        return Response(one(self.caller, OpenAdrProgram, object_id))

    def put(self, request: Request, object_id: str) -> Response:
        """Change it."""
        self.only_business_logic()
        body = checked("programRequest", self.body_of(request))
        changed = update_program(caller=self.caller, program_id=object_id, body=body, now=timezone.now())
        request_delivery()
        return Response(changed)

    def delete(self, request: Request, object_id: str) -> Response:
        """Withdraw it with its events."""
        self.only_business_logic()
        gone, called_off = delete_program(caller=self.caller, program_id=object_id, now=timezone.now())
        request_delivery()
        for grid_event_id in called_off:
            self.host.request_plan(grid_event_id)
        return Response(gone)


class EventList(VtnView):
    """All events that the caller may see."""

    scopes: ClassVar = {"get": READERS, "post": ("write_events",)}

    def get(self, request: Request) -> Response:
        """A part of them: of a programme, with targets, not over yet."""
        return Response(
            events(
                self.caller,
                program_id=text_parameter(request, "programID", "objectID"),
                targets=list_parameter(request, "targets", "target"),
                active_at=timezone.now() if flag_parameter(request, "active") else None,
                page=page_parameters(request),
            )
        )

    def post(self, request: Request) -> Response:
        """Create one; the portfolio answers after the commit."""
        self.only_business_logic()
        body = checked("eventRequest", self.body_of(request))
        made = create_event(caller=self.caller, body=body, now=timezone.now())
        self.host.request_answer(made["id"])
        request_delivery()
        return Response(made, status=201)


class EventDetail(VtnView):
    """One event."""

    scopes: ClassVar = {"get": READERS, "put": ("write_events",), "delete": ("write_events",)}

    def get(self, request: Request, object_id: str) -> Response:
        """It."""
        return Response(one(self.caller, OpenAdrEvent, object_id))

    def put(self, request: Request, object_id: str) -> Response:
        """Change it; the portfolio answers anew."""
        self.only_business_logic()
        body = checked("eventRequest", self.body_of(request))
        changed = update_event(caller=self.caller, event_id=object_id, body=body, now=timezone.now())
        self.host.request_answer(object_id)
        request_delivery()
        return Response(changed)

    def delete(self, request: Request, object_id: str) -> Response:
        """Delete it; what the portfolio promised for it is called off."""
        self.only_business_logic()
        gone, called_off = delete_event(caller=self.caller, event_id=object_id, now=timezone.now())
        request_delivery()
        for grid_event_id in called_off:
            self.host.request_plan(grid_event_id)
        return Response(gone)
