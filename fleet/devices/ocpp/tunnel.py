"""OCPP-J frames through the MQTT broker, for gateways on site that have no websocket to the outside.

`v2g/v1/devices/<identity>/up/ocpp/<subprotocol>` carries one frame a message, as JSON text, `…/down/ocpp/<subprotocol>` the
answers and calls; an empty message ends the connection and is what a station leaves as its last will. Behind it stands the
same dispatcher as behind a websocket: a tunnel looks like one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import paho.mqtt.client as paho
from websockets.exceptions import ConnectionClosedOK

from common.errors import PlatformError
from fleet.devices.database import DatabaseThreads, DatabaseUnavailable
from fleet.devices.mqtt.messages import ROOT
from fleet.devices.mqtt.server import QOS, broker_client
from fleet.devices.ocpp.wire import SUBPROTOCOLS
from fleet.operations.stations import ChargerIdentity
from fleet.operations.tunnel import admit_tunnelled_station

logger = logging.getLogger(__name__)

LARGEST_FRAME = 1024 * 1024
MOST_WAITING = 64
_UP = f"{ROOT}/+/up/ocpp/+"


class TunnelSocket:
    """What the dispatcher needs of a websocket, over two topics."""

    def __init__(self, charger: ChargerIdentity, subprotocol: str, publish: Callable[[bytes], None]) -> None:
        self.charger, self.subprotocol = charger, subprotocol
        self._publish = publish
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._closed = False

    @property
    def transport(self) -> TunnelSocket:
        return self

    def arrive(self, frame: bytes) -> None:
        """A frame of the station. One that sends faster than it is answered is cut off, as a websocket would be."""
        if frame and len(frame) <= LARGEST_FRAME and self._frames.qsize() < MOST_WAITING:
            self._frames.put_nowait(frame)
        else:
            self.end()

    def end(self) -> None:
        """The station is gone."""
        self._closed = True
        self._frames.put_nowait(None)

    async def recv(self, decode: bool = False) -> bytes:
        frame = await self._frames.get()
        if frame is None:
            raise ConnectionClosedOK(None, None)
        return frame

    async def send(self, raw: bytes | str, text: bool = True) -> None:
        if self._closed:
            raise ConnectionClosedOK(None, None)
        self._publish(raw if isinstance(raw, bytes) else raw.encode())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.abort()

    def abort(self) -> None:
        """End it from this side."""
        if not self._closed:
            self._publish(b"")
            self.end()


class MqttTunnel:
    """Hands stations that speak through the broker to the dispatcher. One process does this, next to its websockets.

    Args:
        serve: what serves a socket until it closes.
        session: the name at the broker; another process with the same name takes over.
    """

    def __init__(
        self,
        *,
        broker_url: str,
        session: str,
        serve: Callable[[TunnelSocket], Awaitable[None]],
        database: DatabaseThreads,
    ) -> None:
        self._client = broker_client(broker_url, client_id=session)
        self._serve, self._database = serve, database
        self._sockets: dict[tuple[str, str], TunnelSocket] = {}
        self._opening: dict[tuple[str, str], list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listen until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.loop_start()
        try:
            await asyncio.Event().wait()
        finally:
            for socket in self._sockets.values():
                socket.abort()
            self._client.disconnect()
            self._client.loop_stop()

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            logger.error("the broker does not let us in: %s", reason)
        else:
            client.subscribe(_UP, qos=QOS)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        # as on a websocket, what is lost here a station sends again: it waits for the dispatcher's answer, not the broker's
        client.ack(message.mid, message.qos)
        identity, version = message.topic.split("/")[3], message.topic.rpartition("/")[2]
        if not message.retain:
            self._loop.call_soon_threadsafe(self._arrive, identity, version, bytes(message.payload))

    def _arrive(self, identity: str, version: str, frame: bytes) -> None:
        key = (identity, version)
        socket = self._sockets.get(key)
        if socket is not None:
            socket.arrive(frame)
        elif key in self._opening:
            self._opening[key].append(frame)
        elif frame and version in SUBPROTOCOLS:
            self._opening[key] = [frame]
            task = asyncio.create_task(self._open(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, key: tuple[str, str]) -> None:
        identity, version = key
        try:
            charger = await self._database.call(admit_tunnelled_station, identity=identity)
        except (PlatformError, DatabaseUnavailable) as error:
            logger.warning("not let in through the broker: %s %s", identity, error)
            self._publish(key, b"")
            return
        finally:
            waiting = self._opening.pop(key)
        socket = self._sockets[key] = TunnelSocket(charger, version, partial(self._publish, key))
        for frame in waiting:
            socket.arrive(frame)
        try:
            await self._serve(socket)
        finally:
            if self._sockets.get(key) is socket:
                del self._sockets[key]

    def _publish(self, key: tuple[str, str], payload: bytes) -> None:
        identity, version = key
        self._client.publish(f"{ROOT}/{identity}/down/ocpp/{version}", payload, qos=QOS)
