"""The message trace of a gateway: gathered in memory, written in the background, never in anybody's way.

When messages come faster than they can be written, the trace loses some and says how many; the protocol loses none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fleet.devices.database import DatabaseThreads, DatabaseUnavailable
from fleet.devices.ocpp.wire import Frame
from fleet.operations.trace import TraceMessage, record_messages

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 0.5
MOST_KEPT = 5000
LONGEST_UNREADABLE = 1000


class Tracer:
    """Gathers messages and writes them every half second while `run` runs."""

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._messages: list[TraceMessage] = []
        self._lost = 0
        self._database = DatabaseThreads("ocpp-trace")
        self.messages_in = 0

    def received(self, identity: str, frame: Frame, raw: bytes, at: datetime) -> None:
        """A CALL or SEND has come."""
        self.messages_in += 1
        self._add(TraceMessage(at, identity, "in", frame.action, frame.message_id, _payload_text(frame, raw)))

    def replied(
        self, identity: str, frame: Frame, payload: Mapping[str, Any], result: str, reply_ms: float, at: datetime
    ) -> None:
        """A CALL has been answered by us."""
        self._add(TraceMessage(at, identity, "out", frame.action, frame.message_id, payload, result, reply_ms))

    def sent(
        self, identity: str, action: str, message_id: str, payload: Mapping[str, Any], *, command_id: int | None
    ) -> None:
        """A CALL of ours goes out."""
        self._add(TraceMessage(datetime.now(UTC), identity, "out", action, message_id, payload, command_id=command_id))

    def answered(
        self,
        identity: str,
        action: str,
        message_id: str,
        payload: Mapping[str, Any],
        result: str,
        reply_ms: float,
        command_id: int | None,
    ) -> None:
        """A CALL of ours has been answered."""
        self.messages_in += 1
        self._add(
            TraceMessage(datetime.now(UTC), identity, "in", action, message_id, payload, result, reply_ms, command_id)
        )

    def unreadable(self, identity: str, raw: bytes, code: str, at: datetime) -> None:
        """Something has come that is no message."""
        self.messages_in += 1
        text = raw[:LONGEST_UNREADABLE].decode("utf-8", "replace")
        self._add(TraceMessage(at, identity, "in", "", "", {"unreadable": text}, code))

    async def run(self) -> None:
        """Write what has gathered, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_EVERY_S)
                await self._flush()
        finally:
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._flush())
            self._database.close()

    def _add(self, message: TraceMessage) -> None:
        if not self._keep:
            return
        if len(self._messages) < MOST_KEPT:
            self._messages.append(message)
        else:
            self._lost += 1

    async def _flush(self) -> None:
        if self._lost:
            logger.warning("the trace left out %d messages", self._lost)
            self._lost = 0
        if not self._messages:
            return
        messages, self._messages = self._messages, []
        try:
            await self._database.call(record_messages, messages=messages)
        except DatabaseUnavailable:
            self._lost += len(messages)
        except Exception:
            # a message that cannot be kept must not end the trace of all that follow
            logger.exception("the trace left out %d messages", len(messages))


def _payload_text(frame: Frame, raw: bytes) -> bytes | Mapping[str, Any]:
    """The payload as the station wrote it, cut out of its frame; read anew where cutting could go wrong."""
    if "{" in frame.message_id or "{" in frame.action:
        return frame.payload
    end = raw.rfind(b"}")
    if raw[end + 1 :].strip() != b"]":
        return frame.payload
    return raw[raw.index(b"{") : end + 1]
