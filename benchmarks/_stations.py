"""What the OCPP benchmarks share: servers of their own, a gateway process, registered stations and light clients."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

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


class GatewayProcess:
    """`manage.py ocpp_gateway` on a free port."""

    def __init__(self, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "ocpp_gateway", "--port", str(self.port), *options],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            env={**os.environ, "LOG_LEVEL": "ERROR"},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(b"READY")
        self.usage = psutil.Process(self.process.pid)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """Processor time it has used, all threads."""
        times = self.usage.cpu_times()
        return times.user + times.system

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


async def connect(url: str, identity: str, protocol: str) -> ClientConnection:
    """Open a station's socket."""
    shown = base64.b64encode(f"{identity}:{PASSWORD}".encode()).decode()
    return await websockets.connect(
        f"{url}/{identity}",
        subprotocols=[websockets.Subprotocol(protocol)],
        additional_headers={"Authorization": f"Basic {shown}"},
        compression=None,
        ping_interval=None,
        open_timeout=60,
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
