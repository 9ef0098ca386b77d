"""The run directory: one supervisor at a time, its logs, and the files by which other programs find the platform."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from common.errors import Conflict

_NUMBERED = 20


class RunDirectory:
    """Locked for the life of this process; the lock goes with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Raises Conflict if another supervisor holds the directory."""
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _try_lock(path)
        if self._lock is None:
            raise Conflict(
                f"a platform already runs there (process {running_pid(path) or 'unknown'}).",
                field=str(path),
                remedy="Stop it with `make down`, or set PLATFORM_RUN_DIR to another folder.",
            )
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        for log in self.logs.glob("*.log*"):  # of the run before
            log.unlink()
        self.withdraw()

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def published(self) -> tuple[Path, Path]:
        """The files that exist while the platform can be reached."""
        return self.path / "platform.json", self.path / "env"

    def publish(self, *, environment: Mapping[str, str], addresses: Mapping[str, object]) -> None:
        """Tell other programs how to reach the platform; the environment holds secrets and is readable by its owner."""
        self._replace("env", "".join(f"{name}={value}\n" for name, value in environment.items()))
        self._replace("platform.json", json.dumps({**addresses, "pid": os.getpid()}, indent=2) + "\n")

    def withdraw(self) -> None:
        """The platform cannot be reached (any more)."""
        for path in self.published:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        self.withdraw()
        if self._lock is not None:
            self._lock.close()

    def _replace(self, name: str, text: str) -> None:
        temporary = self.path / f"{name}.new"
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        temporary.replace(self.path / name)


def first_free(path: Path) -> RunDirectory:
    """`path`, or the first of `path-2`, `path-3` … that no other supervisor holds: runs side by side never meet."""
    for number in range(1, _NUMBERED):
        with suppress(Conflict):
            return RunDirectory(path if number == 1 else path.with_name(f"{path.name}-{number}"))
    raise Conflict(
        f"{_NUMBERED} platforms already run there.", field=str(path), remedy="Stop some of them with Ctrl-C."
    )


def running_pid(path: Path) -> int | None:
    """The supervisor that holds a run directory; None if nobody does."""
    if not (path / "lock").exists():
        return None
    probe = _try_lock(path)
    if probe is not None:
        probe.close()
        return None
    with suppress(ValueError, OSError):
        return int((path / "lock").read_text())
    return None


def _try_lock(path: Path) -> IO[str] | None:
    lock = (path / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock
