"""The messages of version 1, as values: what devices send (`up`) and what they are sent (`down`). JSON on the wire.

`docs/asyncapi.yaml` describes the same for people who write firmware. Powers are kW and positive into the car,
registers kWh, states of charge fractions, instants ISO 8601 with a time zone. Fields that are not known are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from fleet.devices.mqtt.fields import Fields, MalformedMessage
from fleet.devices.mqtt.firmware_messages import FIRMWARE_STATES, ChunkRequest, FirmwareStatus, TimeRequest

ROOT = "v2g/v1/devices"
UP_FILTER = f"{ROOT}/+/up/+"
# Measurements alone are shared: each goes to one of the processes. All else must reach the one that speaks for the devices,
# in the order in which it was said.
METER_FILTER = f"{ROOT}/+/up/meter"
SHARED_METER_FILTER = f"$share/v2g-ingest/{METER_FILTER}"
LONGEST_MESSAGE = 64 * 1024
_REGISTER_LIMIT_KWH = 1e9
_POWER_LIMIT_KW = 1e5


@dataclass(frozen=True, slots=True)
class Birth:
    """A device has started and says what it is."""

    at: datetime
    vendor: str
    model: str
    serial_number: str
    firmware_version: str


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """The state of a connector, in the words of OCPP 2.x."""

    evse: int
    connector: int
    status: str
    detail: str


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a device is there, and how its connectors are. Retained; the last will says `online: false`."""

    online: bool
    at: datetime | None
    connectors: tuple[ConnectorState, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the meter of an EVSE showed at an instant."""

    evse: int
    at: datetime
    power_kw: float | None
    import_kwh: float | None
    export_kwh: float | None
    soc_fraction: float | None
    temperature_c: float | None


@dataclass(frozen=True, slots=True)
class Meter:
    """Measurements, oldest first."""

    measurements: tuple[Measurement, ...]


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """Something happened in a session. Every event carries the whole session, so that none depends on another."""

    event: str
    evse: int
    session_id: str
    sequence: int
    id_token: str
    at: datetime
    started_at: datetime
    meter_start_kwh: float | None
    meter_stop_kwh: float | None
    soc_fraction: float | None
    energy_needed_kwh: float | None
    max_charge_kw: float | None
    max_discharge_kw: float | None
    departure_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to a set-point or a command."""

    sequence: int
    accepted: bool
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the device's own log."""

    at: datetime
    level: str
    text: str


UpMessage = Birth | Status | Meter | SessionEvent | Ack | LogLine | TimeRequest | ChunkRequest | FirmwareStatus
SESSION_EVENTS = ("started", "updated", "ended")
LOG_LEVELS = ("debug", "info", "warning", "error")
CONNECTOR_STATUSES = ("Available", "Occupied", "Reserved", "Unavailable", "Faulted")


def split_topic(topic: str) -> tuple[str, str]:
    """Identity and kind of an `up` topic. Raises MalformedMessage for any other topic."""
    parts = topic.split("/")
    if len(parts) != 6 or "/".join(parts[:3]) != ROOT or parts[4] != "up" or not parts[3]:
        raise MalformedMessage(
            f"{topic[:120]!r} is no topic of a device.", field="topic", remedy=f"Use {ROOT}/<identity>/up/<kind>."
        )
    return parts[3], parts[5]


def parse_up(kind: str, payload: bytes) -> UpMessage:
    """Read a message of a device.

    Raises:
        MalformedMessage: it is too long, no JSON object, of no known kind, or a field is missing or wrong; the error
            names the field.
    """
    parser = _PARSERS.get(kind)
    if parser is None:
        raise MalformedMessage(f"{kind[:40]!r} is no kind of message.", field="topic", remedy=f"Use {_KINDS}.")
    if len(payload) > LONGEST_MESSAGE:
        raise MalformedMessage(
            f"The message has {len(payload)} bytes.", remedy=f"Send at most {LONGEST_MESSAGE} bytes at once."
        )
    try:
        content = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise MalformedMessage(f"The message is not JSON: {error}.", remedy="Send one JSON object in UTF-8.") from None
    if not isinstance(content, dict):
        raise MalformedMessage("The message is no JSON object.", remedy="Send one JSON object.")
    return parser(Fields(content))


def _birth(fields: Fields) -> Birth:
    return Birth(
        at=fields.instant("at"),
        vendor=fields.text("vendor", longest=50),
        model=fields.text("model", longest=50),
        serial_number=fields.text("serial_number", longest=50, required=False),
        firmware_version=fields.text("firmware_version", longest=50, required=False),
    )


def _status(fields: Fields) -> Status:
    return Status(
        online=fields.flag("online"),
        at=fields.instant_or_none("at"),
        connectors=fields.items("connectors", _connector, least=0),
    )


def _connector(fields: Fields) -> ConnectorState:
    return ConnectorState(
        evse=fields.count("evse", least=1, most=999),
        connector=fields.count("connector", least=1, most=99),
        status=fields.word("status", CONNECTOR_STATUSES),
        detail=fields.text("detail", longest=120, required=False),
    )


def _meter(fields: Fields) -> Meter:
    return Meter(fields.items("measurements", _measurement, least=1))


def _measurement(fields: Fields) -> Measurement:
    return Measurement(
        evse=fields.count("evse", least=1, most=999),
        at=fields.instant("at"),
        power_kw=fields.number("power_kw", -_POWER_LIMIT_KW, _POWER_LIMIT_KW),
        import_kwh=fields.number("import_kwh", 0, _REGISTER_LIMIT_KWH),
        export_kwh=fields.number("export_kwh", 0, _REGISTER_LIMIT_KWH),
        soc_fraction=fields.number("soc_fraction", 0, 1),
        temperature_c=fields.number("temperature_c", -100, 300),
    )


def _session(fields: Fields) -> SessionEvent:
    return SessionEvent(
        event=fields.word("event", SESSION_EVENTS),
        evse=fields.count("evse", least=1, most=999),
        session_id=fields.text("session_id", longest=64),
        sequence=fields.count("sequence", least=0, most=2**31 - 1),
        id_token=fields.text("id_token", longest=255, required=False),
        at=fields.instant("at"),
        started_at=fields.instant("started_at"),
        meter_start_kwh=fields.number("meter_start_kwh", 0, _REGISTER_LIMIT_KWH),
        meter_stop_kwh=fields.number("meter_stop_kwh", 0, _REGISTER_LIMIT_KWH),
        soc_fraction=fields.number("soc_fraction", 0, 1),
        energy_needed_kwh=fields.number("energy_needed_kwh", 0, _POWER_LIMIT_KW),
        max_charge_kw=fields.number("max_charge_kw", 0, _POWER_LIMIT_KW),
        max_discharge_kw=fields.number("max_discharge_kw", 0, _POWER_LIMIT_KW),
        departure_at=fields.instant_or_none("departure_at"),
        reason=fields.text("reason", longest=40, required=False),
    )


def _ack(fields: Fields) -> Ack:
    return Ack(
        sequence=fields.count("sequence", least=0, most=2**53),
        accepted=fields.flag("accepted"),
        reason=fields.text("reason", longest=200, required=False),
        at=fields.instant("at"),
    )


def _log(fields: Fields) -> LogLine:
    return LogLine(
        at=fields.instant("at"), level=fields.word("level", LOG_LEVELS), text=fields.text("text", longest=1000)
    )


def _time(fields: Fields) -> TimeRequest:
    return TimeRequest(sent_at=fields.instant("sent_at"))


def _chunk(fields: Fields) -> ChunkRequest:
    return ChunkRequest(
        sequence=fields.count("sequence", least=0, most=2**53),
        offset_bytes=fields.count("offset_bytes", least=0, most=2**31 - 1),
    )


def _firmware(fields: Fields) -> FirmwareStatus:
    return FirmwareStatus(
        sequence=fields.count("sequence", least=0, most=2**53),
        state=fields.word("state", FIRMWARE_STATES),
        version=fields.text("version", longest=50),
        offset_bytes=fields.count("offset_bytes", least=0, most=2**31 - 1),
        reason=fields.text("reason", longest=200, required=False),
        at=fields.instant("at"),
    )


_PARSERS: dict[str, Callable[[Fields], UpMessage]] = {
    "birth": _birth,
    "status": _status,
    "meter": _meter,
    "session": _session,
    "ack": _ack,
    "log": _log,
    "time": _time,
    "chunk": _chunk,
    "firmware": _firmware,
}
_KINDS = ", ".join(_PARSERS)
OTHER_FILTERS = tuple(f"{ROOT}/+/up/{kind}" for kind in _PARSERS if kind != "meter")


def setpoint_topic(identity: str, evse: int) -> str:
    """Where the set-point of an EVSE stands, retained."""
    return f"{ROOT}/{identity}/down/setpoint/{evse}"


def down_topic(identity: str, kind: str) -> str:
    """A `down` topic: command, receipt, error, time, firmware or chunk."""
    return f"{ROOT}/{identity}/down/{kind}"


def setpoint_message(
    *,
    sequence: int,
    evse: int,
    session_id: str,
    starts_at: datetime,
    valid_until: datetime,
    offset_s: Sequence[float],
    power_kw: Sequence[float],
    fail_safe_kw: float,
) -> bytes:
    """A power schedule; after `valid_until` the device goes to `fail_safe_kw` by itself."""
    return orjson.dumps(
        {
            "sequence": sequence,
            "evse": evse,
            "session_id": session_id,
            "starts_at": starts_at,
            "valid_until": valid_until,
            "schedule": [{"offset_s": s, "power_kw": kw} for s, kw in zip(offset_s, power_kw, strict=True)],
            "fail_safe_kw": fail_safe_kw,
        }
    )


def command_message(
    *, sequence: int, command: str, evse: int, valid_until: datetime, parameters: Mapping[str, Any]
) -> bytes:
    """A command other than a set-point."""
    return orjson.dumps(
        {
            "sequence": sequence,
            "command": command,
            "evse": evse,
            "valid_until": valid_until,
            "parameters": dict(parameters),
        }
    )


def receipt_message(*, session_id: str, sequence: int, accepted: bool, reason: str) -> bytes:
    """A session's event is stored for good; until this comes the device keeps it and sends it again."""
    return orjson.dumps({"session_id": session_id, "sequence": sequence, "accepted": accepted, "reason": reason})


def error_message(*, kind: str, reason: str, at: datetime) -> bytes:
    """A message of the device was not used, and why."""
    return orjson.dumps({"kind": kind, "reason": reason, "at": at})
