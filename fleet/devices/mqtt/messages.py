"""The messages of version 1, as values: what devices send (`up`) and what they are sent (`down`). JSON on the wire.

`docs/asyncapi.yaml` describes the same for people who write firmware. Powers are kW and positive into the car,
registers kWh, states of charge fractions, instants ISO 8601 with a time zone. Fields that are not known are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from common.errors import InvalidInput

ROOT = "v2g/v1/devices"
UP_FILTER = f"{ROOT}/+/up/+"
# Measurements alone are shared: each goes to one of the processes. All else must reach the one that speaks for the devices,
# in the order in which it was said.
METER_FILTER = f"{ROOT}/+/up/meter"
SHARED_METER_FILTER = f"$share/v2g-ingest/{METER_FILTER}"
LONGEST_MESSAGE = 64 * 1024
_MOST_ITEMS = 1_000
_REGISTER_LIMIT_KWH = 1e9
_POWER_LIMIT_KW = 1e5


class MalformedMessage(InvalidInput):
    """A device sent what the document does not allow."""

    code = "malformed_message"


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


UpMessage = Birth | Status | Meter | SessionEvent | Ack | LogLine
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
    return parser(_Fields(content))


Item = TypeVar("Item")


class _Fields:
    """Typed access to the members of a JSON object; every error names the member."""

    def __init__(self, content: Mapping[str, Any], place: str = "") -> None:
        self._content = content
        self._place = place

    def _wrong(self, name: str, expected: str) -> MalformedMessage:
        found = self._content.get(name)
        what = "is missing" if name not in self._content else f"is {str(found)[:60]!r}"
        return MalformedMessage(f"The field {what}.", field=self._place + name, remedy=f"Send {expected}.")

    def text(self, name: str, *, longest: int, required: bool = True) -> str:
        value = self._content.get(name, None if required else "")
        if not isinstance(value, str) or len(value) > longest or "\0" in value or (required and not value):
            raise self._wrong(name, f"a text of 1 to {longest} characters")
        return value

    def word(self, name: str, words: Sequence[str]) -> str:
        value = self._content.get(name)
        if value not in words or not isinstance(value, str):
            raise self._wrong(name, "one of " + ", ".join(words))
        return value

    def flag(self, name: str) -> bool:
        value = self._content.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def count(self, name: str, *, least: int, most: int) -> int:
        value = self._content.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # some writers of JSON know no other numbers
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self._content.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise self._wrong(name, "a number")
        if not least <= value <= most:
            raise self._wrong(name, f"a number from {least:g} to {most:g}")
        return float(value)

    def instant(self, name: str) -> datetime:
        found = self.instant_or_none(name)
        if found is None:
            raise self._wrong(name, "an instant such as 2026-11-23T18:30:00Z")
        return found

    def instant_or_none(self, name: str) -> datetime | None:
        value = self._content.get(name)
        if value is None:
            return None
        try:
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is not None:
                return instant.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            pass
        raise self._wrong(name, "an instant with its time zone, such as 2026-11-23T18:30:00Z")

    def items(self, name: str, parse: Callable[[_Fields], Item], *, least: int) -> tuple[Item, ...]:
        value = self._content.get(name, [] if least == 0 else None)
        if not isinstance(value, list) or not least <= len(value) <= _MOST_ITEMS:
            raise self._wrong(name, f"a list of {least} to {_MOST_ITEMS} objects")
        if not all(isinstance(item, dict) for item in value):
            raise self._wrong(name, "a list of objects")
        return tuple(parse(_Fields(item, f"{self._place}{name}[{index}].")) for index, item in enumerate(value))


def _birth(fields: _Fields) -> Birth:
    return Birth(
        at=fields.instant("at"),
        vendor=fields.text("vendor", longest=50),
        model=fields.text("model", longest=50),
        serial_number=fields.text("serial_number", longest=50, required=False),
        firmware_version=fields.text("firmware_version", longest=50, required=False),
    )


def _status(fields: _Fields) -> Status:
    return Status(
        online=fields.flag("online"),
        at=fields.instant_or_none("at"),
        connectors=fields.items("connectors", _connector, least=0),
    )


def _connector(fields: _Fields) -> ConnectorState:
    return ConnectorState(
        evse=fields.count("evse", least=1, most=999),
        connector=fields.count("connector", least=1, most=99),
        status=fields.word("status", CONNECTOR_STATUSES),
        detail=fields.text("detail", longest=120, required=False),
    )


def _meter(fields: _Fields) -> Meter:
    return Meter(fields.items("measurements", _measurement, least=1))


def _measurement(fields: _Fields) -> Measurement:
    return Measurement(
        evse=fields.count("evse", least=1, most=999),
        at=fields.instant("at"),
        power_kw=fields.number("power_kw", -_POWER_LIMIT_KW, _POWER_LIMIT_KW),
        import_kwh=fields.number("import_kwh", 0, _REGISTER_LIMIT_KWH),
        export_kwh=fields.number("export_kwh", 0, _REGISTER_LIMIT_KWH),
        soc_fraction=fields.number("soc_fraction", 0, 1),
        temperature_c=fields.number("temperature_c", -100, 300),
    )


def _session(fields: _Fields) -> SessionEvent:
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


def _ack(fields: _Fields) -> Ack:
    return Ack(
        sequence=fields.count("sequence", least=0, most=2**53),
        accepted=fields.flag("accepted"),
        reason=fields.text("reason", longest=200, required=False),
        at=fields.instant("at"),
    )


def _log(fields: _Fields) -> LogLine:
    return LogLine(
        at=fields.instant("at"), level=fields.word("level", LOG_LEVELS), text=fields.text("text", longest=1000)
    )


_PARSERS: dict[str, Callable[[_Fields], UpMessage]] = {
    "birth": _birth,
    "status": _status,
    "meter": _meter,
    "session": _session,
    "ack": _ack,
    "log": _log,
}
_KINDS = ", ".join(_PARSERS)
OTHER_FILTERS = tuple(f"{ROOT}/+/up/{kind}" for kind in _PARSERS if kind != "meter")


def setpoint_topic(identity: str, evse: int) -> str:
    """Where the set-point of an EVSE stands, retained."""
    return f"{ROOT}/{identity}/down/setpoint/{evse}"


def down_topic(identity: str, kind: str) -> str:
    """A `down` topic: command, receipt or error."""
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
