"""The private temporary directory of one run, its guardian, and the sweep of what a killed run left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

PREFIX = "v2g-run-"
_OWNER_FILE = "owner.json"


def _start_of(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _temporary_root() -> Path:
    """A directory for temporary files that an unprivileged account can enter too."""
    for candidate in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        path = candidate.resolve()
        if path.is_dir() and os.access(path, os.W_OK) and everyone_can_enter(path):
            return path
    return Path(tempfile.gettempdir())


def everyone_can_enter(path: Path) -> bool:
    """Whether every directory on the way to `path` lets any account pass."""
    return all(os.stat(folder).st_mode & stat.S_IXOTH for folder in (path, *path.parents))


class Workspace:
    """Owns the directory and the guardian; `watch` every process started, `close` at the end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_temporary_root()))
        if os.geteuid() == 0:
            self.path.chmod(0o711)  # the server that drops its privileges must reach its own directory inside
        self._groups: dict[str, float | None] = {}
        self._write_owner()
        self._pid = os.getpid()
        self._instructions: list[str] = []
        self._guardian = _start_guardian()
        self._tell(f"directory {self.path}")

    def watch(self, pid: int, *, ending: int = signal.SIGKILL) -> None:
        """Note a process group that must not outlive us, and the signal that ends it."""
        self._groups[str(pid)] = _start_of(pid)
        self._write_owner()
        self._tell(f"watch {pid} {int(ending)}")

    def forget(self, pid: int) -> None:
        """A watched process group has ended."""
        self._groups.pop(str(pid), None)
        self._write_owner()
        self._instructions = [line for line in self._instructions if not line.startswith(f"watch {pid} ")]
        self._tell(f"forget {pid}", remember=False)

    def tend(self) -> None:
        """Replace a guardian that was killed, and tell the new one what the old one knew."""
        if self._guardian.poll() is not None:
            self._guardian = _start_guardian()
            instructions, self._instructions = self._instructions, []
            for line in instructions:
                self._tell(line)

    def remove_with_us(self, *paths: Path) -> None:
        """Files elsewhere that are false once this process is gone, however it goes."""
        for path in paths:
            self._tell(f"file {path.resolve()}")

    def close(self) -> None:
        """Remove the directory and dismiss the guardian. Idempotent; a forked child does nothing."""
        if os.getpid() != self._pid or self._guardian.stdin is None or self._guardian.stdin.closed:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        self._tell("done")
        with suppress(OSError):
            self._guardian.stdin.close()
        try:
            self._guardian.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()

    def _tell(self, line: str, *, remember: bool = True) -> None:
        if remember:
            self._instructions.append(line)
        if self._guardian.stdin is None:
            return
        with suppress(OSError, ValueError):
            self._guardian.stdin.write(f"{line}\n".encode())
            self._guardian.stdin.flush()

    def _write_owner(self) -> None:
        owner = {"pid": os.getpid(), "started": _start_of(os.getpid()), "groups": self._groups}
        (self.path / _OWNER_FILE).write_text(json.dumps(owner))


def _start_guardian() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("guardian.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def sweep() -> list[Path]:
    """End the processes and remove the directories of runs whose supervisor is gone. Returns what was removed."""
    removed = []
    for path in _temporary_root().glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                continue
            owner = json.loads((path / _OWNER_FILE).read_text())
            if _start_of(owner["pid"]) == owner["started"]:
                continue
            for pid, started in owner["groups"].items():
                if started is not None and _start_of(int(pid)) == started:
                    with suppress(ProcessLookupError):
                        os.killpg(int(pid), signal.SIGKILL)
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed
