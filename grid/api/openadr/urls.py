"""Every address of the VTN, below /openadr3/3.1.0/; each works with and without a slash at its end."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, re_path
from django.views.generic.base import View

from grid.api.openadr import auth, notifiers, programs, subscriptions, vens
from grid.api.openadr.host import Host
from grid.api.openadr.problems import no_such_address

_ID = r"(?P<object_id>[^/]+)"


def vtn_addresses(host: Host) -> list[URLPattern]:
    """The addresses, for a platform that answers what the VTN asks of it."""

    def at(route: str, view: type[View], **options: Any) -> URLPattern:
        return re_path(rf"^{route}/?$", view.as_view(host=host, **options))

    def topics(route: str, view: type[View], collection: str) -> URLPattern:
        return at(f"notifiers/mqtt/topics/{route}", view, collection=collection)

    return [
        at("programs", programs.ProgramList),
        at(f"programs/{_ID}", programs.ProgramDetail),
        at("events", programs.EventList),
        at(f"events/{_ID}", programs.EventDetail),
        at("vens", vens.VenList),
        at(f"vens/{_ID}", vens.VenDetail),
        at("resources", vens.ResourceList),
        at(f"resources/{_ID}", vens.ResourceDetail),
        at("reports", vens.ReportList),
        at(f"reports/{_ID}", vens.ReportDetail),
        at("subscriptions", subscriptions.SubscriptionList),
        at(f"subscriptions/{_ID}", subscriptions.SubscriptionDetail),
        at("notifiers", notifiers.NotifierList),
        topics("programs", notifiers.TopicList, "programs"),
        topics(f"programs/{_ID}", notifiers.ProgramTopics, ""),
        topics(f"programs/{_ID}/events", notifiers.ProgramTopics, "events"),
        *(
            topics(name, notifiers.OperatorTopicList, name)
            for name in ("events", "reports", "subscriptions", "vens", "resources")
        ),
        topics(f"vens/{_ID}", notifiers.VenTopics, ""),
        *(topics(f"vens/{_ID}/{name}", notifiers.VenTopics, name) for name in ("events", "programs", "resources")),
        at("auth/server", auth.AuthServer),
        re_path(r"^auth/token/?$", auth.OpenAdrTokenView.as_view()),
        re_path(r"^.*$", no_such_address),
    ]
