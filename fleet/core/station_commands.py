"""What an operator can ask of a charging station, whatever version of OCPP it speaks: names, parameters, checks.

One table serves the API, the pages and the gateway's translation to messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from common.errors import InvalidInput

V16, V201, V21 = "ocpp1.6", "ocpp2.0.1", "ocpp2.1"
EVERY_VERSION = frozenset({V16, V201, V21})
SINCE_201 = frozenset({V201, V21})
ONLY_16 = frozenset({V16})
ONLY_21 = frozenset({V21})

Kind = Literal["text", "integer", "number", "boolean", "instant", "texts", "integers"]
TOKEN_TYPES = ("Central", "ISO14443", "ISO15693", "eMAID", "KeyCode", "Local", "MacAddress")
TRIGGERS = (
    "BootNotification",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "SignChargingStationCertificate",
    "StatusNotification",
    "TransactionEvent",
)
PROFILE_PURPOSES = (
    "ChargingStationExternalConstraints",
    "ChargingStationMaxProfile",
    "TxDefaultProfile",
    "TxProfile",
)
ROOTS = ("CSMSRootCertificate", "ManufacturerRootCertificate", "V2GRootCertificate", "MORootCertificate")
LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a command; `longest` bounds texts, `least` and `most` numbers."""

    name: str
    kind: Kind = "text"
    required: bool = False
    choices: tuple[str, ...] = ()
    longest: int = 255
    least: float = 0
    most: float = LARGEST_INTEGER


@dataclass(frozen=True, slots=True)
class StationCommand:
    """One command: its parameters, and the versions of OCPP that have it. `offered`: an operator may give it directly;
    others belong to an operation of their own, such as reserving."""

    kind: str
    parameters: tuple[Parameter, ...] = ()
    versions: frozenset[str] = EVERY_VERSION
    offered: bool = True


EVSE = Parameter("evse", "integer", most=1000)
TRANSACTION = Parameter("transaction_id", longest=36)
LOCATION = Parameter("location", required=True, longest=512)
RETRIES = (Parameter("retries", "integer", most=100), Parameter("retry_interval_s", "integer", most=86_400))
STREAM = (
    Parameter("stream_interval_s", "integer", least=1, most=86_400),
    Parameter("stream_values", "integer", least=1, most=1000),
)

