"""PostgreSQL, Valkey and an MQTT broker together: what is not given by URL is run as a private throw-away instance."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from aggregator.management.supervisor.mqtt_broker import MqttBroker
from aggregator.management.supervisor.postgresql import PostgresqlServer
from aggregator.management.supervisor.template import ClusterTemplate
from aggregator.management.supervisor.valkey import ValkeyServer
from aggregator.management.supervisor.workspace import Workspace, sweep

# the variable that says "this one runs elsewhere" -> the server that is embedded otherwise
BY_VARIABLE: dict[str, type[ValkeyServer] | type[MqttBroker] | type[PostgresqlServer]] = {
    "REDIS_URL": ValkeyServer,
    "MQTT_URL": MqttBroker,
    "DATABASE_URL": PostgresqlServer,
}
READY_TIMEOUT_S = 60.0


class EmbeddedServer(Protocol):
    """One throw-away server: prepared once, launched as often as it dies."""

    name: str
    port: int
    log_path: Path
    process: subprocess.Popen[bytes] | None

    @property
    def stop_signal(self) -> int: ...
    @property
    def url(self) -> str: ...
    def environment(self) -> dict[str, str]: ...
    def prepare(self) -> None: ...
    def launch(self) -> None: ...
    def is_ready(self) -> bool: ...
    def stop(self) -> None: ...
    def failure(self) -> str: ...


class EmbeddedServers:
    """The servers that are not given by URL, in one workspace.

    Ports and passwords are fixed when this is made, so that `environment()` can be handed on before anything runs.
    Everything runs in the calling (main) thread.
    """

    def __init__(
        self,
        *,
        log_dir: Path | None = None,
        given: Mapping[str, str] | None = None,
        template: ClusterTemplate | None = None,
    ) -> None:
        """`given` maps DATABASE_URL, REDIS_URL, MQTT_URL to servers that run elsewhere; default: the environment.

        Logs go to `log_dir`; without one, into the workspace, and away with it. PostgreSQL begins as a copy of the
        `template`, if there is one.
        """
        outside = os.environ if given is None else given
        self.outside = {variable: outside[variable] for variable in BY_VARIABLE if outside.get(variable)}
        sweep()
        self.workspace = Workspace()
        logs = log_dir or self.workspace.path / "logs"
        self.servers: list[EmbeddedServer] = [
            server(self.workspace, log_dir=logs)
            for variable, server in BY_VARIABLE.items()
            if variable not in self.outside
        ]
        self.postgresql = next((server for server in self.servers if isinstance(server, PostgresqlServer)), None)
        if self.postgresql is not None:
            self.postgresql.template = template
        self._launched: list[EmbeddedServer] = []

    def environment(self) -> dict[str, str]:
        """The variables that reach all three."""
        merged = dict(self.outside)
        for server in self.servers:
            merged |= server.environment()
        return merged

    def server(self, name: str) -> EmbeddedServer:
        """Raises KeyError if that one is not embedded."""
        return {server.name: server for server in self.servers}[name]

    def launch(self, names: Collection[str] | None = None) -> None:
        """Prepare and start those named and not yet running (default: all); returns before they are ready."""
        for server in self.servers:
            if server not in self._launched and (names is None or server.name in names):
                server.prepare()
                server.launch()
                self._launched.append(server)

    def wait_ready(
        self, *, timeout_s: float = READY_TIMEOUT_S, interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        """Return when all that were launched accept clients, or the caller is `interrupted`.

        Raises RuntimeError with a server's log if one does not accept clients in time.
        """
        deadline = time.monotonic() + timeout_s
        waiting = list(self._launched)
        while waiting and not interrupted():
            waiting = [server for server in waiting if not server.is_ready()]
            if waiting and time.monotonic() > deadline:
                server = waiting[0]
                raise RuntimeError(f"{server.name} did not start within {timeout_s:.0f} s:\n{server.failure()}")
            time.sleep(0.02 if waiting else 0)

    def stop(self) -> None:
        """Stop them all, and remove every trace. Idempotent."""
        for server in self._launched:
            if server.process is not None and server.process.poll() is None:
                server.process.send_signal(server.stop_signal)
        for server in self._launched:
            server.stop()
        self._launched.clear()
        self.workspace.close()
