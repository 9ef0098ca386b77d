"""OCPP-J over one WebSocket, seen from the station: calls and their answers, one call at a time in each direction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
from websockets.asyncio.client import ClientConnection

from fleet.twin.ocpp.schemas import MessageInvalid, check_message, knows

logger = logging.getLogger(__name__)

CALL, CALL_RESULT, CALL_ERROR, CALL_RESULT_ERROR, SEND = 2, 3, 4, 5, 6
ANSWER_WITHIN_S = 30.0
VIOLATIONS_KEPT = 100


class CallRefused(Exception):
    """The other side answered with a CALLERROR."""

    def __init__(self, action: str, code: str, description: str) -> None:
        super().__init__(f"{action}: {code} {description}")
        self.code = code
        self.description = description


class CallUnanswered(Exception):
    """No answer came in time."""


class Refusal(Exception):
    """A handler cannot do what is asked; becomes a CALLERROR."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


class OcppLink:
    """One connection. `handle` answers calls of the central system: it takes action and payload, returns the answer.

    What breaks a schema on the other side is counted in `violations`, by message.
    """

    def __init__(self, socket: ClientConnection, protocol: str, handle: Callable[[str, dict], dict]) -> None:
        self._socket = socket
        self._protocol = protocol
        self._handle = handle
        self._waiting: dict[str, asyncio.Future[dict]] = {}
        self.sent = 0
        self.received = 0
        self.violations: list[str] = []
        # what the other side says of our own answers
        self.result_errors: list[str] = []

    async def call(self, action: str, payload: dict) -> dict:
        """Send a call and return the payload of its answer.

        Raises:
            MessageInvalid: the twin itself made a message that breaks the schema, or the answer does.
            CallRefused: the answer is an error.
            CallUnanswered: none came in time.
            websockets.exceptions.ConnectionClosed: the connection is lost.
        """
        check_message(self._protocol, action, "request", payload)
        message_id = uuid4().hex
        answer: asyncio.Future[dict] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = answer
        try:
            await self._send([CALL, message_id, action, payload])
            async with asyncio.timeout(ANSWER_WITHIN_S):
                result = await answer
        except TimeoutError:
            raise CallUnanswered(f"{action} was not answered within {ANSWER_WITHIN_S:.0f} s") from None
        except CallRefused as error:
            raise CallRefused(action, error.code, error.description) from None
        finally:
            self._waiting.pop(message_id, None)
        try:
            check_message(self._protocol, action, "response", result)
        except MessageInvalid as error:
            self._violated(error.description)
            if self._protocol == "ocpp2.1":
                await self._send([CALL_RESULT_ERROR, message_id, error.code, error.description[:255], {}])
            raise
        return result

    async def tell(self, action: str, payload: dict) -> None:
        """Send what is not answered (2.1).

        Raises:
            MessageInvalid: the twin itself made a message that breaks the schema.
        """
        check_message(self._protocol, action, "request", payload)
        await self._send([SEND, uuid4().hex, action, payload])

    async def run(self) -> None:
        """Take what comes until the connection is lost."""
        async for frame in self._socket:
            self.received += 1
            await self._take(frame)

    async def cut(self) -> None:
        """Lose the connection as if the cable were pulled."""
        self._socket.transport.abort()

    async def _send(self, message: list) -> None:
        await self._socket.send(orjson.dumps(message).decode())
        self.sent += 1

    async def _take(self, frame: str | bytes) -> None:
        try:
            message = orjson.loads(frame)
            kind, message_id = message[0], message[1]
        except (ValueError, TypeError, LookupError):
            self._violated(f"a frame that is no OCPP-J message: {frame[:80]!r}")
            return
        if kind == CALL and len(message) == 4:
            await self._answer(message_id, message[2], message[3])
        elif kind == CALL_RESULT and len(message) == 3:
            self._resolve(message_id, message[2])
        elif kind == CALL_ERROR and len(message) >= 4:
            self._resolve(message_id, CallRefused("", str(message[2]), str(message[3])))
        elif kind == CALL_RESULT_ERROR and len(message) >= 4 and self._protocol == "ocpp2.1":
            self.result_errors.append(f"{message[2]}: {message[3]}")
        else:
            self._violated(f"a message of unknown form: {frame[:80]!r}")

    def _resolve(self, message_id: str, outcome: dict | CallRefused) -> None:
        answer = self._waiting.get(message_id)
        if answer is None or answer.done():
            self._violated(f"an answer to nothing: {message_id}")
        elif isinstance(outcome, CallRefused):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    async def _answer(self, message_id: str, action: str, payload: Any) -> None:
        try:
            if knows(self._protocol, action):
                check_message(self._protocol, action, "request", payload)
            result = self._handle(action, payload)
            check_message(self._protocol, action, "response", result)
        except MessageInvalid as error:
            self._violated(error.description)
            await self._send([CALL_ERROR, message_id, error.code, error.description, {}])
        except Refusal as refusal:
            await self._send([CALL_ERROR, message_id, refusal.code, refusal.description[:255], {}])
        except Exception:
            logger.exception("%s could not be handled", action)
            await self._send([CALL_ERROR, message_id, "InternalError", f"{action} failed in the station", {}])
        else:
            await self._send([CALL_RESULT, message_id, result])

    def _violated(self, what: str) -> None:
        if len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(what)
        logger.warning("the central system broke %s: %s", self._protocol, what)
