"""Frames are read and written as OCPP-J says; anything else is an error that can be answered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.devices.ocpp import wire
from fleet.devices.ocpp.instants import read_instant, write_exact_instant, write_instant
from fleet.devices.ocpp.schemas import PayloadError
from fleet.devices.ocpp.wire import V16, V21, V201, Frame, FrameError, parse_frame


def test_frames_of_every_type() -> None:
    assert parse_frame(b'[2,"1","Heartbeat",{}]', V16) == Frame(2, "1", "Heartbeat", {})
    assert parse_frame('[3,"1",{"a":1}]', V16) == Frame(3, "1", "", {"a": 1})
    assert parse_frame('[4,"1","InternalError","why",{"b":2}]', V201) == Frame(
        4, "1", "", {"b": 2}, "InternalError", "why"
    )
    # some stations leave the end of an error out
    assert parse_frame('[4,"1","InternalError"]', V201) == Frame(4, "1", "", {}, "InternalError", "")
    assert parse_frame('[6,"1","NotifyPeriodicEventStream",{}]', V21).kind == wire.SEND


@pytest.mark.parametrize("version", [V16, V201])
def test_2_1_types_are_unknown_to_older_versions(version: str) -> None:
    with pytest.raises(FrameError) as refused:
        parse_frame('[6,"1","NotifyPeriodicEventStream",{}]', version)
    assert refused.value.code == ("FormationViolation" if version == V16 else "MessageTypeNotSupported")
    assert refused.value.message_id == "1"


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | st.builds(
        lambda value: json.dumps(value).encode(),
        st.lists(
            st.none() | st.integers(0, 8) | st.text(max_size=5) | st.dictionaries(st.text(max_size=3), st.integers()),
            max_size=6,
        ),
    )
)
def test_whatever_comes_is_a_frame_or_an_error_that_can_be_answered(raw: bytes) -> None:
    for version in (V16, V201, V21):
        try:
            frame = parse_frame(raw, version)
        except FrameError as error:
            answer = json.loads(wire.write_error(error.message_id, error.code, error.description))
            assert answer[0] == 4 and len(answer) == 5 and len(answer[3]) <= 255
        else:
            assert frame.message_id


def test_what_is_written_is_read_again() -> None:
    assert parse_frame(wire.write_call("7", "Reset", {"type": "Soft"}), V16) == Frame(2, "7", "Reset", {"type": "Soft"})
    assert parse_frame(wire.write_result("7", {}), V16) == Frame(3, "7", "", {})
    assert parse_frame(wire.write_result_error("7", "FormatViolation", "no"), V21).error_code == "FormatViolation"


def test_instants() -> None:
    instant = read_instant("2026-11-23T18:30:00.1234567+09:00", field="timestamp", version=V201)
    assert write_exact_instant(instant) == "2026-11-23T09:30:00.123Z"
    assert write_instant(instant) == "2026-11-23T09:30:00Z"
    assert write_instant(read_instant("2026-11-23T18:30:00", field="timestamp", version=V16)) == "2026-11-23T18:30:00Z"


@pytest.mark.parametrize("text", ["", "today", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_bad_instants_name_the_field(text: str) -> None:
    with pytest.raises(PayloadError) as refused:
        read_instant(text, field="meterValue.timestamp", version=V201)
    assert "meterValue.timestamp" in refused.value.description
