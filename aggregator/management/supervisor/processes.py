"""One process of the platform under supervision: its description, its readiness, its restarts."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from aggregator.management.supervisor.launching import signal_group, spawn, tail
from aggregator.management.supervisor.output import LogFollower, Terminal
from aggregator.management.supervisor.probe import accepts_connections, web_answers
from aggregator.management.supervisor.workspace import Workspace

FIRST_BACK_OFF_S = 0.5
MAX_BACK_OFF_S = 10.0
STEADY_AFTER_S = 30.0


class Stage(IntEnum):
    """Everything in a stage starts together; the next begins when all of it is ready.

    What a page needs to show a portfolio that lives comes before what works on it in the background.
    """

    SCHEMA = 1
    PLATFORM = 2
    FIELD = 3
    BACKGROUND = 4
    STORY = 5


@dataclass(frozen=True)
class ProcessSpec:
    """One line of the process table.

    Ready when `ready_url` answers, `ready_port` accepts, or a line of the log matches `ready_line` (a regular
    expression); a process that runs `once` is ready when it has ended with status 0. The `story` writes to the
    supervisor's own standard output, and its end is the end of the run.
    """

    name: str
    command: tuple[str, ...]
    stage: Stage
    ready_line: str = r"^READY\b"
    ready_port: int | None = None
    ready_url: str = ""
    once: bool = False
    story: bool = False
    ready_timeout_s: float = 180.0
    environment: Mapping[str, str] = field(default_factory=dict)


class ManagedProcess:
    """Keeps a process running: relaunched when it dies, ever more slowly while it keeps dying."""

    def __init__(self, spec: ProcessSpec, *, environment: Mapping[str, str], log_dir: Path, terminal: Terminal) -> None:
        self.spec = spec
        self.terminal = terminal
        self.environment = {**environment, **spec.environment}
        self.log = LogFollower(log_dir / f"{spec.name}.log")
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.exit_status: int | None = None
        self.failures = 0
        self._started_at = 0.0
        self._relaunch_at = 0.0
        self._probe_at = 0.0

    @property
    def finished(self) -> bool:
        """Ran once, and has ended."""
        return self.exit_status is not None

    def launch(self, workspace: Workspace, working_directory: Path) -> None:
        self.process = spawn(
            self.spec.command,
            log_path=self.log.path,
            environment=self.environment,
            working_directory=working_directory,
            inherit_stdout=self.spec.story,
        )
        workspace.watch(self.process.pid)
        self.ready = self.spec.story
        self._started_at = time.monotonic()

    def tick(self, workspace: Workspace, working_directory: Path) -> None:
        """Follow the log, notice readiness or death, relaunch when it is time. Called a few times a second."""
        self._follow_log()
        if self.process is None:
            if not self.finished and time.monotonic() >= self._relaunch_at:
                self.launch(workspace, working_directory)
            return
        status = self.process.poll()
        if status is None:
            if not self.ready and self._answers():
                self.ready = True
            return
        signal_group(self.process, 9)  # its own children must not hold its port
        workspace.forget(self.process.pid)
        self._follow_log()
        self.process = None
        self._note_end(status)

    def overdue(self) -> bool:
        """Running, but not ready in the time it is given."""
        waited_s = time.monotonic() - self._started_at
        return self.process is not None and not self.ready and waited_s > self.spec.ready_timeout_s

    def failure(self) -> str:
        return tail(self.log.path, 30)

    def _note_end(self, status: int) -> None:
        if self.spec.once or self.spec.story:
            self.exit_status = status
            self.ready = status == 0
            return
        lived_s = time.monotonic() - self._started_at
        self.failures = 1 if lived_s > STEADY_AFTER_S else self.failures + 1
        pause_s = min(FIRST_BACK_OFF_S * 2 ** (self.failures - 1), MAX_BACK_OFF_S)
        self._relaunch_at = time.monotonic() + pause_s
        self.ready = False
        how = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
        self.terminal.say(f"{self.spec.name} {how}; starting it again in {pause_s:g} s", alarming=True)

    def _follow_log(self) -> None:
        for text in self.log.new_lines():
            self.terminal.line(self.spec.name, text)
            if not self._probed() and not self.spec.once and re.search(self.spec.ready_line, text):
                self.ready = True

    def _probed(self) -> bool:
        return bool(self.spec.ready_url or self.spec.ready_port)

    def _answers(self) -> bool:
        if not self._probed() or time.monotonic() < self._probe_at:
            return False
        self._probe_at = time.monotonic() + 0.2
        if self.spec.ready_port is not None:
            return accepts_connections(self.spec.ready_port)
        return web_answers(self.spec.ready_url)


def process_environment(servers: Mapping[str, str]) -> dict[str, str]:
    """What every process inherits: the addresses, and one thread each for numerical libraries.

    Several processes share the cores; a library that starts a thread per core in each of them only makes them wait.
    """
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {**dict.fromkeys(threads, "1"), **os.environ, **servers, "PYTHONUNBUFFERED": "1"}
