"""What the builders of requests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fleet.core.station_commands import VariableName
from fleet.devices.ocpp.wire import V16
from fleet.operations.commands import DueCommand

Request = tuple[str, dict[str, Any]]
# a command and the version that its station speaks
Builder = Callable[[DueCommand, str], Request]


def require_2x(version: str) -> None:
    """Raise ValueError for 1.6."""
    if version == V16:
        raise ValueError("OCPP 1.6 has no such message")


def only(values: dict[str, Any]) -> dict[str, Any]:
    """Without what was not given."""
    return {name: value for name, value in values.items() if value is not None}


def wire_variable(variable: VariableName) -> dict[str, Any]:
    """Component and variable as messages of 2.x name them."""
    place = {"id": variable.evse_number, "connectorId": variable.connector_number or None}
    return {
        "component": only(
            {
                "name": variable.component,
                "instance": variable.component_instance or None,
                "evse": only(place) if variable.evse_number else None,
            }
        ),
        "variable": only({"name": variable.name, "instance": variable.instance or None}),
    }
