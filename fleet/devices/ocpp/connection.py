"""One station's websocket: frames in and out, one outstanding CALL per direction, answers in order."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import DataError
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from common.errors import PlatformError
from fleet.devices.ocpp import schemas, wire
from fleet.devices.ocpp.quirks import check_incoming
from fleet.devices.ocpp.schemas import PayloadError
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.tracing import Tracer
from fleet.devices.ocpp.wire import V21, Frame, FrameError

if TYPE_CHECKING:
    from fleet.devices.ocpp.tunnel import TunnelSocket

# A station that has not answered by then is not waited for; the command is tried again.
CALL_TIMEOUT_S = 8.0
# A station may have one call under way; some send more. So many are kept, then the socket is not read any further.
MOST_WAITING_CALLS = 32
# What JSON can write and no text of ours can hold.
NUL = b"\\u0000"

Handler = Callable[[Station, dict[str, Any]], dict[str, Any] | Awaitable[dict[str, Any]]]
# 2.1: messages to which no answer is sent
Listener = Callable[[Station, dict[str, Any]], Awaitable[None] | None]


class CallRefused(Exception):
    """The station answered a CALL with an error; `code` is the protocol's."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}" if description else code)
        self.code = code
        self.description = description


class NoAnswer(Exception):
    """The station did not answer in time, or its connection ended."""


class Overtaken(Exception):
    """While the call waited for its turn, a newer one has made it pointless."""


