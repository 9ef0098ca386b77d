"""Stations that talk to a gateway in tests: real sockets, frames written out or the PyPI `ocpp` package's classes."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import ssl
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from time import monotonic, sleep
from typing import Any, TypeVar
from urllib.parse import quote

import uvloop
import websockets

from fleet.devices.ocpp.server import OcppGateway
from fleet.devices.ocpp.station import GatewayTerms
from fleet.operations.assets import (
    EvseSpecification,
    Goal,
    VehicleSpecification,
    register_charger,
    register_default_place,
    register_owner,
    register_vehicle,
)

Result = TypeVar("Result")
PASSWORD = "correct-horse-battery"
PATIENCE_S = 20


def utc_text(instant: datetime) -> str:
    """As stations write it."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    """The wall clock, to the millisecond, as far as it travels on the wire."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


class Background:
    """An event loop in a thread, so that a test is plain code that can look into the database between two steps."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._main()), daemon=True)
        self._thread.start()
        self._ready.wait(PATIENCE_S)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()

    def run(self, awaitable: Awaitable[Result], *, patience_s: float = PATIENCE_S) -> Result:
        """Wait for something that happens in the loop."""
        return self.start(awaitable, patience_s=patience_s).result(patience_s + 5)

    def start(self, awaitable: Awaitable[Result], *, patience_s: float = PATIENCE_S) -> Future[Result]:
        """Let something happen in the loop."""

        async def waiting() -> Result:
            async with asyncio.timeout(patience_s):
                return await awaitable

        return asyncio.run_coroutine_threadsafe(waiting(), self.loop)

    def stop(self) -> None:
        """End the loop."""
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)


class RunningGateway:
    """A gateway in a thread of its own, with its own loop, as the process has it."""

    def __init__(
        self, identity: str = "gateway-1", *, port: int = 0, terms: GatewayTerms | None = None, **options: Any
    ) -> None:
        self.gateway = OcppGateway(identity=identity, host="127.0.0.1", port=port, terms=terms, **options)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self.gateway.run(self._stop, self._ready.set)

    @property
    def port(self) -> int:
        return self.gateway.port

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def encrypted_url(self) -> str:
        return f"wss://127.0.0.1:{self.gateway.encrypted_port}"

    def stop(self) -> None:
        """Stop it as SIGTERM does."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def credentials(identity: str, password: str = PASSWORD) -> dict[str, str]:
    """The header of HTTP Basic authentication."""
    return {"Authorization": "Basic " + base64.b64encode(f"{identity}:{password}".encode()).decode()}


class CallFailed(Exception):
    """The gateway answered with an error."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code, self.description = code, description


class RawStation:
    """A station that writes its frames itself. Calls of the gateway are answered by `answers[action]` and kept."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[list[Any]] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[list[Any]]] = {}
        self._called = asyncio.Event()
        self.reading = asyncio.ensure_future(self._read())

    @classmethod
    async def connect(
        cls,
        url: str,
        identity: str,
        *protocols: str,
        password: str | None = PASSWORD,
        encryption: ssl.SSLContext | None = None,
    ) -> RawStation:
        """`password` None: none is shown; `encryption` for an address that begins with wss."""
        socket = await websockets.connect(
            f"{url}/{quote(identity, safe='')}",
            subprotocols=[websockets.Subprotocol(protocol) for protocol in protocols] or None,
            additional_headers={} if password is None else credentials(identity, password),
            compression=None,
            ssl=encryption,
        )
        return cls(socket)

    async def _read(self) -> None:
        async for text in self.socket:
            frame = json.loads(text)
            if frame[0] == 2:
                await self._answer(frame)
            elif frame[1] in self._waiting:
                self._waiting.pop(frame[1]).set_result(frame)
            else:
                self.errors.append(frame)

    async def _answer(self, frame: list[Any]) -> None:
        _, message_id, action, payload = frame
        self.calls.append((action, payload))
        self._called.set()
        if action not in self.answers:
            await self.socket.send(json.dumps([4, message_id, "NotImplemented", "", {}]))
            return
        answer = self.answers[action](payload)
        if answer is not None:
            await self.socket.send(json.dumps([3, message_id, answer]))

    async def send_text(self, text: str) -> None:
        """Send anything at all."""
        await self.socket.send(text)

    async def call(self, action: str, payload: dict[str, Any], *, message_id: str | None = None) -> dict[str, Any]:
        """Call the gateway and return its answer."""
        message_id = message_id or str(next(self._numbers))
        answer = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = answer
        await self.socket.send(json.dumps([2, message_id, action, payload]))
        frame = await answer
        if frame[0] == 4:
            raise CallFailed(frame[2], frame[3])
        return frame[2]

    async def next_call(self, action: str, seen: int = 0) -> dict[str, Any]:
        """Wait for the gateway's call of an action; `seen` skips that many earlier ones."""
        while True:
            found = [payload for name, payload in self.calls if name == action]
            if len(found) > seen:
                return found[seen]
            self._called.clear()
            await self._called.wait()

    async def closed(self) -> tuple[int, str]:
        """Wait until the gateway closes the socket; its code and reason."""
        await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    async def close(self) -> None:
        """Go away."""
        await self.socket.close()


@dataclass(frozen=True)
class Place:
    """A station with one EVSE and a car that may charge there."""

    identity: str
    protocol: str
    asset_id: int
    vehicle_id: int
    id_token: str


def make_place(identity: str, protocol: str, *, evses: int = 1, fail_safe_kw: float = 0.0) -> Place:
    """Register a station, and a car with its owner and wish."""
    register_default_place()
    discharge_kw = 10.0 if protocol == "ocpp2.1" else 0.0
    charger = register_charger(
        identity=identity,
        protocol=protocol,
        site_identity="default",
        password=PASSWORD,
        evses=[EvseSpecification(max_discharge_kw=discharge_kw, fail_safe_kw=fail_safe_kw)] * evses,
    )
    register_owner(identity=f"owner-{identity}")
    vehicle = register_vehicle(
        identity=f"EV-{identity}",
        owner_identity=f"owner-{identity}",
        now=now() - timedelta(days=1),
        specification=VehicleSpecification(max_discharge_kw=10.0),
        id_token=f"T{identity}",
        goal=Goal(target_soc_fraction=0.9, floor_soc_fraction=0.2, ready_by=time(7, 30)),
    )
    return Place(identity, protocol, charger.evses[0].asset_id, vehicle.vehicle_id, vehicle.id_token)


def eventually(condition: Callable[[], Any], *, patience_s: float = PATIENCE_S) -> Any:
    """Wait until something is true and return it."""
    deadline = monotonic() + patience_s
    while not (result := condition()):
        assert monotonic() < deadline, "it never came true"
        sleep(0.02)
    return result
