"""The charge point operator's API: commands to one and to many, what stations said, reservations, firmware campaigns.

Every answer is held against the API's description.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aggregator.operations.clients import create_client
from fleet.models import Charger, DeviceCommand
from fleet.operations.commands import CommandOutcome, confirm_commands
from fleet.operations.device_model import ReportedVariable, record_variables
from fleet.operations.station_notices import NoticedEvent, record_events
from tests.integration.ocpp.support import make_place
from tests.integration.test_operator_api import Caller, token_of

pytestmark = pytest.mark.django_db(transaction=True)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def call() -> Caller:
    web = Client()
    return Caller(web, token_of(web, create_client(name="cpo", role="cpo")).json()["access_token"])


@pytest.fixture
def places() -> None:
    for number, protocol in enumerate(("ocpp1.6", "ocpp2.0.1", "ocpp2.1")):
        make_place(f"CP-{number}", protocol)
    Charger.objects.update(vendor="Maker", model="Wallbox", firmware_version="1.0.0")


def answer(command_id: int, accepted: bool, told: dict[str, Any], reason: str = "") -> None:
    confirm_commands(outcomes=[CommandOutcome(command_id, accepted, now(), now(), told, reason)])


def test_only_who_runs_stations_may_command_them(places: None) -> None:
    web = Client()
    grid = Caller(web, token_of(web, create_client(name="grid", role="operator")).json()["access_token"])
    assert grid("GET", "/api/stations").status_code == 403
    assert grid("POST", "/api/stations/CP-0/commands", {"kind": "clear_cache"}).status_code == 403
    reader = Caller(web, token_of(web, create_client(name="r", role="cpo"), "stations:read").json()["access_token"])
    assert reader("GET", "/api/stations").status_code == 200
    assert reader("POST", "/api/stations/CP-0/commands", {"kind": "clear_cache"}).status_code == 403
    assert not DeviceCommand.objects.exists()


def test_a_command_is_given_and_followed(call: Caller, places: None) -> None:
    wish = {"kind": "availability", "parameters": {"operative": False, "evse": 1}}
    given = call("POST", "/api/stations/CP-1/commands", wish)
    assert given.status_code == 202 and given.json()["state"] == "queued"
    assert given.json()["requested_by"] == "cpo"
    answer(given.json()["command_id"], False, {"status": "Rejected"}, "ChangeAvailability answered Rejected")
    read = call("GET", given["Location"])
    assert read.json()["state"] == "refused" and "Rejected" in read.json()["answer"]["reason"]
    assert call("GET", "/api/station-commands/999999").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("CP-9", {"kind": "clear_cache"}, 404, "identity"),
        ("CP-0", {"kind": "dance"}, 400, "kind"),
        ("CP-0", {"kind": "monitoring_base", "parameters": {"base": "All"}}, 400, "kind"),
        ("CP-1", {"kind": "availability", "parameters": {}}, 400, "parameters.operative"),
        ("CP-1", {"kind": "availability", "parameters": {"operative": True, "evse": 7}}, 400, "parameters.evse"),
        ("CP-1", {"kind": "read_variables", "parameters": {"variables": ["Heart"]}}, 400, "parameters.variable"),
        ("CP-1", {"kind": "customer_information", "parameters": {"report": True}}, 400, "parameters.id_token"),
        ("CP-1", {"kind": "clear_cache", "when": "now"}, 400, "when"),
    ],
)
def test_what_does_not_suit_is_refused_with_field_and_remedy(
    call: Caller, places: None, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    refused = call("POST", f"/api/stations/{path}/commands", body)
    assert (refused.status_code, refused.json().get("field")) == (status, field)
    assert not DeviceCommand.objects.exists()


def test_what_stations_told_is_shown(call: Caller, places: None) -> None:
    from fleet.core.station_commands import VariableName

    told = [
        ReportedVariable(VariableName("OCPPCommCtrlr", "HeartbeatInterval"), "300", described=True),
        ReportedVariable(
            VariableName("SecurityCtrlr", "BasicAuthPassword"), None, described=True, mutability="WriteOnly"
        ),
    ]
    record_variables(identity="CP-1", variables=told, now=now())
    record_events(identity="CP-1", events=[NoticedEvent("security", "TamperDetectionActivated", now())], now=now())
    listed = call("GET", "/api/stations?vendor=maker")
    assert [row["identity"] for row in listed.json()["results"]] == ["CP-2", "CP-1", "CP-0"]
    with CaptureQueriesContext(connection) as queries:
        call("GET", "/api/stations")
    assert len(queries) <= 8
    shown = call("GET", "/api/stations/CP-1").json()
    values = {variable["name"]: variable["value"] for variable in shown["variables"]}
    assert values == {"OCPPCommCtrlr.HeartbeatInterval": "300", "SecurityCtrlr.BasicAuthPassword": None}
    events = call("GET", "/api/stations/CP-1/events").json()["results"]
    assert [event["name"] for event in events] == ["TamperDetectionActivated"]
    assert call("GET", "/api/stations/CP-9").status_code == 404


def test_one_command_goes_to_many_and_its_progress_is_shown(call: Caller, places: None) -> None:
    wish = {"stations": {"vendor": "maker"}, "kind": "clear_cache"}
    given = call("POST", "/api/station-batches", wish, Idempotency_Key="once")
    again = call("POST", "/api/station-batches", wish, Idempotency_Key="once")
    assert given.status_code == 202 and given.json() == again.json()
    assert given.json()["stations"] == given.json()["waiting"] == 3
    other = call("POST", "/api/station-batches", {**wish, "kind": "reset"}, Idempotency_Key="once")
    assert other.status_code == 409
    commands = list(DeviceCommand.objects.order_by("pk"))
    answer(commands[0].pk, True, {"status": "Accepted"})
    answer(commands[1].pk, False, {"status": "Rejected"}, "ClearCache answered Rejected")
    path = given["Location"].removeprefix("http://testserver")
    progress = call("GET", path).json()
    assert (progress["waiting"], progress["done"], progress["failed"]) == (1, 1, 1)
    refused = call("GET", f"{path}/commands?state=refused").json()["results"]
    assert [row["identity"] for row in refused] == ["CP-1"]
    assert call("DELETE", path).json()["waiting"] == 0
    assert call("GET", "/api/station-batches").json()["results"][0]["failed"] == 2

    def status(**changes: Any) -> int:
        return call("POST", "/api/station-batches", {**wish, **changes}).status_code

    assert status(stations={}) == 400
    assert status(stations={"identities": ["CP-0", "CP-9"]}) == 404
    # one of the chosen cannot do it: nobody is told
    assert status(kind="monitoring_level", parameters={"severity": 3}) == 400
    assert DeviceCommand.objects.count() == 3


def test_reservations_are_made_and_cancelled(call: Caller, places: None) -> None:
    until = (now() + timedelta(minutes=30)).isoformat()
    wish = {"identity": "CP-1", "evse": 1, "id_token": "TAG-OF-SOMEBODY", "expires_at": until}
    given = call("POST", "/api/reservations", wish)
    assert given.status_code == 202 and given.json()["state"] == "requested"
    assert "TAG-OF-SOMEBODY" not in given.content.decode()
    assert call("POST", "/api/reservations", wish).status_code == 409
    answer(DeviceCommand.objects.get(kind="reserve").pk, True, {"status": "Accepted"})
    path = f"/api/reservations/{given.json()['reservation_id']}"
    assert call("GET", path).json()["state"] == "active"
    assert call("DELETE", path).status_code == 202
    answer(DeviceCommand.objects.get(kind="cancel_reservation").pk, True, {"status": "Accepted"})
    assert call("GET", path).json()["state"] == "cancelled"
    assert call("DELETE", path).status_code == 409
    assert len(call("GET", "/api/reservations?identity=CP-1").json()["results"]) == 1
    yesterday = {**wish, "expires_at": (now() - timedelta(days=1)).isoformat()}
    assert call("POST", "/api/reservations", yesterday).json()["field"] == "expires_at"
    assert call("POST", "/api/reservations", {**wish, "identity": "CP-9"}).status_code == 404


def test_a_campaign_is_prepared_started_and_stopped(call: Caller, places: None) -> None:
    wish = {
        "name": "Autumn",
        "vendor": "Maker",
        "model": "Wallbox",
        "firmware_version": "2.0.0",
        "location": "https://firmware.example.com/2.0.0",
        "stage_fractions": [0.3, 1.0],
    }
    given = call("POST", "/api/firmware-campaigns", wish)
    assert given.status_code == 201 and given.json()["state"] == "draft"
    assert [stage["stations"] for stage in given.json()["stages"]] == [1, 2]
    path = given["Location"].removeprefix("http://testserver")
    assert call("POST", f"{path}/stop").status_code == 409
    assert call("POST", f"{path}/start").json()["state"] == "running"
    assert call("POST", f"{path}/stop").json()["reason"] == "stopped by cpo"
    assert call("GET", path).json()["state"] == "stopped"
    assert len(call("GET", "/api/firmware-campaigns").json()["results"]) == 1
    refused = call("POST", "/api/firmware-campaigns", {**wish, "stage_fractions": [0.5, 0.2]})
    assert refused.json()["field"] == "stage_fractions"
    assert call("POST", "/api/firmware-campaigns", {**wish, "model": "Other"}).json()["field"] == "model"
    assert call("GET", "/api/firmware-campaigns/99").status_code == 404
