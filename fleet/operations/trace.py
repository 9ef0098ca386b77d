"""The trace of messages to and from devices: written in batches by COPY, secrets taken out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import connection, transaction

LONGEST_PAYLOAD = 64 * 1024
REDACTED = "***"
# messages whose whole content is somebody's personal data
_PERSONAL_ACTIONS = frozenset({"NotifyCustomerInformation"})
PERSONAL = '{"left out": "personal data"}'
# an address may hold a user's name and password
_ADDRESSES = frozenset({"location", "remoteLocation"})
_USER_INFO = re.compile(r"//[^/@]*@")
# Keys whose values are secrets or identify a person, wherever they stand.
_SECRET_KEYS = frozenset(
    {
        "idTag",
        "parentIdTag",
        "idToken",
        "customerIdentifier",
        "additionalIdToken",
        "groupIdToken",
        "password",
        "basicAuthPassword",
        "token",
        "id_token",
    }
)
# Configuration keys and variables whose value is a secret.
_SECRET_VARIABLES = frozenset({"authorizationkey", "basicauthpassword", "vpnpassword", "apnpassword"})
# A text without any of these holds no secret: quicker to see than to read. The last may write any of the others.
_SUSPICIOUS = (b"idtag", b"token", b"password", b"authorizationkey", b"customer", b"://", b"\\u")
_COLUMNS = "at, device_identity, direction, action, message_id, payload, result, reply_ms, command_id"


@dataclass(frozen=True, slots=True)
class TraceMessage:
    """One message. `direction` is "in" from the device and "out" to it; `payload` is JSON, as text or as an object.

    `result` is how it ended, such as Accepted or an error code; `reply_ms` how long the answer took, if there was one.
    """

    at: datetime
    device_identity: str
    direction: str
    action: str
    message_id: str
    payload: bytes | Mapping[str, Any] | Sequence[Any]
    result: str = ""
    reply_ms: float | None = None
    command_id: int | None = None


@transaction.atomic
def record_messages(*, messages: Sequence[TraceMessage]) -> int:
    """Store messages, passwords and tokens replaced by asterisks. Returns how many."""
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY fleet_device_message ({_COLUMNS}) FROM STDIN") as copy,
    ):
        for message in messages:
            copy.write_row(
                (
                    message.at,
                    _text(message.device_identity, 60),
                    message.direction,
                    _text(message.action, 60),
                    _text(message.message_id, 64),
                    PERSONAL if message.action in _PERSONAL_ACTIONS else traced_payload(message.payload),
                    _text(message.result, 60),
                    message.reply_ms,
                    message.command_id,
                )
            )
    return len(messages)


def traced_payload(payload: bytes | Mapping[str, Any] | Sequence[Any]) -> str:
    """The JSON text that is kept: without secrets, of bounded length, without what PostgreSQL cannot hold."""
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    if len(raw) > LONGEST_PAYLOAD:
        return f'{{"left out": "{len(raw)} bytes"}}'
    lowered = raw.lower()
    if any(mark in lowered for mark in _SUSPICIOUS):
        try:
            raw = orjson.dumps(redacted(orjson.loads(raw)))
        except orjson.JSONDecodeError:
            raw = orjson.dumps({"not JSON": raw.decode("utf-8", "replace")[:1000]})
        except RecursionError:
            return '{"left out": "nested too deeply"}'
    return raw.replace(b"\\u0000", b"\\ufffd").decode("utf-8", "replace")


def redacted(value: Any) -> Any:
    """A copy of a JSON value with secrets replaced, however deep they stand."""
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = value.get("key") or (value.get("variable") or {}).get("name") if _names_variable(value) else None
    hide_value = isinstance(named, str) and named.lower() in _SECRET_VARIABLES
    return {
        key: REDACTED
        if (key in _SECRET_KEYS and not isinstance(item, (dict, list)))
        or (hide_value and key in ("value", "attributeValue"))
        else _USER_INFO.sub(f"//{REDACTED}@", item)
        if key in _ADDRESSES and isinstance(item, str)
        else redacted(item)
        for key, item in value.items()
    }


def _names_variable(value: dict[str, Any]) -> bool:
    return "key" in value or isinstance(value.get("variable"), dict)


def _text(value: str, longest: int) -> str:
    return value.replace("\x00", "�")[:longest]
