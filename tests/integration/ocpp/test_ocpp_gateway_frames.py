"""What is no message, no action or no payload is answered in the version's own terms, and disturbs nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from fleet.models import DeviceMessage, Reading
from tests.integration.ocpp.support import Background, CallFailed, RawStation, eventually, make_place, now, utc_text

Connect = Callable[..., RawStation]
VERSIONS = ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]
MALFORMED = [
    "",
    "not json",
    "{}",
    "[]",
    "[2]",
    '[2,"1"]',
    '[2,17,"Heartbeat",{}]',
    '[9,"1","Heartbeat",{}]',
    '[2,"1","Heartbeat",[]]',
    '[2,"1",null,{}]',
    '[2,"1","Heartbeat",{},{}]',
    '[2,"' + "x" * 40 + '","Heartbeat",{}]',
    "[" * 5000,
    '[2,"1","Heartbeat",{"a":' + "[" * 900 + "]" * 900 + "}]",
    '[3,"nobody asked",{}]',
    '[4,"nobody asked","InternalError","",{}]',
]


@pytest.mark.parametrize("version", VERSIONS)
def test_malformed_frames_are_answered_and_survived(background: Background, connect: Connect, version: str) -> None:
    make_place("CP-1", version)
    station = connect("CP-1", version)
    for text in MALFORMED:
        background.run(station.send_text(text))
    assert "currentTime" in background.run(station.call("Heartbeat", {}, message_id="alive"))
    codes = {error[2] for error in station.errors}
    if version == "ocpp1.6":
        assert codes == {"FormationViolation"}
    else:
        assert codes == {"RpcFrameworkError", "MessageTypeNotSupported", "FormatViolation"}
    unanswerable = [error for error in station.errors if error[1] == "-1"]
    assert unanswerable and all(error[0] == 4 for error in station.errors)
    eventually(lambda: DeviceMessage.objects.filter(action="Heartbeat", message_id="alive").count() == 2)


@pytest.mark.parametrize(
    ("version", "action", "payload", "code"),
    [
        ("ocpp1.6", "MakeCoffee", {}, "NotImplemented"),
        ("ocpp2.0.1", "MakeCoffee", {}, "NotImplemented"),
        ("ocpp2.1", "MakeCoffee", {}, "NotImplemented"),
        ("ocpp1.6", "RemoteStartTransaction", {"idTag": "A"}, "NotSupported"),
        ("ocpp2.0.1", "SetChargingProfile", {}, "NotSupported"),
        ("ocpp2.1", "BatterySwap", {}, "NotSupported"),
        # 2.0.1 does not know what 2.1 added
        ("ocpp2.0.1", "BatterySwap", {}, "NotImplemented"),
        ("ocpp1.6", "BootNotification", {"chargePointVendor": "V"}, "ProtocolError"),
        ("ocpp2.0.1", "BootNotification", {"reason": "PowerUp"}, "OccurrenceConstraintViolation"),
        ("ocpp1.6", "Authorize", {"idTag": ["A"]}, "TypeConstraintViolation"),
        ("ocpp2.1", "Authorize", {"idToken": {"idToken": {}, "type": "Local"}}, "TypeConstraintViolation"),
        (
            "ocpp1.6",
            "StatusNotification",
            {"connectorId": 1, "errorCode": "NoError", "status": "Sleeping"},
            "PropertyConstraintViolation",
        ),
        ("ocpp1.6", "Authorize", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
        (
            "ocpp1.6",
            "StartTransaction",
            {"connectorId": 1, "idTag": "A", "meterStart": 0, "timestamp": "yesterday"},
            "TypeConstraintViolation",
        ),
        (
            "ocpp2.0.1",
            "MeterValues",
            {"evseId": 1, "meterValue": [{"timestamp": "soon", "sampledValue": [{"value": 1}]}]},
            "FormatViolation",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_code(
    background: Background, connect: Connect, version: str, action: str, payload: dict[str, Any], code: str
) -> None:
    make_place("CP-1", version)
    station = connect("CP-1", version)
    with pytest.raises(CallFailed) as refused:
        background.run(station.call(action, payload))
    assert refused.value.code == code
    assert "currentTime" in background.run(station.call("Heartbeat", {}))


def test_habits_of_real_stations_are_forgiven_and_logged_once(
    background: Background, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    make_place("CP-1", "ocpp1.6")
    station = connect("CP-1", "ocpp1.6")
    for _ in range(2):
        values = {
            "connectorId": "1",
            "transactionId": None,
            "firmwareHint": "v2",
            "meterValue": [
                {
                    "timestamp": "2026-01-02T03:04:05",
                    "sampledValue": [{"value": 1200, "unit": "Wh"}, {"value": "7", "measurand": "Noise.Level"}],
                }
            ],
        }
        assert background.run(station.call("MeterValues", values)) == {}
    quirks = sorted(
        record.getMessage().rpartition(" ")[2] for record in caplog.records if "quirk" in record.getMessage()
    )
    assert quirks == ["extra_properties", "null_values", "number_as_text", "text_as_number", "unknown_sampled_value"]


def test_calls_sent_without_waiting_are_answered_in_order(background: Background, connect: Connect) -> None:
    place = make_place("CP-1", "ocpp2.0.1")
    station = connect("CP-1", "ocpp2.0.1")

    async def burst() -> list[str]:
        answered: list[str] = []

        async def call(number: int) -> None:
            token = {"idToken": place.id_token, "type": "Local"}
            await station.call("Authorize", {"idToken": token}, message_id=f"m{number}")
            answered.append(f"m{number}")

        await asyncio.gather(*(call(number) for number in range(100)))
        return answered

    assert background.run(burst()) == [f"m{number}" for number in range(100)]


def test_message_beyond_the_limit_closes_the_socket(background: Background, connect: Connect) -> None:
    make_place("CP-1", "ocpp2.0.1")
    station = connect("CP-1", "ocpp2.0.1")
    background.run(station.send_text(json.dumps([2, "1", "Heartbeat", {"x": "y" * 2_000_000}])))
    code, _ = background.run(station.closed())
    assert code == 1009


def test_nothing_is_answered_to_a_send_and_late_answers_are_ignored(background: Background, connect: Connect) -> None:
    make_place("CP-1", "ocpp2.1")
    station = connect("CP-1", "ocpp2.1")
    stream = {"id": 1, "pending": 0, "basetime": "2026-01-01T00:00:00Z", "data": [{"t": 0, "v": "1"}]}
    background.run(station.send_text(json.dumps([6, "s1", "NotifyPeriodicEventStream", stream])))
    background.run(station.send_text(json.dumps([6, "s2", "Unheard", {}])))
    background.run(station.send_text(json.dumps([5, "r1", "FormatViolation", "", {}])))
    assert "currentTime" in background.run(station.call("Heartbeat", {}))
    assert station.errors == []


def test_a_stream_that_nobody_opened_is_no_reading_and_no_answer(background: Background, connect: Connect) -> None:
    place = make_place("CP-21", "ocpp2.1")
    station = connect(place.identity, "ocpp2.1")
    values = {"id": 5, "pending": 0, "basetime": utc_text(now()), "data": [{"t": 0, "v": "7000"}]}
    background.run(station.send_text(json.dumps([6, "S-1", "NotifyPeriodicEventStream", values])))
    background.run(station.send_text(json.dumps([6, "S-2", "NotifyPeriodicEventStream", {"id": 5}])))
    background.run(station.send_text(json.dumps([5, "R-1", "FormatViolation", "cannot be read", {}])))
    answer = background.run(station.call("VatNumberValidation", {"vatNumber": "NL123"}))
    assert (answer["status"], answer["vatNumber"]) == ("Rejected", "NL123")
    assert station.errors == [] and not Reading.objects.exists()
