"""Messages between a runner and its sandbox: a JSON header and, where there is one, a body of bytes.

On the wire: 4 bytes big-endian length of the header, the header, then as many bytes as its `size` says.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

LENGTH = struct.Struct(">I")
CHUNK = 1 << 20


class ChannelClosed(Exception):
    """The other end is gone."""


class ChannelSilent(Exception):
    """Nothing more came within the time given."""


def write_frame(fd: int, header: dict[str, Any], body: bytes = b"") -> None:
    """Send one message. Raises ChannelClosed."""
    head = json.dumps({**header, "size": len(body)}).encode()
    try:
        for part in (LENGTH.pack(len(head)) + head, body):
            view = memoryview(part)
            while view:
                view = view[os.write(fd, view) :]
    except BrokenPipeError as error:
        raise ChannelClosed from error


def read_frame(fd: int, *, timeout_s: float | None = None) -> tuple[dict[str, Any], bytes]:
    """Receive one message, waiting for ever where no timeout is given. Raises ChannelClosed, ChannelSilent."""
    ends_at = None if timeout_s is None else time.monotonic() + timeout_s
    (length,) = LENGTH.unpack(_read(fd, LENGTH.size, ends_at))
    header = json.loads(_read(fd, length, ends_at))
    return header, _read(fd, header["size"], ends_at)


def has_input(fd: int, timeout_s: float = 0.0) -> bool:
    """Whether something can be read within the timeout."""
    return bool(select.select([fd], [], [], timeout_s)[0])


def _read(fd: int, count: int, ends_at: float | None) -> bytes:
    parts = []
    while count:
        if ends_at is not None and not has_input(fd, max(0.0, ends_at - time.monotonic())):
            raise ChannelSilent
        part = os.read(fd, min(count, CHUNK))
        if not part:
            raise ChannelClosed
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
