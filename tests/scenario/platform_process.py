"""The whole platform as processes under its supervisor, with the digital twin but without the story."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

REPOSITORY = Path(__file__).resolve().parents[2]
# servers that the test process itself was given must not reach the platform: it brings its own
GIVEN_TO_TESTS = ("DATABASE_URL", "REDIS_URL", "MQTT_URL", "MQTT_CREDENTIALS_FILE", "DJANGO_SETTINGS_MODULE")


@dataclass
class RunningPlatform:
    """A supervised platform: where its web server is, its database, and its processes by name."""

    supervisor: subprocess.Popen[bytes]
    run_dir: Path
    environment: dict[str, str]

    @property
    def web(self) -> str:
        """Address of the web server."""
        return json.loads((self.run_dir / "platform.json").read_text())["web"]

    def rows(self, query: str, *parameters: Any) -> list[tuple]:
        """Rows of the platform's database; a database that is just being restarted is asked again."""
        lines = (self.run_dir / "env").read_text().splitlines()
        url = dict(line.split("=", 1) for line in lines)["DATABASE_URL"]
        for attempt in range(20):
            try:
                with psycopg.connect(url, autocommit=True) as connection:
                    return connection.execute(query, parameters).fetchall()
            except psycopg.OperationalError:
                if attempt == 19:
                    raise
                time.sleep(0.5)
        raise AssertionError("unreachable")

    def value(self, query: str, *parameters: Any) -> Any:
        """The one value that a query gives."""
        return self.rows(query, *parameters)[0][0]

    def manage(self, *words: str) -> str:
        """Run a management command beside the platform, as an operator would; returns its standard output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def client(self, role: str, scopes: str) -> httpx.Client:
        """A program that calls the API, registered and logged in."""
        made = json.loads(self.manage("create_client", "--name", f"scenario {role}", "--role", role, "--json"))
        answer = httpx.post(
            f"{self.web}/oauth/token/",
            auth=(made["client_id"], made["client_secret"]),
            data={"grant_type": "client_credentials", "scope": scopes},
        )
        answer.raise_for_status()
        token = answer.json()["access_token"]
        return httpx.Client(base_url=self.web, headers={"Authorization": f"Bearer {token}"}, timeout=20)

    def pid_of(self, name: str) -> int:
        """The process that runs a command or program, by a word of its command line; a parent before its children.

        Raises:
            LookupError: no such process runs under the supervisor.
        """
        found = []
        for process in psutil.Process(self.supervisor.pid).children(recursive=True):
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if name in words or any(word.rsplit("/", 1)[-1].startswith(name) for word in words[:3]):
                found.append(process.pid)
        if not found:
            raise LookupError(f"no process called {name}: {self.log_tail(name)}")
        return min(found)

    def kill(self, name: str) -> int:
        """kill -9, as a machine would; returns the process that was killed."""
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def log_tail(self, name: str, lines: int = 30) -> str:
        """The end of a process's log."""
        path = self.run_dir / "logs" / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"

    def stop(self) -> list[int]:
        """Ctrl-C; returns the children that were still there afterwards."""
        children = psutil.Process(self.supervisor.pid).children(recursive=True)
        self.supervisor.send_signal(signal.SIGINT)
        self.supervisor.wait(timeout=40)
        return [child.pid for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def start_platform(run_dir: Path, *, vehicles: int) -> RunningPlatform:
    """Start a demonstration on servers of its own and wait until everything runs."""
    run_dir.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in GIVEN_TO_TESTS}
    environment["PLATFORM_RUN_DIR"] = str(run_dir)
    command = [sys.executable, "manage.py", "run_platform", "--demo", "--vehicles", str(vehicles)]
    with (run_dir / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--without", "demo_story"],
            cwd=REPOSITORY,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(
            lambda: (run_dir / "platform.json").exists(),
            within_s=180,
            what="the platform to start",
            alive=process,
            explain=lambda: (run_dir / "supervisor.log").read_text(errors="replace")[-4000:],
        )
    except BaseException:  # an interrupted start must not leave a platform behind either
        process.send_signal(signal.SIGINT)
        process.wait(timeout=40)
        raise
    return RunningPlatform(process, run_dir, environment)


def wait_for(
    condition: Callable[[], bool],
    *,
    within_s: float,
    what: str,
    alive: subprocess.Popen[bytes] | None = None,
    explain: Callable[[], str] = lambda: "",
) -> None:
    """Wait until something is so; fail with what was waited for."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return
        if alive is not None and alive.poll() is not None:
            raise AssertionError(f"the platform ended while waiting for {what}:\n{explain()}")
        time.sleep(0.5)
    raise AssertionError(f"waited {within_s:g} s for {what} in vain:\n{explain()}")
