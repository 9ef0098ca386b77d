"""What real stations get wrong, as data: how it shows, how it is mended, and whose stations are let off with it.

A payload that follows its schema never comes here. One that does not is mended by the rules that its station's make
and model are allowed, and checked again; each rule that was needed is reported once per station.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import jsonschema_rs

from fleet.devices.ocpp import schemas

# More faults than this in one payload is no quirk.
MOST_FAULTS = 200
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?\Z")
_DELETE = object()


@dataclass(frozen=True, slots=True)
class Quirk:
    """One habit.

    Attributes:
        name: what `Leniency.quirks` and the log call it.
        keyword: the JSON Schema keyword that the payload breaks.
        mend: value at fault and the keyword's own arguments -> new value, `_DELETE`, or None if this is not the habit.
    """

    name: str
    keyword: str
    mend: Callable[[Any, dict[str, Any]], Any]


def _types(arguments: dict[str, Any]) -> list[str]:
    return arguments.get("types", [])


def _read_number(value: Any, arguments: dict[str, Any]) -> Any:
    types = _types(arguments)
    if type(value) is str and _NUMBER.match(value.strip()):
        number = float(value)
        if "integer" in types:
            return round(number)
        if "number" in types:
            return number
    return None


def _write_number(value: Any, arguments: dict[str, Any]) -> Any:
    return str(value) if type(value) in (int, float) and _types(arguments) == ["string"] else None


def _round_number(value: Any, arguments: dict[str, Any]) -> Any:
    return round(value) if type(value) is float and "integer" in _types(arguments) else None


def _read_boolean(value: Any, arguments: dict[str, Any]) -> Any:
    if "boolean" not in _types(arguments):
        return None
    return {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())


def _drop_null(value: Any, arguments: dict[str, Any]) -> Any:
    return _DELETE if value is None else None


def _cut_text(value: Any, arguments: dict[str, Any]) -> Any:
    return value[: arguments["limit"]] if type(value) is str else None


QUIRKS = {
    quirk.name: quirk
    for quirk in (
        Quirk("null_values", "type", _drop_null),
        Quirk("number_as_text", "type", _read_number),
        Quirk("text_as_number", "type", _write_number),
        Quirk("fraction_for_integer", "type", _round_number),
        Quirk("boolean_as_text", "type", _read_boolean),
        Quirk("overlong_text", "maxLength", _cut_text),
    )
}
# These two are mended by place rather than by value.
EXTRA_PROPERTIES = "extra_properties"
UNKNOWN_SAMPLE = "unknown_sampled_value"
EMPTY_LISTS = "empty_lists"

EVERY_QUIRK = frozenset({*QUIRKS, EXTRA_PROPERTIES, UNKNOWN_SAMPLE, EMPTY_LISTS})


@dataclass(frozen=True, slots=True)
class Leniency:
    """Stations whose vendor and model match these patterns are allowed these quirks."""

    vendor: str
    model: str
    quirks: frozenset[str]


# The first that matches holds. Harmless habits are forgiven everyone; identifiers that would be cut are not, because
# two tokens could become one: only makers known to pad theirs may send overlong text.
LENIENCIES = (
    Leniency("strict", "*", frozenset()),
    Leniency("*", "*", EVERY_QUIRK - {"overlong_text"}),
)


def allowed_quirks(vendor: str, model: str) -> frozenset[str]:
    """The quirks that a make and model are let off with."""
    for leniency in LENIENCIES:
        if fnmatchcase(vendor.lower(), leniency.vendor) and fnmatchcase(model.lower(), leniency.model):
            return leniency.quirks
    return frozenset()


def mend_payload(
    payload: dict[str, Any], validator: jsonschema_rs.Validator, allowed: frozenset[str]
) -> frozenset[str] | jsonschema_rs.ValidationError:
    """Mend a payload in place.

    Returns:
        the names of the quirks that were needed, or the first fault that no allowed quirk explains.
    """
    used: set[str] = set()
    for _ in range(3):  # what is mended may uncover what was hidden
        faults = []
        for error in validator.iter_errors(payload):
            faults.append(error)
            if len(faults) > MOST_FAULTS:
                return error
        if not faults:
            return frozenset(used)
        # from the back, so that a place in a list stays true while others are deleted
        for error in sorted(
            faults, key=lambda fault: [str(part).zfill(6) for part in fault.instance_path], reverse=True
        ):
            name = _mend(payload, error, allowed)
            if name is None:
                return error
            used.add(name)
    return frozenset(used) if validator.is_valid(payload) else next(iter(validator.iter_errors(payload)))


def _mend(payload: dict[str, Any], error: jsonschema_rs.ValidationError, allowed: frozenset[str]) -> str | None:
    path = list(error.instance_path)
    arguments = error.kind.as_dict()
    if error.kind.name == "additionalProperties" and EXTRA_PROPERTIES in allowed:
        holder = _at(payload, path)
        for name in arguments.get("unexpected", ()):
            holder.pop(name, None)
        return EXTRA_PROPERTIES
    if not path:
        return None
    holder = _at(payload, path[:-1])
    if holder is None or _missing(holder, path[-1]):
        return UNKNOWN_SAMPLE if UNKNOWN_SAMPLE in allowed and "sampledValue" in path else None
    if error.kind.name == "enum" and "sampledValue" in path and UNKNOWN_SAMPLE in allowed:
        return _drop_sample(payload, path)
    value = holder[path[-1]]
    if error.kind.name == "minItems" and value == [] and EMPTY_LISTS in allowed:
        _replace(holder, path[-1], _DELETE)
        return EMPTY_LISTS
    for quirk in QUIRKS.values():
        if quirk.keyword == error.kind.name and quirk.name in allowed:
            mended = quirk.mend(value, arguments)
            if mended is not None:
                _replace(holder, path[-1], mended)
                return quirk.name
    return None


def _drop_sample(payload: dict[str, Any], path: list[str | int]) -> str:
    """A measurand, unit or phase that we do not know makes its own sample useless, not the others beside it."""
    index = path.index("sampledValue") + 1
    samples = _at(payload, path[:index])
    position = path[index] if index < len(path) else None
    if isinstance(samples, list) and isinstance(position, int) and position < len(samples):
        del samples[position]
    return UNKNOWN_SAMPLE


def _at(payload: Any, path: list[str | int]) -> Any:
    for part in path:
        if _missing(payload, part):
            return None
        payload = payload[part]
    return payload


def _missing(holder: Any, part: str | int) -> bool:
    if type(holder) is list:
        return type(part) is not int or part >= len(holder)
    return type(holder) is not dict or part not in holder


def _replace(holder: Any, part: str | int, value: Any) -> None:
    if value is _DELETE:
        del holder[part]
    else:
        holder[part] = value


def check_incoming(
    action: str, version: str, payload: dict[str, Any], allowed: frozenset[str], *, response: bool = False
) -> frozenset[str]:
    """Check what a station sent, mending it in place where its make is known for that.

    Returns:
        the names of the quirks that were needed; empty for a payload that follows its schema.

    Raises:
        schemas.PayloadError: it cannot be understood; the description names the field.
    """
    validator = schemas.incoming(action, version, response=response)
    try:
        if validator.is_valid(payload):
            return frozenset()
        found = mend_payload(payload, validator, allowed)
    except (ValueError, RecursionError):
        raise schemas.PayloadError(
            schemas.error_code("additionalProperties", version), "the payload is nested too deeply"
        ) from None
    if isinstance(found, jsonschema_rs.ValidationError):
        raise schemas.payload_error(found, version)
    return found
