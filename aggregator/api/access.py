"""Who calls, and what they may do."""

from __future__ import annotations

from typing import Any, ClassVar

from oauth2_provider.contrib.rest_framework import TokenMatchesOASRequirements
from rest_framework.request import Request
from rest_framework.views import APIView

from aggregator.api.throttle import ClientThrottle
from aggregator.models import ApiClient
from common.errors import InvalidInput, NotAllowed


class UnknownClient(NotAllowed):
    """The token is good, but its application plays no part in this API."""

    code = "unknown_client"


class HasScopes(TokenMatchesOASRequirements):
    """The token has the scopes that the view names for the method; a method that the view lacks is left to be refused
    as such."""

    def get_required_alternate_scopes(self, request: Request, view: Any) -> dict[str, list[list[str]]]:
        """The view's scopes by method; looking at the head of an answer takes what reading it takes."""
        scopes = super().get_required_alternate_scopes(request, view)
        return {**scopes, "HEAD": scopes["GET"]} if "GET" in scopes else scopes

    def has_permission(self, request: Request, view: Any) -> bool:
        if not hasattr(view, (request.method or "").lower()):
            return True
        return super().has_permission(request, view)


class ClientView(APIView):
    """A resource that programs read and write with a token of their own."""

    permission_classes = (HasScopes,)
    throttle_classes = (ClientThrottle,)
    http_method_names = ("get", "post", "put", "patch", "delete", "head")
    required_alternate_scopes: ClassVar[dict[str, list[list[str]]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before any view: what no text of the database can hold is refused."""
        super().initial(request, *args, **kwargs)
        given = {**kwargs, **request.query_params.dict()}
        for name, value in given.items():
            if "\x00" in str(value):
                raise InvalidInput("holds a NUL character.", field=name, remedy="Leave it out.")


def client_name(request: Request) -> str:
    """The name under which the caller's events and bookings stand.

    Raises:
        UnknownClient: the token's application is none of ours.
    """
    application_id = getattr(request.auth, "application_id", None)
    clients = ApiClient.objects.none()
    if application_id is not None:
        clients = ApiClient.objects.filter(application_id=application_id)
    name = clients.values_list("name", flat=True).first()
    if name is None:
        raise UnknownClient("This client has no role.", remedy="Make clients with the command create_client.")
    return name