class StationConnection:
    """A connected station's wire. `serve` reads until the socket closes; `call` may be used meanwhile.

    Args:
        websocket: open, subprotocol agreed.
        station: made for this connection; its `calls` is set to this.
        handlers: what answers each action.
        listeners: what listens to each action that needs no answer (2.1).
        tracer: is told of every message.
        seen: collects the identities of stations that have said something.
        clock: gives the instant.
    """

    def __init__(
        self,
        websocket: ServerConnection | TunnelSocket,
        station: Station,
        *,
        handlers: Mapping[str, Handler],
        listeners: Mapping[str, Listener],
        tracer: Tracer,
        seen: set[str],
        clock: Callable[[], datetime],
    ) -> None:
        self.websocket = websocket
        self.station = station
        station.calls = self
        self._version = station.version
        self._handlers = handlers
        self._listeners = listeners
        self._tracer = tracer
        self._seen = seen
        self._clock = clock
        self._waiting: deque[tuple[Frame, datetime, float]] = deque()
        self._busy = False
        self._room = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._calling = asyncio.Lock()
        self._call_id = ""
        self._answer: asyncio.Future[Frame] | None = None
        self._prefix = secrets.token_hex(6)
        self._calls_made = 0

    async def serve(self) -> None:
        """Read until the socket closes."""
        try:
            while True:
                await self._receive(await self.websocket.recv(decode=False))
                while len(self._waiting) >= MOST_WAITING_CALLS:
                    self._room.clear()
                    await self._room.wait()
        except ConnectionClosed:
            pass
        finally:
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(NoAnswer("the connection ended"))
            self._waiting.clear()

    def start(self, task: Awaitable[None]) -> None:
        """Run something beside the reading, such as a call that follows a message."""
        running = asyncio.ensure_future(task)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; what is under way is finished but its answers are lost."""
        await self.websocket.close(code, reason)

    async def call(
        self,
        action: str,
        payload: dict[str, Any],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        command_id: int | None = None,
        before_send: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Send a CALL when the one before it is done, and return what the station answers.

        `before_send` is asked when its turn has come; False means that it is no longer wanted.

        Raises:
            Overtaken: it is no longer wanted; nothing was sent.
            CallRefused: the station answered with an error.
            NoAnswer: it did not answer in time, or went away.
            PayloadError: the payload breaks the schema, which is a fault of ours.
        """
        schemas.check_outgoing(action, self._version, payload)
        async with self._calling:
            if before_send is not None and not before_send():
                raise Overtaken
            self._calls_made += 1
            message_id = self._call_id = f"{self._prefix}-{self._calls_made}"
            self._answer = asyncio.get_running_loop().create_future()
            began = time.perf_counter()
            self._tracer.sent(self.station.identity, action, message_id, payload, command_id=command_id)
            try:
                await self._send(wire.write_call(message_id, action, payload))
                async with asyncio.timeout(timeout_s):
                    frame = await self._answer
            except TimeoutError:
                raise NoAnswer(f"{action} was not answered within {timeout_s:g} s") from None
            except ConnectionClosed:
                raise NoAnswer("the connection ended") from None
            finally:
                self._answer = None
        return await self._read_answer(frame, action, (time.perf_counter() - began) * 1000, command_id)

    async def _read_answer(self, frame: Frame, action: str, reply_ms: float, command_id: int | None) -> dict[str, Any]:
        result = frame.error_code or str(frame.payload.get("status", ""))
        self._tracer.answered(
            self.station.identity, action, frame.message_id, frame.payload, result, reply_ms, command_id
        )
        if frame.kind == wire.CALL_ERROR:
            raise CallRefused(frame.error_code, frame.error_description)
        try:
            used = check_incoming(action, self._version, frame.payload, self.station.quirks, response=True)
        except PayloadError as error:
            self.station.say_once(f"answer {action}", "answers %s with what cannot be read: %s", action, error)
            if self._version == V21:
                await self._send_quietly(wire.write_result_error(frame.message_id, error.code, error.description))
            raise CallRefused(error.code, error.description) from None
        self._note_quirks(action, used)
        return frame.payload

    async def _receive(self, raw: bytes) -> None:
        at, began = self._clock(), time.perf_counter()
        self._seen.add(self.station.identity)
        try:
            frame = wire.parse_frame(raw, self._version)
            if frame.kind == wire.CALL and NUL in raw:
                code = schemas.error_code("pattern", self._version)
                raise FrameError(code, "a text holds the character NUL", frame.message_id)
        except FrameError as error:
            await self._refuse_frame(raw, error, at)
            return
        if frame.kind == wire.CALL:
            self._tracer.received(self.station.identity, frame, raw, at)
            if self._busy:
                self._waiting.append((frame, at, began))
            else:
                await self._begin(frame, began)
        elif frame.kind == wire.SEND:
            self._tracer.received(self.station.identity, frame, raw, at)
            self._listen(frame)
        elif frame.kind == wire.CALL_RESULT_ERROR:
            self.station.say_once("result error", "could not read our answer: %s", frame.error_code)
        elif self._answer is not None and frame.message_id == self._call_id and not self._answer.done():
            self._answer.set_result(frame)
        else:
            self.station.say_once("late answer", "answers a call that nobody waits for")

    async def _refuse_frame(self, raw: bytes, error: FrameError, at: datetime) -> None:
        self._tracer.unreadable(self.station.identity, raw, error.code, at)
        self.station.say_once(f"frame {error.code}", "sends what is no message: %s", error.description)
        await self._send_quietly(wire.write_error(error.message_id, error.code, error.description))

    async def _begin(self, frame: Frame, began: float) -> None:
        """Answer a call: at once where its handler needs nobody, else in a task of its own."""
        self._busy = True
        try:
            outcome = self._dispatch(frame)
        except Exception as error:
            await self._finish(frame, began, self._error_of(frame, error))
            return
        if inspect.isawaitable(outcome):
            self.start(self._complete(frame, began, outcome))
        else:
            await self._finish(frame, began, outcome)

    async def _complete(self, frame: Frame, began: float, outcome: Awaitable[dict[str, Any]]) -> None:
        try:
            answer: dict[str, Any] | CallRefused = await outcome
        except Exception as error:
            answer = self._error_of(frame, error)
        await self._finish(frame, began, answer)
        while self._waiting and not self._busy:
            following, _, following_began = self._waiting.popleft()
            self._room.set()
            await self._begin(following, following_began)

    def _dispatch(self, frame: Frame) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        handler = self._handlers.get(frame.action)
        if handler is None:
            self.station.say_once(f"action {frame.action[:40]}", "calls %r, which is not served", frame.action[:60])
            if frame.action in schemas.actions(self._version):
                raise CallRefused("NotSupported", f"{frame.action} is not supported in this direction")
            raise CallRefused("NotImplemented", f"{frame.action[:60]!r} is no action of {self._version}")
        used = check_incoming(frame.action, self._version, frame.payload, self.station.quirks)
        if used:
            self._note_quirks(frame.action, used)
        return handler(self.station, frame.payload)

    def _listen(self, frame: Frame) -> None:
        listener = self._listeners.get(frame.action)
        if listener is None:
            self.station.say_once(f"send {frame.action[:40]}", "sends %r, which is not listened to", frame.action[:60])
            return
        try:
            self._note_quirks(
                frame.action, check_incoming(frame.action, self._version, frame.payload, self.station.quirks)
            )
            outcome = listener(self.station, frame.payload)
        except (PayloadError, PlatformError) as error:
            self.station.say_once(f"send {frame.action}", "sends a %s that cannot be read: %s", frame.action, error)
            return
        if outcome is not None:
            self.start(outcome)

    def _error_of(self, frame: Frame, error: Exception) -> CallRefused:
        """The answer to a call that went wrong, in the version's terms; a fault of ours is logged with its trace."""
        if isinstance(error, CallRefused):
            return error
        if isinstance(error, PayloadError):
            self.station.say_once(f"payload {frame.action}", "sends a bad %s: %s", frame.action, error.description)
            return CallRefused(error.code, error.description)
        if isinstance(error, PlatformError):
            self.station.say_once(f"refused {frame.action} {error.code}", "%s is refused: %s", frame.action, error)
            return CallRefused("PropertyConstraintViolation", str(error))
        if isinstance(error, DataError):
            self.station.say_once(
                f"range {frame.action}", "sends a %s with a value that nothing can hold", frame.action
            )
            return CallRefused("PropertyConstraintViolation", "a value is beyond what can be stored")
        self.station.report_fault(frame.action, error)
        return CallRefused("InternalError", "")

    async def _finish(self, frame: Frame, began: float, answer: dict[str, Any] | CallRefused) -> None:
        if not isinstance(answer, CallRefused):
            try:
                schemas.check_outgoing(frame.action, self._version, answer, response=True)
            except PayloadError as error:
                answer = self._error_of(frame, RuntimeError(f"our own answer is bad: {error}"))
        if isinstance(answer, CallRefused):
            result, payload = answer.code, {"errorDescription": answer.description}
            raw = wire.write_error(frame.message_id, answer.code, answer.description)
        else:
            result, payload = _result_of(answer), answer
            raw = wire.write_result(frame.message_id, answer)
        await self._send_quietly(raw)
        self._busy = False
        self._tracer.replied(
            self.station.identity, frame, payload, result, (time.perf_counter() - began) * 1000, self._clock()
        )
        while self.station.follow_ups:
            self.start(self.station.follow_ups.pop(0)(self.station))

    def _note_quirks(self, action: str, used: frozenset[str]) -> None:
        for name in used:
            self.station.say_once(f"quirk {name}", "%s needs the quirk %s", action, name)

    async def _send(self, raw: bytes) -> None:
        await self.websocket.send(raw, text=True)

    async def _send_quietly(self, raw: bytes) -> None:
        """Send what a station may miss: it asks again when it is back."""
        with suppress(ConnectionClosed):
            await self._send(raw)


def _result_of(answer: dict[str, Any]) -> str:
    status = answer.get("status")
    if status is None:
        info = answer.get("idTagInfo") or answer.get("idTokenInfo")
        status = info.get("status", "") if info else ""
    return str(status)
