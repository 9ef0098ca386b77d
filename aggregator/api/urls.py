"""Every address below /api/. Each works with and without a slash at its end; the description shows it without."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path
from django.views.generic.base import View

from aggregator.api import delivery, documents, events, flexibility, jobs, programmes, schema, settlements

app_name = "api"


def resource(route: str, view: type[View], name: str) -> list[URLPattern]:
    """An address and its twin with a slash."""
    return [path(route, view.as_view(), name=name), path(f"{route}/", view.as_view())]


urlpatterns = [
    *resource("programmes", programmes.ProgrammeList, "programmes"),
    *resource("programmes/<str:code>", programmes.ProgrammeDetail, "programme"),
    *resource("events", events.EventList, "events"),
    *resource("events/<int:event_id>", events.EventDetail, "event"),
    *resource("events/<int:event_id>/delivery", delivery.EventDelivery, "event-delivery"),
    *resource("events/<int:event_id>/settlement", settlements.SettlementDetail, "event-settlement"),
    *resource("events/<int:event_id>/settlement/shares", settlements.SettlementShareList, "event-settlement-shares"),
    *resource("events/<int:event_id>/settlement/document", documents.SettlementDocument, "event-settlement-document"),
    path("events/<int:event_id>/settlement/document.<str:kind>", documents.SettlementDocument.as_view(schema=None)),
    *resource("events/<int:event_id>/settlement/evidence", documents.SettlementEvidence, "event-settlement-evidence"),
    *resource("events/<int:event_id>/disputes", documents.DisputeList, "event-disputes"),
    *resource("disputes/<int:dispute_id>/evidence", documents.DisputeEvidence, "dispute-evidence"),
    *resource("settlements", settlements.SettlementList, "settlements"),
    *resource("flexibility", flexibility.FlexibilityList, "flexibility"),
    *resource("sites", flexibility.SiteGroupList, "sites"),
    *resource("jobs", jobs.JobList, "jobs"),
    *resource("jobs/<int:job_id>", jobs.JobDetail, "job"),
    *resource("jobs/<int:job_id>/result", jobs.JobResult, "job-result"),
    path("schema/", schema.Schema.as_view(), name="schema"),
    path("docs/", schema.Docs.as_view(url_name="api:schema"), name="docs"),
    path("reference/", schema.Reference.as_view(url_name="api:schema"), name="reference"),
    re_path(r"^.*$", schema.no_such_address),
]
