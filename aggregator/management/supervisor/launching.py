"""One child process: started so that it cannot outlive its parent, and stopped in order."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from aggregator.management.supervisor.probe import LOOPBACK

# Below every system's range for outgoing connections: a server that is restarted must find its port still free.
PORT_RANGE = (20_000, 32_000)
_PR_SET_PDEATHSIG = 1
_prctl: Callable[[int, int], int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """An unprivileged account that a server drops to."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """The account to drop to when running as root (PostgreSQL refuses root); None for anyone else."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


class ReservedPort:
    """A free loopback port, held by a bound socket until its server is about to take it."""

    def __init__(self, wanted: int | None = None) -> None:
        """Raises OSError if `wanted` is taken, or if no port of the range is free."""
        self._socket: socket.socket | None = None
        if wanted is not None:
            self._socket = _bound_socket(wanted)
        else:
            choices = SystemRandom().sample(range(*PORT_RANGE), 200)
            for port in choices:
                with suppress(OSError):
                    self._socket = _bound_socket(port)
                    break
        if self._socket is None:
            raise OSError(f"no free TCP port on {LOOPBACK} between {PORT_RANGE[0]} and {PORT_RANGE[1]}")
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """Let go of the port; called right before the server binds it. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _bound_socket(port: int) -> socket.socket:
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((LOOPBACK, port))
        # With SO_REUSEADDR two unlistening sockets may share a port, so a bind alone does not reserve it.
        holder.listen(1)
    except OSError:
        holder.close()
        raise
    return holder


def _die_with_parent(parent_pid: int, death_signal: int) -> Callable[[], None] | None:
    """For `preexec_fn`: runs after setuid, because a change of identity clears the parent-death signal."""
    prctl = _prctl
    if prctl is None:
        return None

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent_pid:  # the parent died between fork and prctl
            os._exit(1)

    return arm


def spawn(
    command: Sequence[str],
    *,
    log_path: Path,
    environment: Mapping[str, str] | None = None,
    working_directory: Path | None = None,
    account: Account | None = None,
    death_signal: int = signal.SIGKILL,
    inherit_stdout: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output appended to `log_path`.

    On Linux the kernel sends `death_signal` when the calling *thread* ends, so call this from the main thread only.
    With `inherit_stdout` only standard error goes to the log.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=None if inherit_stdout else log,
            stderr=log,
            env=dict(environment) if environment is not None else None,
            cwd=working_directory,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=_die_with_parent(os.getpid(), death_signal),
        )


def signal_group(process: subprocess.Popen[bytes], signal_number: int) -> None:
    """Send a signal to a process and its descendants that stayed in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal_number)


def stop(process: subprocess.Popen[bytes], *, stop_signal: int = signal.SIGTERM, grace_s: float = 5.0) -> int:
    """Ask a process to end, insist after `grace_s`, and leave none of its group behind. Returns its exit status."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.send_signal(stop_signal)
        try:
            process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            signal_group(process, signal.SIGKILL)
    signal_group(process, signal.SIGKILL)
    return process.wait()


def wait_until(condition: Callable[[], bool], *, timeout_s: float, interval_s: float = 0.03) -> bool:
    """Poll until a condition holds; False if it did not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, for error messages."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
