"""The messages of version 1 about time and firmware; see `messages.py` for the rest and for the conventions."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

CHUNK_BYTES = 16 * 1024  # in base 64 well below the longest message
FIRMWARE_STATES = (
    "downloading",
    "downloaded",
    "verified",
    "rejected",
    "installing",
    "installed",
    "failed",
    "rolled_back",
)


@dataclass(frozen=True, slots=True)
class TimeRequest:
    """A device asks what time it is; `sent_at` is by its own clock and comes back with the answer."""

    sent_at: datetime


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """A device wants the bytes of an offered firmware from an offset on."""

    sequence: int
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class FirmwareStatus:
    """How far a device has come with an offered firmware. `version` is the one that it runs now."""

    sequence: int
    state: str
    version: str
    offset_bytes: int
    reason: str
    at: datetime


def firmware_message(*, sequence: int, valid_until: datetime, parameters: Mapping[str, Any]) -> bytes:
    """An offer: what it is, how it is proven, where it comes from (an empty `url`: in chunks), and when to install it."""
    names = ("version", "size_bytes", "sha256", "signature", "url", "install_at")
    offered = {name: parameters.get(name) for name in names}
    return orjson.dumps(
        {"sequence": sequence, "valid_until": valid_until, "chunk_bytes": CHUNK_BYTES, **offered},
    )


def chunk_message(*, sequence: int, offset_bytes: int, data: bytes) -> bytes:
    """Bytes of an offered firmware; none at its end."""
    return orjson.dumps({"sequence": sequence, "offset_bytes": offset_bytes, "data": b64encode(data).decode()})


def time_message(*, sent_at: datetime | None, received_at: datetime, at: datetime) -> bytes:
    """What time it is. With `sent_at` and the instant at which it comes the device can take the way into account."""
    return orjson.dumps({"sent_at": sent_at, "received_at": received_at, "at": at})
