"""The schemas of OCPP 1.6, 2.0.1 and 2.1, compiled once: they are the files of the PyPI `ocpp` package.

Strict on what we send; what we receive is read leniently through `fleet.devices.ocpp.quirks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from fleet.devices.ocpp.wire import V16, V21, V201

_FOLDERS = {V16: "v16", V201: "v201", V21: "v21"}
# The one message that 2.1 sends without expecting an answer; its schema carries neither suffix.
_UNANSWERED = "NotifyPeriodicEventStream"

# JSON Schema keyword -> error code of the protocol: (1.6, 2.x)
_CODES = {
    "required": ("ProtocolError", "OccurrenceConstraintViolation"),
    "minItems": ("OccurenceConstraintViolation", "OccurrenceConstraintViolation"),
    "maxItems": ("OccurenceConstraintViolation", "OccurrenceConstraintViolation"),
    "type": ("TypeConstraintViolation", "TypeConstraintViolation"),
    "additionalProperties": ("FormationViolation", "FormatViolation"),
}
_VALUE_CODE = "PropertyConstraintViolation"


class PayloadError(Exception):
    """A payload breaks the schema; `code` is the error code in the version's own terms."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


def _schema_name(action: str, version: str, *, response: bool) -> str:
    if response:
        return f"{action}Response.json"
    return f"{action}.json" if version == V16 or action == _UNANSWERED else f"{action}Request.json"


@cache
def _folder(version: str) -> Path:
    """Where the files are: found without importing the package, whose classes would cost half a second and are not used."""
    package = find_spec("ocpp")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package ocpp, which carries the schemas, is not installed")
    return Path(package.submodule_search_locations[0]) / _FOLDERS[version] / "schemas"


def prepare(version: str, served: Iterable[str]) -> None:
    """Compile what a version's handlers need, so that no station waits for it."""
    for action in served:
        incoming(action, version)
        outgoing(action, version, response=True)
    outgoing("SetChargingProfile", version)
    incoming("SetChargingProfile", version, response=True)


@cache
def actions(version: str) -> frozenset[str]:
    """Every action that a version knows, in either direction."""
    names = {entry.name.removesuffix(".json") for entry in _folder(version).glob("*.json")}
    if version == V16:
        return frozenset(name for name in names if not name.endswith("Response"))
    return frozenset(name.removesuffix("Request") for name in names if name.endswith("Request") or name == _UNANSWERED)


def _load(action: str, version: str, *, response: bool) -> dict[str, Any]:
    file = _folder(version) / _schema_name(action, version, response=response)
    # the files of 2.x begin with a byte order mark
    return orjson.loads(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))


@cache
def incoming(action: str, version: str, *, response: bool = False) -> jsonschema_rs.Validator:
    """The validator of what stations send; dates are left to the reader, which says more about what is wrong."""
    return jsonschema_rs.validator_for(
        _load(action, version, response=response), validate_formats=False, mask="the value"
    )


@cache
def outgoing(action: str, version: str, *, response: bool = False) -> jsonschema_rs.Validator:
    """The validator of what we send, dates included."""
    return jsonschema_rs.validator_for(
        _load(action, version, response=response), validate_formats=True, mask="the value"
    )


def error_code(keyword: str, version: str) -> str:
    """The protocol's code for a broken JSON Schema keyword."""
    return _CODES.get(keyword, (_VALUE_CODE, _VALUE_CODE))[0 if version == V16 else 1]


def payload_error(error: jsonschema_rs.ValidationError, version: str) -> PayloadError:
    """Translate what the validator found to the protocol's terms, naming the field."""
    field = ".".join(str(part) for part in error.instance_path)
    return PayloadError(error_code(error.kind.name, version), f"{field}: {error.message}" if field else error.message)


def check_outgoing(action: str, version: str, payload: dict[str, Any], *, response: bool = False) -> None:
    """Refuse to send what the schema does not allow.

    Raises:
        PayloadError: a fault of ours, never the station's.
    """
    validator = outgoing(action, version, response=response)
    if not validator.is_valid(payload):
        raise payload_error(next(iter(validator.iter_errors(payload))), version)
