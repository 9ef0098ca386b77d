"""DER control (OCPP 2.1, R01 to R05): from the operator's wish to the station and back, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from common.errors import PlatformError
from fleet.core.der_control import CONTENT_OF, DerControlInvalid
from fleet.devices.ocpp.schemas import check_outgoing
from fleet.devices.ocpp.wire import V21
from fleet.models import ChargingSession, DerAlarm, DeviceCommand
from fleet.operations.der import NoDerControl, clear_der_control, request_der_report, set_der_control
from fleet.queries.der import DerControlView, der_alarms, der_controls
from tests.conformance.twin_station import FAIL_SAFE_KW, TwinStation, follows, now, probed_twin, snapshot, tell
from tests.integration.ocpp.support import Background, Place, RunningGateway, eventually, make_place, utc_text

CURVE: dict[str, Any] = {
    "priority": 2,
    "yUnit": "PctMaxW",
    "curveData": [{"x": 49.8, "y": -80.0}, {"x": 50.0, "y": 0.0}, {"x": 50.2, "y": 80.0}],
    "responseTime": 1.0,
}


@pytest.fixture
def place(background: Background) -> Place:
    return make_place("CP-DER", "ocpp2.1", fail_safe_kw=FAIL_SAFE_KW)


@pytest.fixture
def twin(place: Place, background: Background, gateway: RunningGateway) -> Iterator[TwinStation]:
    with probed_twin(place, gateway, background) as station:
        yield station


def control(place: Place, control_id: str) -> DerControlView:
    return next(view for view in der_controls(place.identity) if view.control_id == control_id)


def ask(place: Place, control_type: str, content: dict[str, Any], *, is_default: bool = True) -> str:
    return set_der_control(
        identity=place.identity, control_type=control_type, is_default=is_default, content=content, now=now()
    )


def becomes(place: Place, control_id: str, state: str) -> DerControlView:
    eventually(lambda: control(place, control_id).state == state)
    return control(place, control_id)


def test_controls_are_set_superseded_reported_and_cleared(twin: TwinStation, place: Place) -> None:
    first = ask(place, "FreqWatt", CURVE)
    becomes(place, first, "set")
    second = ask(place, "FreqWatt", {**CURVE, "priority": 1})
    becomes(place, second, "set")
    becomes(place, first, "superseded")
    refused = becomes(place, ask(place, "WattVar", CURVE), "refused")
    assert refused.reason == "NotSupported"

    # what the station has lost or found by itself shows in its report
    held = twin.client.station.notices.der_controls
    held["found-there"] = held.pop(first)
    request_der_report(identity=place.identity, now=now())
    found = eventually(lambda: next((v for v in der_controls(place.identity) if v.control_id == "found-there"), None))
    assert found.content == CURVE and found.state == "superseded"
    becomes(place, first, "cleared")

    clear_der_control(identity=place.identity, control_id=second, now=now())
    becomes(place, second, "cleared")
    assert second not in held


def test_a_limit_on_discharging_cuts_what_flows_and_what_is_planned(twin: TwinStation, place: Place) -> None:
    twin.do("plug_in", car="EV")
    eventually(lambda: ChargingSession.objects.filter(bidirectional=True).exists())
    tell(place, -9.0)
    follows(twin, -9.0)
    limit = {
        "priority": 1,
        "pctMaxDischargePower": 40.0,
        "startTime": utc_text(now() + timedelta(seconds=1)),
        "duration": 5.0,
    }
    control_id = ask(place, "LimitMaxDischarge", limit, is_default=False)
    eventually(lambda: control(place, control_id).started_at is not None)
    assert snapshot(place).discharge_kw == 4.0
    follows(twin, -4.0)
    eventually(lambda: control(place, control_id).stopped_at is not None)
    follows(twin, -9.0)
    assert snapshot(place).discharge_kw == 10.0


def test_alarms_are_kept_with_their_end(twin: TwinStation, place: Place) -> None:
    twin.do("der_alarm", control_type="HFMustTrip", grid_fault="OverFrequency")
    eventually(lambda: der_alarms(place.identity))
    assert der_alarms(place.identity)[0].ended_at is None
    twin.do("der_alarm", control_type="HFMustTrip", grid_fault="OverFrequency", ended=True)
    eventually(lambda: der_alarms(place.identity)[0].ended_at is not None)
    assert DerAlarm.objects.count() == 1


CONTENTS: dict[str, dict[str, Any]] = {
    "curve": CURVE,
    "enterService": {"priority": 1, "highVoltage": 110.0, "lowVoltage": 90.0, "highFreq": 50.1, "lowFreq": 49.9},
    "freqDroop": {
        "priority": 1,
        "overFreq": 50.036,
        "underFreq": 49.964,
        "overDroop": 5.0,
        "underDroop": 5.0,
        "responseTime": 5.0,
    },
    "fixedPFAbsorb": {"priority": 1, "displacement": 0.95, "excitation": False},
    "fixedPFInject": {"priority": 1, "displacement": 0.95, "excitation": True},
    "fixedVar": {"priority": 1, "setpoint": 10.0, "unit": "PctMaxVar"},
    "gradient": {"priority": 1, "gradient": 1.0, "softGradient": 2.0},
    "limitMaxDischarge": {"priority": 1, "pctMaxDischargePower": 50.0},
}


def test_every_type_of_control_has_its_element_in_the_message(place: Place) -> None:
    for control_type, element in CONTENT_OF.items():
        ask(place, control_type, CONTENTS[element])
        request = DeviceCommand.objects.latest("sequence").parameters["request"]
        check_outgoing("SetDERControl", V21, request)


@pytest.mark.parametrize(
    ("control_type", "content", "is_default", "field"),
    [
        ("Sideways", CURVE, True, "control_type"),
        ("FreqWatt", {"curveData": CURVE["curveData"]}, True, "content.priority"),
        ("FreqWatt", {**CURVE, "curveData": [{"x": 1}]}, True, "content.curveData"),
        ("FreqWatt", {**CURVE, "curveData": list(reversed(CURVE["curveData"]))}, True, "content.curveData"),
        ("FreqWatt", {**CURVE, "startTime": "2026-11-25T00:00:00Z"}, True, "content.startTime"),
    ],
)
def test_what_no_station_can_take_is_refused_at_once(
    place: Place, control_type: str, content: dict[str, Any], is_default: bool, field: str
) -> None:
    with pytest.raises(DerControlInvalid) as refused:
        ask(place, control_type, content, is_default=is_default)
    assert refused.value.field == field and refused.value.remedy


def test_a_station_of_another_version_has_none(background: Background) -> None:
    other = make_place("CP-201", "ocpp2.0.1")
    with pytest.raises(NoDerControl):
        ask(other, "FreqWatt", CURVE)
    with pytest.raises(PlatformError):
        request_der_report(identity="nowhere", now=now())
