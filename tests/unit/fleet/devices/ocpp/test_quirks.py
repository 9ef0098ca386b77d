"""Known habits are mended, by place; what no habit explains is refused with the field's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.devices.ocpp.quirks import EVERY_QUIRK, allowed_quirks, check_incoming
from fleet.devices.ocpp.schemas import PayloadError, actions, incoming
from fleet.devices.ocpp.wire import V16, V21, V201

EVERYONE = allowed_quirks("Some Maker", "Post 3")


def meter_values(*samples: dict[str, Any]) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{"timestamp": "2026-01-01T00:00:00Z", "sampledValue": list(samples)}]}


def test_sound_payload_needs_nothing_and_is_left_alone() -> None:
    payload = meter_values({"value": "1"})
    assert check_incoming("MeterValues", V16, payload, EVERYONE) == frozenset()
    assert payload == meter_values({"value": "1"})


@pytest.mark.parametrize(
    ("version", "action", "payload", "quirks", "mended"),
    [
        (V16, "MeterValues", meter_values({"value": 1.5}), {"text_as_number"}, meter_values({"value": "1.5"})),
        (
            V16,
            "StartTransaction",
            {"connectorId": "1", "idTag": "A", "meterStart": 10.4, "timestamp": "t", "reservationId": None},
            {"number_as_text", "fraction_for_integer", "null_values"},
            {"connectorId": 1, "idTag": "A", "meterStart": 10, "timestamp": "t"},
        ),
        (
            V16,
            "MeterValues",
            meter_values({"value": "1"}, {"value": "2", "unit": "Furlong"}, {"value": "3"}),
            {"unknown_sampled_value"},
            meter_values({"value": "1"}, {"value": "3"}),
        ),
        (
            V16,
            "MeterValues",
            meter_values(
                {"value": "1", "measurand": "A", "unit": "B"}, {"value": "2", "phase": "L9", "x": 1}, {"value": "3"}
            ),
            {"unknown_sampled_value", "extra_properties"},
            meter_values({"value": "3"}),
        ),
        (
            V16,
            "StopTransaction",
            {"transactionId": 1, "meterStop": 2, "timestamp": "t", "vendorStuff": {"a": 1}},
            {"extra_properties"},
            {"transactionId": 1, "meterStop": 2, "timestamp": "t"},
        ),
        (
            V201,
            "TransactionEvent",
            {
                "eventType": "Updated",
                "timestamp": "t",
                "triggerReason": "Trigger",
                "seqNo": 1,
                "offline": "false",
                "transactionInfo": {"transactionId": "T"},
                "meterValue": [],
            },
            {"empty_lists", "boolean_as_text"},
            {
                "eventType": "Updated",
                "timestamp": "t",
                "triggerReason": "Trigger",
                "seqNo": 1,
                "offline": False,
                "transactionInfo": {"transactionId": "T"},
            },
        ),
    ],
)
def test_habits(version: str, action: str, payload: dict[str, Any], quirks: set[str], mended: dict[str, Any]) -> None:
    assert check_incoming(action, version, payload, EVERYONE) == quirks
    assert payload == mended


@pytest.mark.parametrize(
    ("version", "action", "payload", "code", "field"),
    [
        (V16, "StartTransaction", {"connectorId": 1, "idTag": "A", "timestamp": "t"}, "ProtocolError", "meterStart"),
        (V16, "Authorize", {"idTag": "x" * 21}, "PropertyConstraintViolation", "idTag"),
        (V16, "Heartbeat", "no object", "TypeConstraintViolation", "object"),
        (V201, "MeterValues", {"evseId": 1, "meterValue": []}, "OccurrenceConstraintViolation", "meterValue"),
        (
            V21,
            "BootNotification",
            {"reason": "Lunch", "chargingStation": {"model": "M", "vendorName": "V"}},
            "PropertyConstraintViolation",
            "reason",
        ),
    ],
)
def test_faults(version: str, action: str, payload: Any, code: str, field: str) -> None:
    with pytest.raises(PayloadError) as refused:
        check_incoming(action, version, payload, EVERYONE)
    assert refused.value.code == code and field in refused.value.description


def test_a_token_is_never_cut_for_everyone_but_may_be_for_a_make_known_for_it() -> None:
    with pytest.raises(PayloadError):
        check_incoming("Authorize", V16, {"idTag": "x" * 21}, EVERYONE)
    payload = {"idTag": "x" * 21}
    assert check_incoming("Authorize", V16, payload, EVERY_QUIRK) == {"overlong_text"}
    assert payload == {"idTag": "x" * 20}


def test_the_value_at_fault_is_not_repeated_in_the_answer() -> None:
    with pytest.raises(PayloadError) as refused:
        check_incoming("Authorize", V16, {"idTag": "SECRET-TOKEN-OF-A-DRIVER"}, EVERYONE)
    assert "SECRET" not in refused.value.description


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "meterValue",
                    "sampledValue",
                    "value",
                    "timestamp",
                    "connectorId",
                    "evseId",
                    "idToken",
                    "type",
                    "unit",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(
    version=st.sampled_from([V16, V201, V21]),
    action=st.sampled_from(["MeterValues", "TransactionEvent", "StatusNotification", "NotifyEvent", "StopTransaction"]),
    payload=st.dictionaries(
        st.sampled_from(["meterValue", "connectorId", "evseId", "transactionInfo", "eventData", "timestamp", "seqNo"]),
        anything,
    ),
)
@settings(deadline=None, max_examples=400)
def test_whatever_comes_is_mended_or_refused(version: str, action: str, payload: dict[str, Any]) -> None:
    if action not in actions(version):
        return
    try:
        check_incoming(action, version, payload, EVERYONE)
    except PayloadError as error:
        assert error.code and error.description
    else:
        assert incoming(action, version).is_valid(payload)
