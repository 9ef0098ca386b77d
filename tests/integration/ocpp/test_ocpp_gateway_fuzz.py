"""Sound messages with one value swapped for an odd one, and the same with two: always an answer, never a fault of ours."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.ocpp.support import Background, CallFailed, RawStation, make_place, now, utc_text

Connect = Callable[..., RawStation]
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    2**70,
    1e300,
    0.1,
    "",
    "x" * 5000,
    "\x00",
    "‮𐀀é",
    "'; DROP TABLE fleet_charger; --",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00",
    [],
    {},
    [[]],
    {"a": {"b": []}},
]
SAMPLE = {"value": "12", "measurand": "Energy.Active.Import.Register", "unit": "Wh", "location": "Outlet"}
SAMPLE_2X = {"value": 12, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W", "multiplier": 0}}


Messages = list[tuple[str, dict[str, Any]]]


def sound(version: str, id_token: str) -> Messages:
    at = utc_text(now())
    return sound_16(id_token, at) if version == "ocpp1.6" else sound_2x(id_token, at)


def sound_16(id_token: str, at: str) -> Messages:
    return [
        ("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "1"}),
        ("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Charging", "timestamp": at}),
        ("Authorize", {"idTag": id_token}),
        ("StartTransaction", {"connectorId": 1, "idTag": id_token, "meterStart": 5, "timestamp": at}),
        (
            "MeterValues",
            {"connectorId": 1, "transactionId": 1, "meterValue": [{"timestamp": at, "sampledValue": [SAMPLE]}]},
        ),
        (
            "StopTransaction",
            {
                "transactionId": 1,
                "idTag": id_token,
                "meterStop": 9,
                "timestamp": at,
                "reason": "Local",
                "transactionData": [{"timestamp": at, "sampledValue": [SAMPLE]}],
            },
        ),
    ]


def sound_2x(id_token: str, at: str) -> Messages:
    token = {"idToken": id_token, "type": "ISO14443"}
    place = {"name": "Connector", "evse": {"id": 1, "connectorId": 1}}
    state = {
        "eventId": 1,
        "timestamp": at,
        "trigger": "Delta",
        "actualValue": "Available",
        "component": place,
        "eventNotificationType": "HardWiredNotification",
        "variable": {"name": "AvailabilityState"},
    }
    ac = {"energyAmount": 1000, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 230}
    needs = {"requestedEnergyTransfer": "AC_three_phase", "departureTime": at, "acChargingParameters": ac}
    return [
        ("BootNotification", {"reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M"}}),
        ("StatusNotification", {"timestamp": at, "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1}),
        ("Authorize", {"idToken": token}),
        (
            "TransactionEvent",
            {
                "eventType": "Started",
                "timestamp": at,
                "triggerReason": "CablePluggedIn",
                "seqNo": 1,
                "transactionInfo": {"transactionId": "T"},
                "evse": {"id": 1, "connectorId": 1},
                "idToken": token,
                "meterValue": [{"timestamp": at, "sampledValue": [SAMPLE_2X]}],
            },
        ),
        ("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs}),
        ("MeterValues", {"evseId": 1, "meterValue": [{"timestamp": at, "sampledValue": [SAMPLE_2X]}]}),
        ("NotifyEvent", {"generatedAt": at, "seqNo": 0, "eventData": [state]}),
        (
            "TransactionEvent",
            {
                "eventType": "Ended",
                "timestamp": at,
                "triggerReason": "EVDeparted",
                "seqNo": 2,
                "transactionInfo": {"transactionId": "T", "stoppedReason": "EVDisconnected"},
                "evse": {"id": 1},
            },
        ),
    ]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a payload."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def swapped(payload: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    payload = copy.deepcopy(payload)
    holder: Any = payload
    for key in path[:-1]:
        if not isinstance(holder, (dict, list)) or (isinstance(holder, dict) and key not in holder):
            return payload
        if isinstance(holder, list) and (not isinstance(key, int) or key >= len(holder)):
            return payload
        holder = holder[key]
    if isinstance(holder, dict) or (isinstance(holder, list) and isinstance(path[-1], int) and path[-1] < len(holder)):
        holder[path[-1]] = value
    return payload


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def test_every_odd_value_gets_an_answer(
    background: Background, connect: Connect, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    place = make_place("CP-1", version)
    station = connect("CP-1", version)
    draw = random.Random(version)

    def cases() -> Iterator[tuple[str, dict[str, Any]]]:
        for action, payload in sound(version, place.id_token):
            yield action, payload
            for path in places(payload):
                for value in draw.sample(ODD, 4):
                    once = swapped(payload, path, value)
                    yield action, once
                    yield action, swapped(once, draw.choice(list(places(payload))), draw.choice(ODD))

    async def play() -> tuple[int, set[str]]:
        codes: set[str] = set()
        answered = 0

        async def ask(action: str, payload: dict[str, Any]) -> None:
            nonlocal answered
            try:
                await station.call(action, payload)
            except CallFailed as error:
                assert error.code != "InternalError", (action, json.dumps(payload))
                codes.add(error.code)
            answered += 1

        # several at a time: the gateway answers them in turn and the window of its writer is not waited for each time
        waiting = list(cases())
        for first in range(0, len(waiting), 25):
            await asyncio.gather(*(ask(*case) for case in waiting[first : first + 25]))
        assert answered == len(waiting)
        return answered, codes

    answered, codes = background.run(play(), patience_s=120)
    assert answered > 250
    assert "TypeConstraintViolation" in codes and "PropertyConstraintViolation" in codes
    assert not [record for record in caplog.records if record.exc_info], "a traceback was logged"
    assert "currentTime" in background.run(station.call("Heartbeat", {}))
