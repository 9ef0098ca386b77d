"""The OCPP gateway: one port for three versions, and a second one with TLS of its own (security profiles 2 and 3).

Who is let in, `fleet.devices.ocpp.admission` decides. What a station cannot speak is answered as OCPP-J says: the handshake is completed without a subprotocol and the
socket closed. The newest socket of a station is the one that counts.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from fleet.devices.database import DatabaseThreads, DatabaseUnavailable
from fleet.devices.gateway import CommandDelivery
from fleet.devices.ocpp import handlers_v16, handlers_v21, handlers_v201, schemas
from fleet.devices.ocpp.admission import Admission
from fleet.devices.ocpp.configuration import configure_station, is_configured
from fleet.devices.ocpp.connection import StationConnection
from fleet.devices.ocpp.driver import OcppDriver, utc_now
from fleet.devices.ocpp.encryption import EncryptionFiles, renew_certificate, server_context
from fleet.devices.ocpp.station import GatewayTerms, Station
from fleet.devices.ocpp.tracing import Tracer
from fleet.devices.ocpp.tunnel import MqttTunnel, TunnelSocket
from fleet.devices.ocpp.wire import SUBPROTOCOLS, V16, V21, V201
from fleet.devices.ocpp.writer import GroupWriter, Work
from fleet.operations.commands import resume_schedules
from fleet.operations.gateways import gateways_gone, reclaim_stations, release_stations
from fleet.operations.stations import (
    ChargerIdentity,
    mark_connected,
    mark_disconnected,
    record_heartbeats,
)

logger = logging.getLogger(__name__)

GATEWAY_CLASS = "ocpp"
HANDLERS = {V16: handlers_v16.HANDLERS, V201: handlers_v201.HANDLERS, V21: handlers_v21.HANDLERS}
LISTENERS = {V16: {}, V201: {}, V21: handlers_v21.LISTENERS}

LARGEST_MESSAGE = 1024 * 1024
PING_INTERVAL_S, PING_TIMEOUT_S, OPEN_TIMEOUT_S, CLOSE_TIMEOUT_S = 30, 30, 20, 1
SEEN_EVERY_S = 5.0
# A station that reconnects without booting is configured, if that is due, when it has had time to boot.
CONFIGURE_AFTER_S = 5.0
NO_COMMON_SUBPROTOCOL, REPLACED = 1002, 1000
# Stations of a gateway that died reconnect to another within this, as a rule; those that do not are marked.
BURY_EVERY_S = 8.0


class OcppGateway:
    """One gateway process.

    Args:
        identity: of the process, as written to `Charger.gateway_identity`.
        host, port: where it listens; port 0 takes a free one, see `port` afterwards.
        terms: what every station is told.
        trace: whether messages are kept in the trace.
        encryption: key and certificates of the port with TLS; None for none.
        encrypted_port: of TLS; 0 takes a free one, see `encrypted_port` afterwards.
        behind_tls: the other port is reached through a proxy that ends TLS, and in no other way.
        allow_no_password: security profile 0, for demonstrations.
        tunnel_url: of the MQTT broker, if this process also serves stations that speak OCPP through it.
        clock: gives the instant.
    """

    def __init__(
        self,
        *,
        identity: str,
        host: str,
        port: int,
        terms: GatewayTerms | None = None,
        trace: bool = True,
        encryption: EncryptionFiles | None = None,
        encrypted_port: int = 0,
        behind_tls: bool = False,
        allow_no_password: bool = False,
        tunnel_url: str = "",
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.identity = identity
        self.host, self.port = host, port
        self.connections: dict[str, StationConnection] = {}
        self._terms = terms or GatewayTerms()
        self._clock = clock
        self._trace = trace
        self._seen: set[str] = set()
        self._encryption, self.encrypted_port = encryption, encrypted_port
        self._logins = DatabaseThreads("ocpp-login", threads=2)
        self._admission = Admission(
            self._logins, clock=clock, behind_tls=behind_tls, allow_no_password=allow_no_password
        )
        self._closing: set[asyncio.Task[None]] = set()
        self._tunnel_url = tunnel_url

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Serve stations until `stop` is set. `ready` is called when the port is open."""
        for version, handlers in HANDLERS.items():
            schemas.prepare(version, handlers)
        self.writer = GroupWriter()
        self.tracer = Tracer(keep=self._trace)
        self.delivery = CommandDelivery(
            gateway_identity=self.identity,
            gateway_class=GATEWAY_CLASS,
            driver=OcppDriver(self.connections, self._clock),
            clock=self._clock,
            on_listening=self._reclaim,
        )
        with suppress(DatabaseUnavailable):
            await self._logins.call(release_stations, gateway_identity=self.identity)
        stop_delivery = asyncio.Event()
        delivering = asyncio.create_task(self.delivery.run(stop_delivery))
        helpers = [
            asyncio.create_task(self.tracer.run()),
            asyncio.create_task(self._note_seen()),
            asyncio.create_task(self._bury_gateways()),
        ]
        servers = [await self._listen(self.port, None)]
        self.port = servers[0].sockets[0].getsockname()[1]
        if self._encryption is not None:
            context = server_context(self._encryption)
            servers.append(await self._listen(self.encrypted_port, context))
            self.encrypted_port = servers[1].sockets[0].getsockname()[1]
            helpers.append(asyncio.create_task(renew_certificate(context, self._encryption)))
        if self._tunnel_url:
            tunnel = MqttTunnel(
                broker_url=self._tunnel_url, session="v2g-ocpp-tunnel", serve=self._serve_station, database=self._logins
            )
            helpers.append(asyncio.create_task(tunnel.run()))
        ready()
        await stop.wait()
        await self._shut_down(servers, stop_delivery, delivering, helpers)

    async def _listen(self, port: int, encryption: ssl.SSLContext | None) -> Server:
        return await serve(
            self._serve_station,
            self.host,
            port,
            ssl=encryption,
            process_request=self._admission.admit,
            select_subprotocol=_select_subprotocol,
            # a station sends little; compression would triple the memory of an idle connection
            compression=None,
            server_header=None,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=LARGEST_MESSAGE,
            logger=_quiet_logger(),
        )

    async def _shut_down(
        self,
        servers: Sequence[Server],
        stop_delivery: asyncio.Event,
        delivering: asyncio.Task[None],
        helpers: Sequence[asyncio.Task[None]],
    ) -> None:
        connections = list(self.connections.values())
        self.connections.clear()
        stop_delivery.set()
        for server in servers:
            server.close(code=1001, reason="the gateway stops")
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S + 0.2):
                await asyncio.gather(*(server.wait_closed() for server in servers))
        for connection in connections:
            connection.websocket.transport.abort()
        await self.writer.stop()
        await asyncio.gather(delivering, return_exceptions=True)
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        with suppress(DatabaseUnavailable):
            await self._logins.call(release_stations, gateway_identity=self.identity)
        self._logins.close()

    async def _serve_station(self, websocket: ServerConnection | TunnelSocket) -> None:
        charger: ChargerIdentity = websocket.charger  # type: ignore[union-attr]
        if websocket.subprotocol is None:
            self._admission.log_stranger(charger.identity, f"offers none of {', '.join(SUBPROTOCOLS)}")
            await websocket.close(NO_COMMON_SUBPROTOCOL, f"speak one of {', '.join(SUBPROTOCOLS)}")
            return
        connection = self._connect(websocket, charger, websocket.subprotocol)
        try:
            await connection.serve()
        finally:
            self._disconnect(connection)

    def _connect(
        self, websocket: ServerConnection | TunnelSocket, charger: ChargerIdentity, version: str
    ) -> StationConnection:
        station = Station(charger, version, self.writer, self._terms, self._clock)
        connection = StationConnection(
            websocket,
            station,
            handlers=HANDLERS[version],
            listeners=LISTENERS[version],
            tracer=self.tracer,
            seen=self._seen,
            clock=self._clock,
        )
        older = self.connections.get(charger.identity)
        self.connections[charger.identity] = connection
        if older is not None:
            closing = asyncio.create_task(
                older.close(REPLACED, "a newer connection of this station has replaced this one")
            )
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        connection.start(self._announce(station, version))
        connection.start(_configure_later(station))
        return connection

    async def _announce(self, station: Station, version: str) -> None:
        """Write down that the station is here, and then deliver what has been waiting for it."""
        await self.writer.write(
            Work(
                operation=partial(
                    mark_connected,
                    identity=station.identity,
                    gateway_identity=self.identity,
                    now=self._clock(),
                    protocol=version,
                )
            )
        )
        if version == V21:
            await self.writer.write(
                Work(operation=partial(resume_schedules, identity=station.identity, now=self._clock()))
            )
        self.delivery.wake()

    def _disconnect(self, connection: StationConnection) -> None:
        identity = connection.station.identity
        if self.connections.get(identity) is not connection:
            return  # a newer socket holds the station, or the gateway is stopping
        del self.connections[identity]
        self.writer.post(
            Work(
                operation=partial(
                    mark_disconnected, identity=identity, gateway_identity=self.identity, now=self._clock()
                )
            )
        )

    async def _note_seen(self) -> None:
        """Every few seconds, note in one statement which stations have said something."""
        while True:
            await asyncio.sleep(SEEN_EVERY_S)
            if self._seen:
                identities = frozenset(self._seen)
                self._seen.clear()
                self.writer.post(Work(operation=partial(record_heartbeats, identities=identities, now=self._clock())))

    async def _reclaim(self) -> None:
        """The database is back: whoever thought this gateway gone may have taken its stations out of the books."""
        if self.connections:
            await self._logins.call(
                reclaim_stations,
                gateway_identity=self.identity,
                identities=list(self.connections),
                now=self._clock(),
            )

    async def _bury_gateways(self) -> None:
        """Mark the stations of gateways that have died as not connected. Twice found gone is gone."""
        suspects: set[str] = set()
        while True:
            await asyncio.sleep(BURY_EVERY_S)
            try:
                gone = await self._logins.call(
                    gateways_gone, gateway_identity=self.identity, gateway_class=GATEWAY_CLASS
                )
                for dead in suspects.intersection(gone):
                    count = await self._logins.call(release_stations, gateway_identity=dead)
                    logger.warning("gateway %s is gone; its %d stations are free", dead, count)
                suspects = set(gone)
            except DatabaseUnavailable:
                suspects.clear()


async def _configure_later(station: Station) -> None:
    await asyncio.sleep(CONFIGURE_AFTER_S)
    if not station.booted and not is_configured(station):
        await configure_station(station)


def _select_subprotocol(websocket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first that the station offers and we speak: stations list what they prefer first."""
    return next((subprotocol for subprotocol in offered if subprotocol in SUBPROTOCOLS), None)


def _quiet_logger() -> logging.Logger:
    """websockets logs every failed handshake with a trace; scanners would fill the log."""
    quiet = logging.getLogger("fleet.devices.ocpp.websockets")
    quiet.setLevel(logging.CRITICAL)
    return quiet
