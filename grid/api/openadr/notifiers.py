"""/notifiers: by which ways changes are told, and on which of the broker's topics."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from grid.api.openadr.views import VtnView
from grid.core.openadr.topics import operation_topics
from grid.models import OpenAdrProgram, OpenAdrVen
from grid.operations.openadr.broker_logins import admit_to_broker
from grid.queries.openadr import one

# the description asks for read_all where nodes must be able to read as well: they may, each in its own branch
EVERYBODY = ("read_all", "read_targets", "read_ven_objects")


class NotifierList(VtnView):
    """The ways."""

    scopes: ClassVar = {"get": EVERYBODY}

    def get(self, request: Request) -> Response:
        """Call-backs always; the broker where it is public. Asking makes the token good as a password there."""
        ways: dict[str, Any] = {"WEBHOOK": True}
        if settings.OPENADR_MQTT_URIS:
            token: Any = request.auth
            admit_to_broker(caller=self.caller, token=token.token, expires_at=token.expires)
            ways["MQTT"] = {
                "URIS": list(settings.OPENADR_MQTT_URIS),
                "serialization": "JSON",
                "authentication": {"method": "OAUTH2_BEARER_TOKEN", "username": "{clientID}"},
            }
        return Response(ways)


class TopicList(VtnView):
    """The topics of a collection."""

    scopes: ClassVar = {"get": EVERYBODY}
    collection = ""

    def get(self, request: Request) -> Response:
        """By operation, in the caller's own branch."""
        return _answer(operation_topics(self.caller.client_id, self.collection, of_one_object=False))


class OperatorTopicList(TopicList):
    """The topics of a collection that operators alone may listen to as a whole."""

    scopes: ClassVar = {"get": ("read_bl",)}


class ProgramTopics(VtnView):
    """The topics of one programme, or of its events."""

    scopes: ClassVar = {"get": EVERYBODY}
    collection = ""

    def get(self, request: Request, object_id: str) -> Response:
        """By operation; only if the caller may see the programme."""
        one(self.caller, OpenAdrProgram, object_id)
        path = f"programs/{object_id}" + (f"/{self.collection}" if self.collection else "")
        return _answer(operation_topics(self.caller.client_id, path, of_one_object=not self.collection))


class VenTopics(VtnView):
    """The topics of one node, or of what is meant for it."""

    scopes: ClassVar = {"get": ("read_all", "read_ven_objects")}
    collection = ""

    def get(self, request: Request, object_id: str) -> Response:
        """By operation; only if the caller may see the node."""
        one(self.caller, OpenAdrVen, object_id)
        path = f"vens/{object_id}" + (f"/{self.collection}" if self.collection else "")
        return _answer(operation_topics(self.caller.client_id, path, of_one_object=not self.collection))


def _answer(topics: dict[str, str]) -> Response:
    return Response({"topics": topics})
