"""The operator sets DER controls on a page, sees how far they have come, and reads what was wrong with them."""

from __future__ import annotations

import json
from datetime import timedelta

from django.test import Client
from django.utils import timezone

from fleet.models import Charger, DerControl, DeviceCommand, Evse
from fleet.operations.der import note_der_answer, record_der_alarm
from tests.portal_world import World

CURVE = {"priority": 1, "yUnit": "PctMaxW", "curveData": [{"x": 49.8, "y": -80}, {"x": 50.2, "y": 80}]}


def station(world: World) -> str:
    return Charger.objects.filter(protocol="ocpp2.1").earliest("pk").identity


def text_of(response) -> str:
    return response.content.decode()


def test_a_control_is_set_watched_and_dropped(operator: Client, world: World) -> None:
    identity = station(world)
    address = f"/ops/devices/{identity}/der/"
    assert address in text_of(operator.get(f"/ops/devices/{identity}/"))
    assert "No control is known" in text_of(operator.get(address))
    posted = {"control_type": "FreqWatt", "is_default": "on", "content": json.dumps(CURVE)}
    page = text_of(operator.post(address, posted, follow=True))
    assert "asked to take the control" in page and "asked for" in page
    control = DerControl.objects.get()
    assert DeviceCommand.objects.latest("sequence").parameters["request"]["curve"] == CURVE

    now = timezone.now()
    note_der_answer(
        identity=identity, kind="set_der_control", control_id=control.control_id, status="Accepted", now=now
    )
    assert "set in the station" in text_of(operator.get(address))
    assert operator.post(f"{address}{control.control_id}/clear/").status_code == 302
    assert DeviceCommand.objects.latest("sequence").kind == "clear_der_control"
    assert operator.post(f"{address}report/").status_code == 302
    assert DeviceCommand.objects.latest("sequence").kind == "get_der_control"
    assert operator.post(f"{address}nowhere/clear/").status_code == 404

    began = now - timedelta(minutes=1)
    record_der_alarm(
        identity=identity, control_type="HFMustTrip", fault="OverFrequency", ended=False, at=began, extra=""
    )
    assert "OverFrequency" in text_of(operator.get(address))


def test_what_is_wrong_with_a_control_is_said_beside_it(operator: Client, world: World) -> None:
    address = f"/ops/devices/{station(world)}/der/"
    for content, said in (
        ("{", "This is no JSON."),
        ("[1]", "Give an object in braces."),
        (json.dumps({"priority": 1}), "A curve has points."),
    ):
        response = operator.post(address, {"control_type": "FreqWatt", "content": content})
        assert response.status_code == 422 and said in text_of(response)
    assert not DerControl.objects.exists()


def test_only_operators_and_only_stations_of_2_1(operator: Client, owner: Client, world: World) -> None:
    assert owner.get(f"/ops/devices/{station(world)}/der/").status_code == 403
    other = Charger.objects.exclude(protocol="ocpp2.1").earliest("pk").identity
    assert operator.get(f"/ops/devices/{other}/der/").status_code == 404


def test_a_rule_around_the_schedule_is_set_and_taken_back(operator: Client, world: World) -> None:
    identity = station(world)
    Evse.objects.filter(charger__identity=identity).update(max_discharge_kw=10)
    address = f"/ops/devices/{identity}/der/"
    rule = {"evse": 1, "mode": "LocalFrequency", "frequency_watt": "49.8:-8 50:0 50.2:8", "signal_watt": ""}
    page = text_of(operator.post(f"{address}local/", rule, follow=True))
    assert "The rule holds" in page and "LocalFrequency 49.8:-8.0 50.0:0.0 50.2:8.0" in page
    assert Evse.objects.get(charger__identity=identity).local_control["mode"] == "LocalFrequency"
    for wrong, said in (
        ({"frequency_watt": "49.8"}, "Write points as x:y"),
        ({"frequency_watt": "50:1"}, "needs a curve"),
        ({"frequency_watt": "1:1 2:2"}, "in hertz"),
        ({"evse": 9}, "has no EVSE 9"),
    ):
        response = operator.post(f"{address}local/", {**rule, **wrong})
        assert response.status_code == 422 and said in text_of(response)
    operator.post(f"{address}local/", {**rule, "mode": "CentralSetpoint", "frequency_watt": ""})
    assert Evse.objects.get(charger__identity=identity).local_control == {}