COMMANDS = {
    command.kind: command
    for command in (
        StationCommand(
            "remote_start",
            (Parameter("id_token", required=True, longest=36), Parameter("token_type", choices=TOKEN_TYPES), EVSE),
        ),
        StationCommand("remote_stop", (TRANSACTION, EVSE)),
        StationCommand("trigger", (Parameter("message", required=True, choices=TRIGGERS), EVSE)),
        StationCommand("reset", (Parameter("type", choices=("soft", "hard")), EVSE)),
        StationCommand(
            "composite_schedule",
            (Parameter("duration_s", "integer", least=1, most=604_800), Parameter("unit", choices=("W", "A")), EVSE),
        ),
        StationCommand("unlock", (EVSE, Parameter("connector", "integer", least=1, most=20))),
        StationCommand("availability", (Parameter("operative", "boolean", required=True), EVSE)),
        StationCommand("clear_cache"),
        StationCommand("read_variables", (Parameter("variables", "texts", required=True, longest=160),)),
        StationCommand(
            "write_variable",
            (
                Parameter("variable", required=True, longest=160),
                Parameter("value", required=True, longest=1000),
                Parameter("attribute", choices=("Actual", "Target", "MinSet", "MaxSet")),
            ),
        ),
        StationCommand("base_report", (Parameter("base", choices=("full", "configuration", "summary")),)),
        StationCommand(
            "component_report",
            (Parameter("criteria", "texts", choices=("Active", "Available", "Enabled", "Problem")),),
            SINCE_201,
        ),
        StationCommand(
            "set_monitor",
            (
                Parameter("variable", required=True, longest=160),
                Parameter(
                    "type",
                    required=True,
                    choices=("UpperThreshold", "LowerThreshold", "Delta", "Periodic", "PeriodicClockAligned"),
                ),
                Parameter("value", "number", required=True, least=-1e12, most=1e12),
                Parameter("severity", "integer", required=True, most=9),
                Parameter("in_transaction_only", "boolean"),
                Parameter("monitor_id", "integer"),
                # 2.1: stream the values instead of sending an event for each
                *STREAM,
            ),
            SINCE_201,
        ),
        StationCommand("list_streams", versions=ONLY_21),
        StationCommand("adjust_stream", (Parameter("stream_id", "integer", required=True), *STREAM), ONLY_21),
        StationCommand("clear_monitors", (Parameter("monitor_ids", "integers", required=True),), SINCE_201),
        StationCommand(
            "monitoring_report",
            (Parameter("criteria", "texts", choices=("ThresholdMonitoring", "DeltaMonitoring", "PeriodicMonitoring")),),
            SINCE_201,
        ),
        StationCommand(
            "monitoring_base",
            (Parameter("base", required=True, choices=("All", "FactoryDefault", "HardWiredOnly")),),
            SINCE_201,
        ),
        StationCommand("monitoring_level", (Parameter("severity", "integer", required=True, most=9),), SINCE_201),
        StationCommand("local_list", offered=False),
        StationCommand("local_list_version"),
        StationCommand("reserve", offered=False),
        StationCommand("cancel_reservation", offered=False),
        StationCommand(
            "cost_update",
            (TRANSACTION, Parameter("total_cost", "number", required=True, most=1e9), EVSE),
            SINCE_201,
        ),
        StationCommand(
            "customer_information",
            (
                Parameter("report", "boolean"),
                Parameter("erase", "boolean"),
                Parameter("id_token", longest=36),
                Parameter("token_type", choices=TOKEN_TYPES),
                Parameter("customer", longest=64),
            ),
            SINCE_201,
        ),
        StationCommand(
            "get_log",
            (
                Parameter("log", required=True, choices=("DiagnosticsLog", "SecurityLog")),
                LOCATION,
                Parameter("oldest", "instant"),
                Parameter("latest", "instant"),
                *RETRIES,
            ),
        ),
        StationCommand(
            "get_diagnostics",
            (LOCATION, Parameter("oldest", "instant"), Parameter("latest", "instant"), *RETRIES),
            ONLY_16,
        ),
        StationCommand(
            "update_firmware",
            (
                LOCATION,
                Parameter("retrieve_at", "instant"),
                Parameter("install_at", "instant"),
                Parameter("signing_certificate", longest=5500),
                Parameter("signature", longest=800),
                *RETRIES,
            ),
        ),
        StationCommand(
            "publish_firmware", (LOCATION, Parameter("checksum", required=True, longest=32), *RETRIES), SINCE_201
        ),
        StationCommand("unpublish_firmware", (Parameter("checksum", required=True, longest=32),), SINCE_201),
        StationCommand(
            "network_profile",
            (
                Parameter("slot", "integer", required=True, most=100),
                Parameter("url", required=True, longest=512),
                Parameter("security_profile", "integer", required=True, least=1, most=3),
                Parameter("interface", choices=("Wired0", "Wired1", "Wireless0", "Wireless1")),
                Parameter("message_timeout_s", "integer", least=1, most=3600),
            ),
            SINCE_201,
        ),
        StationCommand(
            "show_message",
            (
                Parameter("message_id", "integer", required=True),
                Parameter("text", required=True, longest=512),
                Parameter("language", longest=8),
                Parameter("priority", choices=("AlwaysFront", "InFront", "NormalCycle")),
                Parameter("starts_at", "instant"),
                Parameter("ends_at", "instant"),
                TRANSACTION,
            ),
            SINCE_201,
        ),
        StationCommand("list_messages", (), SINCE_201),
        StationCommand("clear_message", (Parameter("message_id", "integer", required=True),), SINCE_201),
        StationCommand(
            "data_transfer",
            (
                Parameter("vendor_id", required=True),
                Parameter("message_id", longest=50),
                Parameter("data", longest=10_000),
            ),
        ),
        StationCommand("transaction_status", (TRANSACTION,), SINCE_201),
        StationCommand("list_profiles", (Parameter("purpose", choices=PROFILE_PURPOSES), EVSE), SINCE_201),
        StationCommand(
            "clear_profiles",
            (
                Parameter("profile_id", "integer"),
                Parameter("purpose", choices=PROFILE_PURPOSES),
                Parameter("stack_level", "integer"),
                EVSE,
            ),
        ),
        StationCommand(
            "install_certificate",
            (
                Parameter("use", required=True, choices=ROOTS),
                Parameter("certificate", required=True, longest=5500),
            ),
        ),
        StationCommand("list_certificates", (Parameter("use", choices=(*ROOTS, "V2GCertificateChain")),)),
        StationCommand(
            "delete_certificate",
            (
                Parameter("hash_algorithm", required=True, choices=("SHA256", "SHA384", "SHA512")),
                Parameter("issuer_name_hash", required=True, longest=128),
                Parameter("issuer_key_hash", required=True, longest=128),
                Parameter("serial_number", required=True, longest=40),
            ),
        ),
        StationCommand("certificate_signed", offered=False),
        StationCommand("new_password"),
    )
}


