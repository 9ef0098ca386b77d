"""Agents as processes: started when a car plugs in, given notice before it leaves, started again if they die."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
TOKEN_VARIABLE = "COMPUTE_TOKEN"
PR_SET_PDEATHSIG = 1
NICENESS = 10
RESTART_AFTER_S = 5.0
CHECK_S = 0.1


@dataclass(frozen=True, slots=True)
class Stay:
    """A computer whose car is plugged in during [plug_in_s, unplug_s), in seconds after the start.

    `departure_s` is when its driver said that it would leave, which is all that its agent knows beforehand.
    """

    identity: str
    token: str
    memory_mib: int
    plug_in_s: float
    unplug_s: float
    departure_s: float


@dataclass
class Keeper:
    """Keeps the agents of some stays."""

    stays: tuple[Stay, ...]
    url: str
    duty_fraction: float
    notice_s: float
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    noticed: set[str] = field(default_factory=set)
    start_at: dict[str, float] = field(default_factory=dict)
    started: int = 0
    restarted: int = 0

    def keep(self, at_s: float) -> None:
        """Do what is due at an instant of the twin's time."""
        for stay in self.stays:
            here = stay.plug_in_s <= at_s < stay.unplug_s - self.notice_s
            process = self.running.get(stay.identity)
            if process is not None and process.poll() is not None:
                self._collect(stay, process, at_s, expected=not here or stay.identity in self.noticed)
                process = None
            if here and process is None and at_s >= self.start_at.get(stay.identity, 0.0):
                self.running[stay.identity] = self._start(stay, at_s)
                self.started += 1
                return  # one at a time: many Pythons that start at once would stall everything else
            if not here and process is not None and stay.identity not in self.noticed:
                log.info("%s: notice of departure", stay.identity)
                process.send_signal(signal.SIGTERM)
                self.noticed.add(stay.identity)

    def stop(self, within_s: float) -> None:
        """End all agents: notice, then the end."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        ends_at = time.monotonic() + within_s
        while time.monotonic() < ends_at and any(process.poll() is None for process in self.running.values()):
            time.sleep(CHECK_S / 2)
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def _collect(self, stay: Stay, process: subprocess.Popen[bytes], at_s: float, *, expected: bool) -> None:
        del self.running[stay.identity]
        if expected:
            self.noticed.discard(stay.identity)
            return
        log.warning("%s: its agent ended with %s, another starts", stay.identity, process.returncode)
        self.restarted += 1
        self.start_at[stay.identity] = at_s + RESTART_AFTER_S

    def _start(self, stay: Stay, at_s: float) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "compute_market.agent",
            "--url", self.url,
            "--identity", stay.identity,
            "--token-env", TOKEN_VARIABLE,
            "--memory-mib", str(stay.memory_mib),
            "--departure-in-s", f"{stay.departure_s - at_s:.0f}",
            "--departure-s", f"{max(2.0, self.notice_s):g}",
            "--duty-fraction", f"{self.duty_fraction:g}",
        ]  # fmt: skip
        parent = os.getpid()
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONUNBUFFERED": "1", TOKEN_VARIABLE: stay.token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: step_back(parent),
        )


def step_back(parent_pid: int) -> None:
    """In a child before it runs: let everything else go first, and end with the parent (Linux)."""
    os.nice(NICENESS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:
            os._exit(1)
