"""The loop that starts everything in order, keeps it running, and stops it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from aggregator.management.supervisor.launching import ReservedPort, signal_group, wait_until
from aggregator.management.supervisor.output import Terminal
from aggregator.management.supervisor.processes import (
    FIRST_BACK_OFF_S,
    MAX_BACK_OFF_S,
    ManagedProcess,
    ProcessSpec,
    Stage,
)
from aggregator.management.supervisor.servers import EmbeddedServer, EmbeddedServers

TICK_S = 0.05
STOP_GRACE_S = 5.0
MAX_STARTS = 4
_SIGINT_STATUS = 130


class RunFailed(RuntimeError):
    """Something did not come up, or the story broke off; the message says what, and what its log said last."""


@dataclass
class _ServerState:
    server: EmbeddedServer
    failures: int = 0
    relaunch_at: float | None = None
    checking: bool = False


class Supervisor:
    """Runs in the main thread, single-threaded: children die with the thread that started them."""

    def __init__(
        self,
        *,
        servers: EmbeddedServers,
        specs: Sequence[ProcessSpec],
        environment: Mapping[str, str],
        log_dir: Path,
        working_directory: Path,
        terminal: Terminal,
        reserved_ports: Sequence[ReservedPort] = (),
    ) -> None:
        self.reserved_ports = reserved_ports
        self.servers = servers
        self.terminal = terminal
        self.working_directory = working_directory
        self.processes = [
            ManagedProcess(spec, environment=environment, log_dir=log_dir, terminal=terminal) for spec in specs
        ]
        self._server_states = [_ServerState(server) for server in servers.servers]
        self._interrupts = 0
        self._active: list[ManagedProcess] = []

    def run(self, *, on_ready: Callable[[], None], ready_before: Stage = Stage.STORY) -> int:
        """Start, call `on_ready` once every stage before `ready_before` runs, watch, stop. Returns an exit status.

        0 after the story's end or a requested stop; 1 if the start or the story failed; 130 if the start was
        interrupted.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupt)
        try:
            if not self._start(on_ready, ready_before):
                return _SIGINT_STATUS
            return self._watch()
        except RunFailed as failure:
            self.terminal.say(str(failure), alarming=True)
            return 1
        finally:
            self._stop()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            self.terminal.say("killing what is left")
            for managed in self.processes:
                if managed.process is not None:
                    signal_group(managed.process, signal.SIGKILL)

    def _start(self, on_ready: Callable[[], None], ready_before: Stage) -> bool:
        started = time.monotonic()
        names = ", ".join(server.name for server in self.servers.servers)
        if names:
            self.terminal.say(f"starting {names}")
        try:
            self.servers.launch()
            self.servers.wait_ready(interrupted=lambda: self._interrupts > 0)
        except RuntimeError as error:
            raise RunFailed(str(error)) from error
        for stage in Stage:
            if self._interrupts:
                return False
            members = [managed for managed in self.processes if managed.spec.stage == stage]
            if stage == Stage.PLATFORM:
                for port in self.reserved_ports:
                    port.release()
            if stage == ready_before:
                on_ready()
            if members:
                self.terminal.say(
                    f"{time.monotonic() - started:4.1f} s  starting {', '.join(m.spec.name for m in members)}"
                )
                if not self._start_stage(members):
                    return False
            if stage == Stage.SCHEMA and members:
                self._keep_schema()
        self.terminal.say(f"{time.monotonic() - started:4.1f} s  everything runs")
        return True

    def _keep_schema(self) -> None:
        if self.servers.postgresql is not None:
            try:
                self.servers.postgresql.keep_as_template()
            except (
                OSError
            ) as error:  # a full or read-only disk costs the next start some seconds, not this one its life
                self.terminal.say(f"could not keep the migrated database for the next start: {error}")

    def _start_stage(self, members: list[ManagedProcess]) -> bool:
        for managed in members:
            managed.launch(self.servers.workspace, self.working_directory)
            self._active.append(managed)
        while not all(managed.ready for managed in members):
            if self._interrupts:
                return False
            self._tick()
            for managed in members:
                self._check_start(managed)
        return True

    def _check_start(self, managed: ManagedProcess) -> None:
        name = managed.spec.name
        if managed.finished and managed.exit_status != 0:
            raise RunFailed(f"{name} failed with status {managed.exit_status}:\n{managed.failure()}")
        if managed.failures >= MAX_STARTS:
            raise RunFailed(f"{name} does not start; its log says:\n{managed.failure()}")
        if managed.overdue():
            raise RunFailed(
                f"{name} was not ready within {managed.spec.ready_timeout_s:.0f} s; its log says:\n{managed.failure()}"
            )

    def _watch(self) -> int:
        story = next((managed for managed in self.processes if managed.spec.story), None)
        while not self._interrupts:
            self._tick()
            if story is not None and story.finished:
                if story.exit_status != 0:
                    raise RunFailed(f"{story.spec.name} failed:\n{story.failure()}")
                return 0
        # a story that is told until Ctrl-C still has its last line to say
        if story is not None and story.process is not None:
            story.process.send_signal(signal.SIGINT)
            wait_until(lambda: story.process is None or story.process.poll() is not None, timeout_s=STOP_GRACE_S)
        return 0

    def _tick(self) -> None:
        self.servers.workspace.tend()
        for state in self._server_states:
            self._tend_server(state)
        for managed in self._active:
            managed.tick(self.servers.workspace, self.working_directory)
        time.sleep(TICK_S)

    def _tend_server(self, state: _ServerState) -> None:
        """Bring a server back that has died, on the same port and with the same data."""
        server, now = state.server, time.monotonic()
        if state.relaunch_at is not None:
            if now >= state.relaunch_at:
                state.relaunch_at, state.checking = None, True
                server.launch()
        elif server.process is not None and server.process.poll() is not None:
            signal_group(server.process, signal.SIGKILL)
            self.servers.workspace.forget(server.process.pid)
            pause_s = min(FIRST_BACK_OFF_S * 2**state.failures, MAX_BACK_OFF_S)
            state.failures += 1
            state.relaunch_at = now + pause_s
            self.terminal.say(f"{server.name} died; starting it again in {pause_s:g} s", alarming=True)
        elif state.checking and server.is_ready():
            state.failures, state.checking = 0, False
            self.terminal.say(f"{server.name} is back")

    def _stop(self) -> None:
        """The story first, then every process, the servers last."""
        started = time.monotonic()
        self.terminal.say("stopping; interrupt again to kill")
        self.terminal.quiet = True  # whoever loses its peer now says so, in its log
        self._stop_together([managed for managed in self._active if managed.spec.story])
        self._stop_together([managed for managed in self._active if not managed.spec.story])
        processes_s = time.monotonic() - started
        self.servers.stop()
        total_s = time.monotonic() - started
        self.terminal.say(f"stopped in {total_s:.1f} s, {total_s - processes_s:.1f} s of them for the servers")

    def _stop_together(self, members: list[ManagedProcess]) -> None:
        running = {managed.spec.name: managed.process for managed in members if managed.process is not None}
        for process in running.values():
            process.terminate()
        wait_until(
            lambda: self._interrupts > 1 or all(process.poll() is not None for process in running.values()),
            timeout_s=STOP_GRACE_S,
        )
        stubborn = [name for name, process in running.items() if process.poll() is None]
        if stubborn:
            self.terminal.say(f"killing {', '.join(stubborn)}: still there after {STOP_GRACE_S:g} s")
        for process in running.values():
            signal_group(process, signal.SIGKILL)
            process.wait()
            self.servers.workspace.forget(process.pid)