def check_parameters(kind: str, given: Mapping[str, Any], *, protocol: str = "") -> dict[str, Any]:
    """The parameters of a command as they are kept: known, of their kind, within bounds; empty ones left out.

    Args:
        protocol: what the station speaks; empty where that is not known yet.

    Raises:
        InvalidInput: there is no such command, this version does not have it, or a parameter is missing or wrong.
    """
    command = COMMANDS.get(kind)
    if command is None or not command.offered:
        known = ", ".join(name for name, each in COMMANDS.items() if each.offered)
        raise InvalidInput(f"{kind[:40]!r} is no command.", field="kind", remedy=f"There are {known}.")
    if protocol and protocol not in command.versions:
        raise InvalidInput(
            f"{protocol} has no such command.", field="kind", remedy=f"It takes {', '.join(sorted(command.versions))}."
        )
    names = {parameter.name: parameter for parameter in command.parameters}
    for name in given:
        if name not in names:
            there = f"There are {', '.join(names)}." if names else "This command takes none."
            raise InvalidInput("there is no such parameter.", field=f"parameters.{name}"[:80], remedy=there)
    checked = {}
    for name, parameter in names.items():
        value = given.get(name)
        if value is None or value == "" or value == []:
            if parameter.required:
                raise InvalidInput("is missing.", field=f"parameters.{name}", remedy="Give it.")
            continue
        checked[name] = _checked(parameter, value)
    return checked


def _checked(parameter: Parameter, value: Any) -> Any:
    if parameter.kind in ("texts", "integers"):
        if not isinstance(value, list) or len(value) > 200:
            raise _wrong(parameter, "a list of at most 200 is expected.")
        return [_checked_one(parameter, item, parameter.kind.removesuffix("s")) for item in value]
    return _checked_one(parameter, value, parameter.kind)


def _checked_one(parameter: Parameter, value: Any, kind: str) -> Any:
    if kind == "boolean":
        if not isinstance(value, bool):
            raise _wrong(parameter, "true or false is expected.")
        return value
    if kind in ("integer", "number"):
        accepted = int if kind == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise _wrong(parameter, "a whole number is expected." if kind == "integer" else "a number is expected.")
        if not parameter.least <= value <= parameter.most:
            raise _wrong(parameter, f"{parameter.least:g} to {parameter.most:g} is expected.")
        return value
    if not isinstance(value, str) or "\x00" in value:
        raise _wrong(parameter, "a text is expected.")
    if kind == "instant":
        return _instant(parameter, value)
    if parameter.choices and value not in parameter.choices:
        raise _wrong(parameter, f"one of {', '.join(parameter.choices)} is expected.")
    if len(value) > parameter.longest:
        raise _wrong(parameter, f"at most {parameter.longest} characters are expected.")
    return value


def _instant(parameter: Parameter, value: str) -> str:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise _wrong(parameter, "an instant with its time zone is expected, such as 2026-11-23T18:30:00Z.")
    return at.isoformat()


def _wrong(parameter: Parameter, remedy: str) -> InvalidInput:
    return InvalidInput("does not suit.", field=f"parameters.{parameter.name}", remedy=remedy[:1].upper() + remedy[1:])


@dataclass(frozen=True, slots=True)
class VariableName:
    """A variable of the device model (2.x), or a configuration key (1.6), which has no component."""

    component: str
    name: str
    component_instance: str = ""
    instance: str = ""
    evse_number: int = 0
    connector_number: int = 0


_VARIABLE = re.compile(
    r"(?:(?P<component>[^.\[\]@]{1,50})(?:\[(?P<component_instance>[^\]]{1,50})\])?"
    r"(?:@(?P<evse>\d{1,4})(?:/(?P<connector>\d{1,4}))?)?\.)?"
    r"(?P<name>[^.\[\]@]{1,50})(?:\[(?P<instance>[^\]]{1,50})\])?\Z"
)


def read_variable_name(text: str) -> VariableName:
    """A variable as people write it: `Component.Variable`, `Component[instance]@evse/connector.Variable[instance]`, or the
    bare name of a configuration key.

    Raises:
        InvalidInput: it is none of these.
    """
    found = _VARIABLE.match(text.strip())
    if found is None:
        raise InvalidInput(
            f"{text[:80]!r} names no variable.",
            field="parameters.variable",
            remedy="Write Component.Variable, such as OCPPCommCtrlr.HeartbeatInterval; for OCPP 1.6 the key alone.",
        )
    return VariableName(
        component=found["component"] or "",
        name=found["name"],
        component_instance=found["component_instance"] or "",
        instance=found["instance"] or "",
        evse_number=int(found["evse"] or 0),
        connector_number=int(found["connector"] or 0),
    )


def write_variable_name(variable: VariableName) -> str:
    """The text that `read_variable_name` reads."""
    name = variable.name + (f"[{variable.instance}]" if variable.instance else "")
    if not variable.component:
        return name
    component = variable.component + (f"[{variable.component_instance}]" if variable.component_instance else "")
    place = f"@{variable.evse_number}" if variable.evse_number else ""
    place += f"/{variable.connector_number}" if variable.connector_number else ""
    return f"{component}{place}.{name}"
