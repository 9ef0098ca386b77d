"""Where all of the VTN's resources begin: who calls, with which scopes, as which part."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from common.errors import InvalidInput
from grid.api.openadr.host import Host
from grid.api.openadr.problems import handle_exception
from grid.operations.openadr.recording import NotANode, NotAnOperator
from grid.queries.openadr import Caller

BUSINESS_LOGIC = "bl"
NODE = "ven"


class AlwaysJson(BaseContentNegotiation):
    """There is one form of answer, whatever a client says that it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser of the body's content type."""
        main = request.content_type.partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == main), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        """JSON."""
        return renderers[0], renderers[0].media_type


class EscapedJsonRenderer(JSONRenderer):
    """JSON in ASCII: names may hold what UTF-8 cannot carry."""

    ensure_ascii = True
    charset = None


class VtnView(APIView):
    """A resource of the VTN. `scopes` names, by method, the scopes of which a token needs one."""

    host: Host = None  # type: ignore[assignment]  # handed over with the address
    scopes: ClassVar[dict[str, tuple[str, ...]]] = {}
    schema = None  # OpenADR has a description of its own
    authentication_classes: Any = (OAuth2Authentication,)
    permission_classes = ()
    parser_classes = (JSONParser,)
    renderer_classes = (EscapedJsonRenderer,)
    content_negotiation_class = AlwaysJson
    http_method_names = ("get", "post", "put", "delete")

    caller: Caller

    def get_exception_handler(self) -> Any:
        """Problems in OpenADR's form."""
        return handle_exception

    def get_throttles(self) -> list[Any]:
        """The platform's."""
        return [self.host.throttle()]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before any method: a good token, one of its scopes, and a client that plays a part."""
        method = (request.method or "").lower()
        if method not in self.scopes:
            self.http_method_not_allowed(request)
        self.perform_authentication(request)
        token: Any = request.auth
        if token is None:
            raise NotAuthenticated
        held = set(token.scope.split())
        allowed = self.scopes[method]
        if held.isdisjoint(allowed):
            raise PermissionDenied(f"The token needs one of the scopes {', '.join(allowed)}.")
        self.check_throttles(request)
        client = self.host.client_of_application(token.application_id)
        if client is None or client.role not in (BUSINESS_LOGIC, NODE):
            raise PermissionDenied("This client plays no part in OpenADR.")
        self.caller = Caller(token.application.client_id, client.name, client.role == BUSINESS_LOGIC)

    def only_business_logic(self) -> None:
        """Raises NotAnOperator for a node."""
        if not self.caller.is_business_logic:
            raise NotAnOperator("Only business logic may do this.")

    def only_nodes(self) -> None:
        """Raises NotANode for business logic."""
        if self.caller.is_business_logic:
            raise NotANode("Only virtual end nodes may do this.")

    @staticmethod
    def body_of(request: Request) -> Any:
        """The body as JSON; one that is none is a bad request."""
        try:
            return request.data
        except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
            raise InvalidInput("The body is no JSON.") from error
