"""Chargers over a real broker: what they say is stored once, what they are told is followed, and nonsense disturbs nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.devices.mqtt.messages import ROOT
from fleet.models import Asset, Charger, ChargingSession, CommandState, Connector, DeviceCommand, DeviceMessage, Reading
from fleet.operations.commands import PowerSchedule, queue_command, queue_schedules
from fleet.queries.state import latest_states
from tests.conftest import BrokerAccess
from tests.integration.fleet.fleets import make_charger, make_vehicle
from tests.integration.fleet.loops import eventually
from tests.integration.fleet.mqtt_stage import FAIL_SAFE_KW, PASSWORD, Stage, Wire, numbers, twin_park

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stage(db: None, mqtt_broker: BrokerAccess) -> Iterator[Stage]:
    stage = Stage(mqtt_broker)
    yield stage
    stage.close()


def now_text(offset_s: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).isoformat()


def measurement(**change: Any) -> dict[str, Any]:
    return {"evse": 1, "at": now_text(), "power_kw": 3.0, "import_kwh": 5.0} | change


def session_event(event: str, sequence: int, **change: Any) -> dict[str, Any]:
    return {
        "event": event,
        "evse": 1,
        "session_id": "S-1",
        "sequence": sequence,
        "id_token": "TOKEN-1",
        "at": now_text(),
        "started_at": now_text(-30),
        "meter_start_kwh": 5.0,
        "soc_fraction": 0.4,
        "energy_needed_kwh": 20.0,
        "max_charge_kw": 11.0,
        "max_discharge_kw": 10.0,
    } | change


def readings_of(identity: str) -> Any:
    return Reading.objects.filter(asset_id=Asset.objects.get(identity=f"{identity}/1").pk)


def test_a_device_that_comes_and_goes_is_noted(stage: Stage) -> None:
    device = stage.device()
    birth = {"at": now_text(), "vendor": "Maker", "model": "Box", "firmware_version": "2.1"}
    device.say("birth", birth)
    connector = {"evse": 1, "connector": 1, "status": "Occupied", "detail": "cable in"}
    device.say("status", {"online": True, "at": now_text(), "connectors": [connector]}, retain=True)
    eventually(lambda: Connector.objects.get().status == "Occupied")
    charger = Charger.objects.get()
    assert (charger.vendor, charger.model, charger.firmware_version) == ("Maker", "Box", "2.1")
    assert (charger.gateway_identity, Asset.objects.get().connected) == ("test-mqtt", True)
    device.vanish()
    eventually(lambda: not Asset.objects.get().connected, within_s=25, what="the last will was not heard")
    assert Charger.objects.get().gateway_identity == ""


def test_measurements_are_stored_once_and_shown(stage: Stage) -> None:
    device = stage.device()
    measured = [measurement(at=now_text(-i), import_kwh=5.0 - i / 1000, soc_fraction=0.5) for i in (2, 1, 0)]
    for _ in range(2):
        device.say("meter", {"measurements": measured})
    device.say("meter", {"measurements": [measurement(at=now_text(0.5), power_kw=-4.0)]})
    eventually(lambda: readings_of(device.identity).count() == 4)
    asset_id = Asset.objects.get().pk
    eventually(lambda: latest_states([asset_id])[asset_id].power_kw == -4.0)
    assert latest_states([asset_id])[asset_id].soc_fraction == 0.5


def test_a_session_is_kept_from_plug_to_unplug_and_every_event_gets_its_receipt(stage: Stage) -> None:
    vehicle = make_vehicle()
    device = stage.device()
    for event in (session_event("started", 0), session_event("started", 0), session_event("updated", 1)):
        device.say("session", event)
    eventually(lambda: len(device.told("receipt")) == 3)
    session = ChargingSession.objects.get()
    assert (session.vehicle, session.bidirectional, session.max_discharge_kw) == (vehicle, True, 10.0)
    assert (session.arrival_soc_fraction, session.energy_needed_kwh) == (0.4, 20.0)
    ended = session_event("ended", 2, meter_stop_kwh=9.0, reason="EVDisconnected")
    device.say("session", ended)
    device.say("session", ended)
    eventually(lambda: len(device.told("receipt")) == 5)
    session.refresh_from_db()
    assert (session.ended_at is not None, session.meter_stop_kwh, session.stop_reason) == (True, 9.0, "EVDisconnected")
    assert all(receipt["accepted"] for receipt in device.told("receipt"))
    assert "TOKEN-1" not in str(list(DeviceMessage.objects.values_list("payload", flat=True)))


def test_an_end_whose_start_was_never_heard_is_a_whole_session(stage: Stage) -> None:
    make_vehicle()
    device = stage.device()
    device.say("session", session_event("ended", 5, meter_stop_kwh=8.0))
    eventually(lambda: device.told("receipt"))
    session = ChargingSession.objects.get()
    assert (session.meter_start_kwh, session.meter_stop_kwh) == (5.0, 8.0)
    assert session.started_at < session.ended_at


def test_an_unknown_token_is_told_that_it_may_not_charge(stage: Stage) -> None:
    device = stage.device()
    device.say("session", session_event("started", 0, id_token="NOBODY"))
    receipt = eventually(lambda: device.told("receipt"))[0]
    assert (receipt["accepted"], receipt["reason"]) == (False, "Unknown")


def test_a_setpoint_is_retained_answered_and_confirmed(stage: Stage) -> None:
    device = stage.device()
    make_vehicle()
    device.say("status", {"online": True, "at": now_text()}, retain=True)
    device.say("session", session_event("started", 0))
    eventually(lambda: device.told("receipt") and Charger.objects.get().gateway_identity)
    asset_id, now = Asset.objects.get().pk, datetime.now(UTC)
    until = now + timedelta(minutes=5)
    queue_schedules(schedules=[PowerSchedule(asset_id, now, (0.0, 60.0), (-30.0, 4.0), until)], now=now)
    told = eventually(lambda: device.told("setpoint"))[0]
    assert [entry["power_kw"] for entry in told["schedule"]] == [-11.0, 4.0]  # no more than the EVSE can
    assert (told["session_id"], told["fail_safe_kw"]) == ("S-1", FAIL_SAFE_KW)
    device.say("ack", {"sequence": told["sequence"], "accepted": True, "at": now_text()})
    eventually(lambda: DeviceCommand.objects.get().state == CommandState.CONFIRMED)
    device.close()
    again = Wire(stage.broker, device.identity, PASSWORD).ready()
    stage.devices.append(again)
    assert eventually(lambda: again.told("setpoint"))[0]["sequence"] == told["sequence"]
    again.say("session", session_event("ended", 1))
    eventually(lambda: ("setpoint/1", {}) in again.heard, what="the set-point still stands after the session")


def test_a_refusal_by_the_device_is_recorded_with_its_reason(stage: Stage) -> None:
    device = stage.device()
    device.say("status", {"online": True, "at": now_text()}, retain=True)
    eventually(lambda: Charger.objects.get().gateway_identity)
    now = datetime.now(UTC)
    queue_command(
        asset_id=Asset.objects.get().pk, kind="reset", parameters={}, now=now, valid_until=now + timedelta(minutes=1)
    )
    told = eventually(lambda: device.told("command"))[0]
    assert told["command"] == "reset"
    device.say(
        "ack", {"sequence": told["sequence"], "accepted": False, "reason": "a car is charging", "at": now_text()}
    )
    eventually(lambda: DeviceCommand.objects.get().state == CommandState.REFUSED)
    assert DeviceCommand.objects.get().answer["reason"] == "a car is charging"


def test_a_wrong_password_is_refused_by_the_broker(stage: Stage) -> None:
    stranger = Wire(stage.broker, stage.device().identity, "not-the-password")
    eventually(lambda: stranger.refusal)
    assert not stranger.client.is_connected()
    stranger.close()


def test_nobody_speaks_for_another_nor_listens_to_it(stage: Stage) -> None:
    device, thief = stage.device(), stage.device()
    thief.client.subscribe(f"{ROOT}/{device.identity}/down/#", qos=1)
    thief.say("meter", {"measurements": [measurement(power_kw=9.0)]}, identity=device.identity)
    thief.say("meter", {"measurements": [measurement()]})
    eventually(lambda: readings_of(thief.identity).count() == 1)
    assert readings_of(device.identity).count() == 0
    device.say("gossip", {})
    eventually(lambda: device.told("error"))
    assert not thief.told("error")


def test_nobody_who_comes_back_hears_what_is_retained_for_another(stage: Stage) -> None:
    device, other = stage.device(), stage.device()
    platform = stage.platform_client()
    topic = f"{ROOT}/{device.identity}/down/setpoint/1"
    platform.publish(topic, b'{"sequence": 1}', qos=1, retain=True).wait_for_publish(5)
    eventually(lambda: device.told("setpoint"))
    other.close()
    again = Wire(stage.broker, other.identity, PASSWORD).ready()
    stage.devices.append(again)
    again.say("gossip", {})
    eventually(lambda: again.told("error"))
    assert not again.told("setpoint")


@pytest.mark.parametrize(
    ("kind", "content", "named"),
    [
        ("meter", b"{not json", "JSON"),
        ("meter", b"\xff\xfe\x00", "JSON"),
        ("meter", [], "object"),
        ("meter", {"measurements": []}, "measurements"),
        ("meter", {"measurements": [measurement(power_kw="much")]}, "measurements[0].power_kw"),
        ("meter", {"measurements": [measurement(evse=7)]}, "EVSE 7"),
        ("meter", {"measurements": [measurement(at="2026-11-23T12:00:00")]}, "measurements[0].at"),
        ("meter", {"measurements": [measurement(at="2999-01-01T00:00:00Z")]}, "measured_at"),
        ("meter", {"measurements": [measurement(soc_fraction=55)]}, "soc_fraction"),
        ("session", {"event": "paused"}, "event"),
        ("session", session_event("started", 0, evse=9), "EVSE 9"),
        ("gossip", {}, "gossip"),
        ("status", {"online": "yes"}, "online"),
    ],
)
def test_nonsense_is_answered_by_name_logged_once_and_disturbs_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture, kind: str, content: Any, named: str
) -> None:
    device = stage.device()
    for _ in range(3):
        device.say(kind, content)
    device.say("meter", {"measurements": [measurement()]})
    eventually(lambda: readings_of(device.identity).count() == 1)
    errors = eventually(lambda: device.told("error"))
    assert len(errors) == 1
    assert named in errors[0]["reason"]
    refusals = [record for record in caplog.records if "is refused" in record.getMessage()]
    assert sum(device.identity in record.getMessage() for record in refusals) == 1


def test_an_unregistered_device_that_the_broker_lets_in_is_refused(stage: Stage) -> None:
    device = stage.device(registered=False)
    device.say("meter", {"measurements": [measurement()]})
    assert "not registered" in eventually(lambda: device.told("error"))[0]["reason"]


def test_what_is_said_while_the_gateway_is_away_is_stored_when_it_is_back(stage: Stage) -> None:
    device = stage.device()
    device.say("meter", {"measurements": [measurement()]})
    eventually(lambda: readings_of(device.identity).count() == 1)
    stage.stop_gateway()
    for i in range(20):
        device.say("meter", {"measurements": [measurement(at=now_text(i / 100))]})
    stage.start_gateway()
    eventually(lambda: readings_of(device.identity).count() == 21)


def test_a_reference_charger_serves_a_car_from_plug_to_unplug(stage: Stage) -> None:
    identity = f"MQ-{next(numbers):04d}"
    evse = make_charger(identity=identity, password=PASSWORD)
    vehicle = make_vehicle()
    stage.broker.add_device(identity, PASSWORD)
    park = twin_park(identity, max_discharge_kw=10)
    try:
        session = eventually(lambda: ChargingSession.objects.filter(vehicle=vehicle).first())
        assert session.bidirectional
        eventually(lambda: Asset.objects.get().connected)
        car = park.park.cars["EV-0001"]
        for power_kw in (-6.0, 7.0):
            now = datetime.now(UTC)
            until = now + timedelta(seconds=4 if power_kw > 0 else 60)
            schedule = PowerSchedule(evse.asset_id, now, (0.0,), (power_kw,), until)
            queue_schedules(schedules=[schedule], now=now)
            eventually(lambda power_kw=power_kw: abs(car.power_kw - power_kw) < 0.01)
            metered = {"power_kw__range": (power_kw - 0.1, power_kw + 0.1)}
            metered |= {"import_kwh__gt" if power_kw > 0 else "export_kwh__gt": 0}
            eventually(lambda metered=metered: readings_of(identity).filter(**metered).exists())
        # nothing more is said to it: when the set-point is over it takes its fail-safe power
        eventually(lambda: car.power_kw == 0.0, within_s=10)
        assert not DeviceCommand.objects.exclude(state=CommandState.CONFIRMED).exists()
        park.unplug()
        eventually(lambda: ChargingSession.objects.filter(ended_at__isnull=False, meter_stop_kwh__gt=0).exists())
    finally:
        park.close()


def test_a_clock_that_is_a_day_off_is_told_and_its_readings_wait_aside_until_it_is_set(stage: Stage) -> None:
    device, day_s = stage.device(), 86_400.0
    device.say("birth", {"at": now_text(-day_s), "vendor": "Maker", "model": "Box"})
    eventually(lambda: device.told("time"), what="nobody told it the time")
    device.say("time", {"sent_at": now_text(-day_s)})
    eventually(lambda: [told for told in device.told("error") if "-86400 s off" in told["reason"]])
    device.say("meter", {"measurements": [measurement(at=now_text(-day_s))]})
    eventually(lambda: readings_of(device.identity).filter(flags=8).count() == 1)
    device.say("time", {"sent_at": now_text()})
    answered = eventually(lambda: [told for told in device.told("time") if told["sent_at"] is not None][1:])
    assert answered[0]["received_at"] <= answered[0]["at"]
    device.say("meter", {"measurements": [measurement()]})
    eventually(lambda: readings_of(device.identity).filter(flags=0).count() == 1)
    device.say("meter", {"measurements": [measurement(at=now_text(day_s))]})
    eventually(lambda: [told for told in device.told("error") if "in the future" in told["reason"]])
