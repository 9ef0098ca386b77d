"""OCPP-J frames: JSON arrays over a websocket.

[2, id, action, payload]                    CALL
[3, id, payload]                            CALLRESULT
[4, id, code, description, details]         CALLERROR
[5, id, code, description, details]         CALLRESULTERROR (2.1: the answer to our CALL could not be understood)
[6, id, action, payload]                    SEND (2.1: no answer is expected)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

CALL, CALL_RESULT, CALL_ERROR, CALL_RESULT_ERROR, SEND = 2, 3, 4, 5, 6
V16, V201, V21 = "ocpp1.6", "ocpp2.0.1", "ocpp2.1"
SUBPROTOCOLS = (V21, V201, V16)

# Part 4 of OCPP 2.x: the identifier of an answer to a message whose own identifier cannot be read.
UNREADABLE_ID = "-1"
LONGEST_ID = 36
LONGEST_DESCRIPTION = 255

_TYPES_OF_VERSION = {
    V16: frozenset({CALL, CALL_RESULT, CALL_ERROR}),
    V201: frozenset({CALL, CALL_RESULT, CALL_ERROR}),
    V21: frozenset({CALL, CALL_RESULT, CALL_ERROR, CALL_RESULT_ERROR, SEND}),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `action` is empty in answers; `payload` holds the details of an error."""

    kind: int
    message_id: str
    action: str
    payload: dict[str, Any]
    error_code: str = ""
    error_description: str = ""


class FrameError(Exception):
    """A message that is no frame; `code` is the error code of the protocol version, `message_id` what to answer to."""

    def __init__(self, code: str, description: str, message_id: str = UNREADABLE_ID) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.message_id = message_id


def _framework_error(version: str) -> str:
    return "FormationViolation" if version == V16 else "RpcFrameworkError"


def parse_frame(raw: bytes | str, version: str) -> Frame:
    """Read a frame.

    Raises:
        FrameError: it is no JSON, no array, of an unknown type, or misses elements.
    """
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise FrameError(_framework_error(version), f"not JSON: {error}") from None
    if type(message) is not list or len(message) < 3:
        raise FrameError(_framework_error(version), "a message is a JSON array of at least three elements")
    kind, message_id = message[0], message[1]
    if type(message_id) is not str or not 0 < len(message_id) <= LONGEST_ID:
        raise FrameError(
            _framework_error(version), f"the message identifier is a string of 1 to {LONGEST_ID} characters"
        )
    if type(kind) is not int or kind not in _TYPES_OF_VERSION[version]:
        code = "FormationViolation" if version == V16 else "MessageTypeNotSupported"
        raise FrameError(code, f"message type {kind!r} is not one of this version", message_id)
    if kind in (CALL, SEND):
        return _parse_call(message, kind, message_id, version)
    if kind == CALL_RESULT:
        if type(message[2]) is not dict:
            raise FrameError(_framework_error(version), "the payload is a JSON object", message_id)
        return Frame(kind, message_id, "", message[2])
    return _parse_error(message, kind, message_id)


def _parse_call(message: list, kind: int, message_id: str, version: str) -> Frame:
    if len(message) != 4 or type(message[2]) is not str or type(message[3]) is not dict:
        code = "FormationViolation" if version == V16 else "FormatViolation"
        raise FrameError(code, "a call is [type, identifier, action, {payload}]", message_id)
    return Frame(kind, message_id, message[2], message[3])


def _parse_error(message: list, kind: int, message_id: str) -> Frame:
    details = message[4] if len(message) > 4 and type(message[4]) is dict else {}
    description = message[3] if len(message) > 3 and type(message[3]) is str else ""
    return Frame(kind, message_id, "", details, str(message[2]), description)


def write_call(message_id: str, action: str, payload: dict[str, Any]) -> bytes:
    """A CALL frame."""
    return orjson.dumps([CALL, message_id, action, payload])


def write_result(message_id: str, payload: dict[str, Any]) -> bytes:
    """A CALLRESULT frame."""
    return orjson.dumps([CALL_RESULT, message_id, payload])


def write_error(message_id: str, code: str, description: str = "", details: dict[str, Any] | None = None) -> bytes:
    """A CALLERROR frame; the description is cut to what the protocol allows."""
    return orjson.dumps([CALL_ERROR, message_id, code, description[:LONGEST_DESCRIPTION], details or {}])


def write_result_error(message_id: str, code: str, description: str = "") -> bytes:
    """A CALLRESULTERROR frame (2.1): what a station answered to our call cannot be understood."""
    return orjson.dumps([CALL_RESULT_ERROR, message_id, code, description[:LONGEST_DESCRIPTION], {}])
