"""OCPP gateways as processes that can be killed, and the balancer before them, as production has them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aggregator.management.supervisor.launching import spawn, tail, wait_until
from tests.integration.fleet.loops import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
START_WITHIN_S = 60.0
CHUNK_BYTES = 65_536


class KillableProcess:
    """A command of `manage.py` that says READY when it serves; it may be killed and launched again."""

    def __init__(self, *words: str, environment: Mapping[str, str], log_path: Path) -> None:
        self._command = [sys.executable, "manage.py", *words]
        self._environment = dict(environment)
        self.log_path = log_path
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it; returns before it serves."""
        self._ready_before = self._said_ready()
        self.process = spawn(
            self._command, log_path=self.log_path, environment=self._environment, working_directory=REPOSITORY
        )

    def wait_ready(self) -> None:
        """Until it serves.

        Raises:
            AssertionError: it does not, with the end of its log.
        """
        served = wait_until(lambda: self._said_ready() > self._ready_before, timeout_s=START_WITHIN_S)
        assert served, tail(self.log_path)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """End it in order, if it runs."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def _said_ready(self) -> int:
        return self.log_path.read_bytes().count(b"READY") if self.log_path.exists() else 0


class OcppGatewayProcess(KillableProcess):
    """`manage.py ocpp_gateway` on a port that it keeps over its deaths."""

    def __init__(self, identity: str, *, environment: Mapping[str, str], log_path: Path) -> None:
        self.identity = identity
        self.port = free_port()
        super().__init__(
            *("ocpp_gateway", "--port", str(self.port), "--identity", identity),
            environment=environment,
            log_path=log_path,
        )


class Balancer:
    """A TCP proxy that gives each connection to the gateway with the fewest, and to the next one if that does not answer."""

    def __init__(self, *ports: int) -> None:
        self._open = dict.fromkeys(ports, 0)
        self._server: asyncio.Server | None = None
        self._stations: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of loopback, see `port` afterwards."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection."""
        assert self._server is not None
        self._server.close()
        for station in self._stations:
            station.transport.abort()
        while self._stations:
            await asyncio.sleep(0.01)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stations.add(writer)
        try:
            for port in sorted(self._open, key=self._open.__getitem__):
                with suppress(ConnectionRefusedError):
                    gateway = await asyncio.open_connection("127.0.0.1", port)
                    await self._carry(port, (reader, writer), gateway)
                    break
        finally:
            writer.close()
            self._stations.discard(writer)

    async def _carry(
        self,
        port: int,
        station: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        gateway: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Carry bytes both ways until either side closes."""
        self._open[port] += 1
        ways = [
            asyncio.create_task(_copy(station[0], gateway[1])),
            asyncio.create_task(_copy(gateway[0], station[1])),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open[port] -= 1
            gateway[1].close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
