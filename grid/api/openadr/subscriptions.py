"""/subscriptions: who is called when something changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from grid.api.openadr.description import checked, list_parameter, page_parameters, text_parameter
from grid.api.openadr.views import VtnView
from grid.markets.openadr_notifier.webhook import challenge
from grid.models import OpenAdrSubscription
from grid.operations.openadr.subscriptions import (
    create_subscription,
    delete_subscription,
    owns_subscription,
    update_subscription,
)
from grid.queries.openadr import one, subscriptions
from grid.tasks import request_delivery

READERS = ("read_all", "read_ven_objects")


class SubscriptionList(VtnView):
    """All subscriptions that the caller may see."""

    scopes: ClassVar = {"get": READERS, "post": ("write_subscriptions",)}

    def get(self, request: Request) -> Response:
        """A part of them: to a programme, of a client, to kinds of objects."""
        return Response(
            subscriptions(
                self.caller,
                program_id=text_parameter(request, "programID", "objectID"),
                client_name=text_parameter(request, "clientName", "clientName"),
                objects=list_parameter(request, "objects", "objectTypes"),
                page=page_parameters(request),
            )
        )

    def post(self, request: Request) -> Response:
        """Subscribe, once every call-back has echoed its challenge."""
        body = checked("subscriptionRequest", self.body_of(request))
        challenge_all(body)
        made = create_subscription(caller=self.caller, body=body, now=timezone.now())
        request_delivery()
        return Response(made, status=201)


class SubscriptionDetail(VtnView):
    """One subscription."""

    scopes: ClassVar = {"get": READERS, "put": ("write_subscriptions",), "delete": ("write_subscriptions",)}

    def get(self, request: Request, object_id: str) -> Response:
        """It."""
        return Response(one(self.caller, OpenAdrSubscription, object_id))

    def put(self, request: Request, object_id: str) -> Response:
        """Change it, once every call-back has echoed its challenge."""
        body = checked("subscriptionRequest", self.body_of(request))
        owns_subscription(caller=self.caller, subscription_id=object_id)
        challenge_all(body)
        changed = update_subscription(caller=self.caller, subscription_id=object_id, body=body, now=timezone.now())
        request_delivery()
        return Response(changed)

    def delete(self, request: Request, object_id: str) -> Response:
        """End it."""
        gone = delete_subscription(caller=self.caller, subscription_id=object_id, now=timezone.now())
        request_delivery()
        return Response(gone)


def challenge_all(body: Mapping[str, Any]) -> None:
    """Ask every call-back for its echo, each once.

    Raises:
        CallbackRefused: one may not be called, or did not echo.
    """
    tokens = {entry["callbackUrl"]: entry.get("bearerToken") or "" for entry in body["objectOperations"]}
    for url, token in tokens.items():
        challenge(url, token)
