"""Reading, writing, reporting and monitoring a station's settings; its network connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.core.station_commands import read_variable_name
from fleet.devices.ocpp.request_parts import Builder, Request, only, require_2x, wire_variable
from fleet.devices.ocpp.wire import V16, V21
from fleet.models import CommandKind
from fleet.operations.commands import DueCommand
from fleet.operations.station_notices import request_number

_BASES = {"full": "FullInventory", "configuration": "ConfigurationInventory", "summary": "SummaryInventory"}


def _read_variables(command: DueCommand, version: str) -> Request:
    names = [read_variable_name(text) for text in command.parameters["variables"]]
    if version == V16:
        return "GetConfiguration", {"key": [name.name for name in names]}
    return "GetVariables", {"getVariableData": [wire_variable(name) for name in names]}


def _write_variable(command: DueCommand, version: str) -> Request:
    name, value = read_variable_name(command.parameters["variable"]), command.parameters["value"]
    if version == V16:
        return "ChangeConfiguration", {"key": name.name, "value": value}
    data = {"attributeValue": value, "attributeType": command.parameters.get("attribute"), **wire_variable(name)}
    return "SetVariables", {"setVariableData": [only(data)]}


def _base_report(command: DueCommand, version: str) -> Request:
    if version == V16:
        return "GetConfiguration", {}
    base = _BASES[command.parameters.get("base", "full")]
    return "GetBaseReport", {"requestId": request_number(command.command_id), "reportBase": base}


def _component_report(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "GetReport", {
        "requestId": request_number(command.command_id),
        "componentCriteria": command.parameters.get("criteria", ["Problem"]),
    }


def _set_monitor(command: DueCommand, version: str) -> Request:
    require_2x(version)
    given = command.parameters
    monitor = {
        "id": given.get("monitor_id"),
        "transaction": given.get("in_transaction_only"),
        "value": given["value"],
        "type": given["type"],
        "severity": given["severity"],
        "periodicEventStream": _stream(given) if version == V21 else None,
        **wire_variable(read_variable_name(given["variable"])),
    }
    return "SetVariableMonitoring", {"setMonitoringData": [only(monitor)]}


def _stream(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """How often, and with how many values at once, a stream is sent; None where neither is said."""
    parameters = only({"interval": given.get("stream_interval_s"), "values": given.get("stream_values")})
    return parameters or None


def _list_streams(command: DueCommand, version: str) -> Request:
    return "GetPeriodicEventStream", {}


def _adjust_stream(command: DueCommand, version: str) -> Request:
    return "AdjustPeriodicEventStream", {
        "id": command.parameters["stream_id"],
        "params": _stream(command.parameters) or {},
    }


def _clear_monitors(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "ClearVariableMonitoring", {"id": command.parameters["monitor_ids"]}


def _monitoring_report(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "GetMonitoringReport", only(
        {"requestId": request_number(command.command_id), "monitoringCriteria": command.parameters.get("criteria")}
    )


def _monitoring_base(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "SetMonitoringBase", {"monitoringBase": command.parameters["base"]}


def _monitoring_level(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "SetMonitoringLevel", {"severity": command.parameters["severity"]}


def _network_profile(command: DueCommand, version: str) -> Request:
    require_2x(version)
    given = command.parameters
    connection = {
        # the schema still names the version of the time; stations of 2.0.1 and 2.1 take it as "2.x over JSON"
        "ocppVersion": "OCPP20",
        "ocppTransport": "JSON",
        "ocppCsmsUrl": given["url"],
        "messageTimeout": given.get("message_timeout_s", 30),
        "securityProfile": given["security_profile"],
        "ocppInterface": given.get("interface", "Wired0"),
    }
    return "SetNetworkProfile", {"configurationSlot": given["slot"], "connectionData": connection}


BUILDERS: dict[str, Builder] = {
    CommandKind.READ_VARIABLES: _read_variables,
    CommandKind.WRITE_VARIABLE: _write_variable,
    CommandKind.BASE_REPORT: _base_report,
    CommandKind.COMPONENT_REPORT: _component_report,
    CommandKind.SET_MONITOR: _set_monitor,
    CommandKind.CLEAR_MONITORS: _clear_monitors,
    CommandKind.LIST_STREAMS: _list_streams,
    CommandKind.ADJUST_STREAM: _adjust_stream,
    CommandKind.MONITORING_REPORT: _monitoring_report,
    CommandKind.MONITORING_BASE: _monitoring_base,
    CommandKind.MONITORING_LEVEL: _monitoring_level,
    CommandKind.NETWORK_PROFILE: _network_profile,
}
