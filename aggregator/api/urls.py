"""Every address below /api/. Each works with and without a slash at its end; the description shows it without."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path
from django.views.generic.base import View

from aggregator.api import (
    delivery,
    documents,
    events,
    firmware_campaigns,
    flexibility,
    jobs,
    programmes,
    reservations,
    schema,
    settlements,
    station_batches,
    stations,
)

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
    *resource("stations", stations.StationList, "stations"),
    *resource("stations/<str:identity>", stations.StationDetail, "station"),
    *resource("stations/<str:identity>/events", stations.StationEventList, "station-events"),
    *resource("stations/<str:identity>/commands", stations.StationCommandList, "station-commands"),
    *resource("station-commands/<int:command_id>", stations.StationCommandDetail, "station-command"),
    *resource("station-batches", station_batches.BatchList, "station-batches"),
    *resource("station-batches/<int:batch_id>", station_batches.BatchDetail, "station-batch"),
    *resource("station-batches/<int:batch_id>/commands", station_batches.BatchCommandList, "station-batch-commands"),
    *resource("reservations", reservations.ReservationList, "reservations"),
    *resource("reservations/<int:reservation_id>", reservations.ReservationDetail, "reservation"),
    *resource("firmware-campaigns", firmware_campaigns.CampaignList, "firmware-campaigns"),
    *resource("firmware-campaigns/<int:campaign_id>", firmware_campaigns.CampaignDetail, "firmware-campaign"),
    *resource("firmware-campaigns/<int:campaign_id>/start", firmware_campaigns.CampaignStart, "firmware-start"),
    *resource("firmware-campaigns/<int:campaign_id>/stop", firmware_campaigns.CampaignStop, "firmware-stop"),
    path("schema/", schema.Schema.as_view(), name="schema"),
    path("docs/", schema.Docs.as_view(url_name="api:schema"), name="docs"),
    path("reference/", schema.Reference.as_view(url_name="api:schema"), name="reference"),
    re_path(r"^.*$", schema.no_such_address),
]
