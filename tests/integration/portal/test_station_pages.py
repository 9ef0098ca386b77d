"""The operator's pages for stations: commands with their parameters, many stations at once, firmware campaigns."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.test import Client

from aggregator.portal.station_words import COMMAND_WORDS, PARAMETER_WORDS
from fleet.core.station_commands import COMMANDS
from fleet.models import Charger, CommandBatch, DeviceCommand, FirmwareCampaign, Reservation
from fleet.operations.commands import CommandOutcome, confirm_commands
from fleet.operations.firmware_campaigns import advance_campaigns
from fleet.operations.station_notices import NoticedEvent, record_events
from tests.portal_world import World


def now() -> datetime:
    return datetime.now(UTC)


def text_of(response) -> str:
    return response.content.decode()


def test_every_command_and_parameter_has_a_word() -> None:
    offered = {kind: command for kind, command in COMMANDS.items() if command.offered}
    assert offered.keys() == COMMAND_WORDS.keys()
    assert {each.name for command in offered.values() for each in command.parameters} == PARAMETER_WORDS.keys()


@pytest.fixture
def identity(world: World) -> str:
    Charger.objects.update(vendor="Maker", model="Wallbox", firmware_version="1.0.0", protocol="ocpp2.0.1")
    return Charger.objects.order_by("pk").first().identity


def test_every_command_has_a_form_in_both_languages(operator: Client, identity: str) -> None:
    for language, word in (("en", "Give a command"), ("ja", "指示を出す")):
        operator.cookies["django_language"] = language
        for kind, command in COMMANDS.items():
            answer = operator.get(f"/ops/stations/{identity}/?kind={kind}")
            if not command.offered or "ocpp2.0.1" not in command.versions:
                assert answer.status_code == 404, kind
                continue
            page = text_of(answer)
            assert word in page
            assert all(f'name="{parameter.name}"' in page for parameter in command.parameters), kind
    assert operator.get("/ops/stations/NOBODY/").status_code == 404


def test_a_command_is_given_under_the_persons_name(operator: Client, identity: str) -> None:
    form = {"kind": "availability", "operative": "false", "evse": "1"}
    assert operator.post(f"/ops/stations/{identity}/", form).status_code == 302
    command = DeviceCommand.objects.get(kind="availability")
    assert command.parameters == {"operative": False, "evse": 1}
    assert command.requested_by.startswith("console:")
    form = {"kind": "get_log", "log": "SecurityLog", "location": "https://x", "oldest": "2026-11-23T18:30:00"}
    operator.post(f"/ops/stations/{identity}/", form)
    # the form's time is that of the station's place
    assert DeviceCommand.objects.get(kind="get_log").parameters["oldest"] == "2026-11-23T18:30:00+09:00"
    operator.post(f"/ops/stations/{identity}/", {"kind": "clear_monitors", "monitor_ids": "1\n 22\n"})
    assert DeviceCommand.objects.get(kind="clear_monitors").parameters == {"monitor_ids": [1, 22]}


@pytest.mark.parametrize(
    "form",
    [
        {"kind": "availability"},
        {"kind": "availability", "operative": "true", "evse": "9"},
        {"kind": "read_variables", "variables": "Heartbeat"},
        {"kind": "clear_monitors", "monitor_ids": "one"},
    ],
)
def test_what_does_not_suit_is_said_at_its_field(operator: Client, identity: str, form: dict[str, str]) -> None:
    before = DeviceCommand.objects.count()
    answer = operator.post(f"/ops/stations/{identity}/", form)
    assert answer.status_code == 422 and 'class="error-summary"' in text_of(answer)
    assert DeviceCommand.objects.count() == before


def test_what_the_station_noticed_is_shown_and_evses_are_kept(operator: Client, identity: str) -> None:
    record_events(identity=identity, events=[NoticedEvent("security", "TamperDetectionActivated", now())], now=now())
    assert "TamperDetectionActivated" in text_of(operator.get(f"/ops/stations/{identity}/"))
    form = {"reservation-evse": "1", "reservation-id_token": "T1", "reservation-minutes": "30"}
    operator.post(f"/ops/stations/{identity}/reserve/", form)
    reservation = Reservation.objects.get()
    operator.post(f"/ops/stations/{identity}/reservations/{reservation.pk}/release/")
    assert set(DeviceCommand.objects.values_list("kind", flat=True)) >= {"reserve", "cancel_reservation"}
    operator.post(f"/ops/stations/{identity}/reserve/", {**form, "reservation-minutes": "0"})
    assert Reservation.objects.count() == 1
    operator.post(f"/ops/stations/{identity}/local-list/")
    assert DeviceCommand.objects.filter(kind="local_list").exists()


def test_one_command_goes_to_many_once_and_its_progress_is_shown(operator: Client, identity: str) -> None:
    page = text_of(operator.get("/ops/batches/?kind=write_variable"))
    key = re.search(r'name="stations-idempotency_key" value="([^"]+)"', page).group(1)
    form = {
        "kind": "write_variable",
        "variable": "OCPPCommCtrlr.HeartbeatInterval",
        "value": "300",
        "stations-vendor": "maker",
        "stations-idempotency_key": key,
    }
    given = operator.post("/ops/batches/", form)
    assert given.status_code == 302
    assert operator.post("/ops/batches/", form)["Location"] == given["Location"]
    assert CommandBatch.objects.count() == 1
    commands = list(DeviceCommand.objects.filter(batch__isnull=False))
    assert len(commands) == Charger.objects.exclude(protocol="mqtt").count()
    confirm_commands(
        outcomes=[CommandOutcome(commands[0].pk, False, now(), now(), {"status": "Rejected"}, "answered Rejected")]
    )
    fragment = text_of(operator.get(given["Location"], headers={"HX-Request": "true"}))
    assert "<html" not in fragment and "answered Rejected" in fragment
    assert f"0 of {len(commands)} have done it, 1 have not" in fragment
    operator.post(f"{given['Location']}cancel/")
    assert not DeviceCommand.objects.filter(batch__isnull=False, state="queued").exists()
    nobody = operator.post("/ops/batches/", {**form, "stations-vendor": "", "stations-idempotency_key": "x"})
    assert nobody.status_code == 422


def test_a_campaign_is_prepared_started_and_stopped(operator: Client, identity: str) -> None:
    form = {
        "name": "Autumn",
        "vendor": "Maker",
        "model": "Wallbox",
        "firmware_version": "2.0.0",
        "location": "https://firmware.example.com/2.0.0",
        "stages": "50, 100",
        "failure_limit_percent": "10",
        "patience_minutes": "60",
        "rest_minutes": "60",
    }
    wrong = operator.post("/ops/firmware/", {**form, "stages": "50, 20"})
    assert wrong.status_code == 422 and not FirmwareCampaign.objects.exists()
    page = operator.post("/ops/firmware/", form)["Location"]
    assert "not started" in text_of(operator.get(page))
    operator.post(f"{page}start/")
    advance_campaigns(now=now())
    assert "running" in text_of(operator.get(page, headers={"HX-Request": "true"}))
    operator.post(f"{page}stop/")
    shown = text_of(operator.get(page))
    assert "stopped by console:" in shown and "Go on in spite of the failures" in shown
    assert "Autumn" in text_of(operator.get("/ops/firmware/"))


def test_owners_do_not_command_stations(owner: Client, identity: str) -> None:
    for path in (f"/ops/stations/{identity}/", "/ops/batches/", "/ops/firmware/"):
        assert owner.get(path).status_code == 403
        assert owner.post(path, {"kind": "clear_cache"}).status_code == 403
    assert not DeviceCommand.objects.filter(kind="clear_cache").exists()
