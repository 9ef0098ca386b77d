"""What may be asked of a station, checked before anybody is asked."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidInput
from fleet.core.station_commands import VariableName, check_parameters, read_variable_name, write_variable_name


@pytest.mark.parametrize(
    ("kind", "parameters", "protocol", "field"),
    [
        ("dance", {}, "", "kind"),
        ("reserve", {}, "", "kind"),
        ("set_monitor", {}, "ocpp1.6", "kind"),
        ("get_diagnostics", {"location": "http://x"}, "ocpp2.1", "kind"),
        ("reset", {"kind": "hard"}, "", "parameters.kind"),
        ("reset", {"type": "gently"}, "", "parameters.type"),
        ("clear_cache", {"evse": 1}, "", "parameters.evse"),
        ("availability", {}, "", "parameters.operative"),
        ("availability", {"operative": "yes"}, "", "parameters.operative"),
        ("unlock", {"evse": -1}, "", "parameters.evse"),
        ("unlock", {"evse": True}, "", "parameters.evse"),
        ("unlock", {"evse": 1.5}, "", "parameters.evse"),
        ("read_variables", {"variables": "A.B"}, "", "parameters.variables"),
        ("write_variable", {"variable": "A.B", "value": "x" * 1001}, "", "parameters.value"),
        ("get_log", {"log": "SecurityLog", "location": "http://x", "oldest": "yesterday"}, "", "parameters.oldest"),
        ("get_log", {"log": "SecurityLog", "location": "a\x00b"}, "", "parameters.location"),
        ("show_message", {"message_id": 1, "text": "x" * 513}, "ocpp2.0.1", "parameters.text"),
    ],
)
def test_what_does_not_suit_is_refused_with_its_field(
    kind: str, parameters: dict[str, Any], protocol: str, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_parameters(kind, parameters, protocol=protocol)
    assert refused.value.field == field
    assert refused.value.remedy


def test_empty_parameters_are_left_out() -> None:
    given = {"location": "http://x", "retries": None, "install_at": "", "retrieve_at": "2026-11-23T18:30:00Z"}
    checked = check_parameters("update_firmware", given, protocol="ocpp1.6")
    assert checked == {"location": "http://x", "retrieve_at": "2026-11-23T18:30:00+00:00"}


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("HeartbeatInterval", VariableName("", "HeartbeatInterval")),
        ("OCPPCommCtrlr.HeartbeatInterval", VariableName("OCPPCommCtrlr", "HeartbeatInterval")),
        ("Connector@1/2.Available", VariableName("Connector", "Available", evse_number=1, connector_number=2)),
        ("A[x]@3.B[y z]", VariableName("A", "B", "x", "y z", 3)),
    ],
)
def test_variables_are_named_as_people_write_them(text: str, variable: VariableName) -> None:
    assert read_variable_name(text) == variable
    assert write_variable_name(variable) == text


@pytest.mark.parametrize("text", ["", ".", "A.", ".B", "A.B.C", "A[.B", "A@x.B", "x" * 51])
def test_what_names_no_variable_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_variable_name(text)
