"""The schemas of OCPP as the twin holds both sides to them: what it sends, and what it is sent.

They come with the `ocpp` package. Nothing else of that package is used, and nothing of the platform's own gateway: the
twin is a second reading of the standard, not an echo of the first.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import jsonschema_rs

FOLDERS = {"ocpp1.6": "v16", "ocpp2.0.1": "v201", "ocpp2.1": "v21"}
# the one message of 2.1 to which nothing is answered
UNANSWERED = "NotifyPeriodicEventStream"
Kind = Literal["request", "response"]
# which error code of OCPP-J tells of which kind of violation; 1.6 spells one of them in its own way
CODES = {
    "Required": "OccurrenceConstraintViolation",
    "MinItems": "OccurrenceConstraintViolation",
    "MaxItems": "OccurrenceConstraintViolation",
    "Type": "TypeConstraintViolation",
    "AdditionalProperties": "FormatViolation",
}
CODES_OF_16 = {
    "OccurrenceConstraintViolation": "OccurenceConstraintViolation",
    "FormatViolation": "FormationViolation",
}


class MessageInvalid(Exception):
    """A message breaks the schema of its action; `code` is the error code of OCPP-J for it."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


def check_message(protocol: str, action: str, kind: Kind, payload: Any) -> None:
    """Hold a payload to its schema.

    Raises:
        MessageInvalid: it breaks the schema, or the protocol knows no such action.
    """
    validator = _validator(protocol, action, kind)
    if validator is None:
        raise MessageInvalid("NotImplemented", f"{protocol} has no {action}")
    # a first pass without making up an error: almost all messages are right
    if validator.is_valid(payload):
        return
    error = next(iter(validator.iter_errors(payload)))
    code = CODES.get(type(error.kind).__name__, "PropertyConstraintViolation")
    if protocol == "ocpp1.6":
        code = CODES_OF_16.get(code, code)
    place = "/".join(str(step) for step in error.instance_path)
    raise MessageInvalid(code, f"{action} {kind}, at /{place}: {error.message}"[:255])


def knows(protocol: str, action: str) -> bool:
    """Whether the protocol has such an action."""
    return _validator(protocol, action, "request") is not None


@cache
def _validator(protocol: str, action: str, kind: Kind) -> jsonschema_rs.Validator | None:
    plain = protocol == "ocpp1.6" or action == UNANSWERED
    suffix = "Response" if kind == "response" else "" if plain else "Request"
    file = files("ocpp") / FOLDERS[protocol] / "schemas" / f"{action}{suffix}.json"
    if not action.isalnum() or not file.is_file():
        return None
    return jsonschema_rs.validator_for(json.loads(file.read_text("utf-8-sig")), validate_formats=True)
