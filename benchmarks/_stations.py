"""What the OCPP benchmarks share: servers of their own, a gateway process, registered stations and light clients."""

from __future__ import annotations

import asyncio
import base64
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import orjson
import psutil
import websockets
from websockets.asyncio.client import ClientConnection

from aggregator.management.supervisor.servers import EmbeddedServers

REPOSITORY = Path(__file__).resolve().parents[1]
PASSWORD = "benchmark-password-24"


def with_servers(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run `measure` with a PostgreSQL and a Valkey of its own, Django set up and migrated."""
    servers = EmbeddedServers(given={})
    servers.launch(("postgresql", "valkey"))
    try:
        servers.wait_ready()
        os.environ.update(servers.environment())
        os.environ["DJANGO_SETTINGS_MODULE"] = "aggregator.settings.test"
        os.environ["PLATFORM_RUN_DIR"] = str(servers.workspace.path)
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("upkeep_partitions")
        return measure()
    finally:
        servers.stop()


def register_stations(count: int, protocol: str) -> dict[str, int]:
    """Register stations with one EVSE each and a password as if generated; identity -> asset id."""
    from fleet.models import Charger
    from fleet.operations.assets import EvseSpecification, register_charger, register_default_place
    from fleet.operations.secrets import hash_secret

    register_default_place()
    two_way = EvseSpecification(max_discharge_kw=10.0 if protocol == "ocpp2.1" else 0.0)
    stations = {}
    for number in range(count):
        charger = register_charger(
            identity=f"CP-{number:05d}",
            protocol=protocol,
            site_identity="default",
            evses=[two_way],
        )
        stations[charger.identity] = charger.evses[0].asset_id
    Charger.objects.update(password_hash=hash_secret(PASSWORD, generated=True))
    return stations


class ServerProcess:
    """A server of its own on a free port; `command` writes READY when it listens."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            env={**os.environ, "LOG_LEVEL": "ERROR"},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(b"READY")
        self.usage = psutil.Process(self.process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def cpu_s(self) -> float:
        """Processor time it has used, all threads."""
        times = self.usage.cpu_times()
        return times.user + times.system

    def resident_mib(self) -> float:
        """Memory that it holds, all of it."""
        return self.usage.memory_info().rss / 2**20

    def stop(self) -> None:
        """End it, and wait until it has."""
        self.process.terminate()
        self.process.wait(10)


class GatewayProcess(ServerProcess):
    """`manage.py ocpp_gateway` on a free port."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        super().__init__("manage.py", "ocpp_gateway", "--port", str(self.port), *options)


class PackageProcess(ServerProcess):
    """The PyPI package `ocpp` on a free port; see `benchmarks._ocpp_package`."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"ws://127.0.0.1:{port}"
        super().__init__("-m", "benchmarks._ocpp_package", str(port))


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def raise_file_limit() -> None:
    """Let this process and those that it starts open as many sockets as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def connect(url: str, identity: str, protocol: str, *, local_address: str = "127.0.0.1") -> ClientConnection:
    """Open a station's socket, from one of the loopback's addresses."""
    shown = base64.b64encode(f"{identity}:{PASSWORD}".encode()).decode()
    return await websockets.connect(
        f"{url}/{identity}",
        subprotocols=[websockets.Subprotocol(protocol)],
        additional_headers={"Authorization": f"Basic {shown}"},
        compression=None,
        ping_interval=None,
        open_timeout=60,
        local_addr=(local_address, 0),
    )


async def ask(connection: ClientConnection, frame: bytes) -> bytes:
    """Send a CALL and wait for its answer; calls of the gateway in between are refused as not implemented."""
    await connection.send(frame, text=True)
    while True:
        answer = await connection.recv(decode=False)
        if answer[:3] == b"[2,":
            message_id = orjson.loads(answer)[1]
            await connection.send(orjson.dumps([4, message_id, "NotImplemented", "", {}]), text=True)
        else:
            return answer


async def close_all(connections: list[ClientConnection]) -> None:
    """Close many sockets at once."""
    with suppress(Exception):
        await asyncio.gather(*(connection.close() for connection in connections))
