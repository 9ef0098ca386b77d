"""Clears up after a supervisor that was killed. Run as a script; imports the standard library only.

The supervisor holds the other end of our standard input and writes one instruction a line:

    watch PID SIGNAL    a process group that must not outlive the supervisor, and the signal that ends it
    forget PID          that group has ended
    directory PATH      a temporary directory to remove
    file PATH           a file to remove
    done                the supervisor has cleared up by itself: leave

End of input without `done` means that the supervisor is gone: end every group, remove every directory.
This also serves systems without a parent-death signal, and grandchildren that such a signal does not reach.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress

GRACE_S = 2.0


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_groups(groups: dict[int, int]) -> None:
    """Each with its own signal (PostgreSQL frees its shared memory on SIGQUIT), then SIGKILL for what is left."""
    for group, signal_number in groups.items():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal_number)
    deadline = time.monotonic() + GRACE_S
    while any(alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def main() -> None:
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    directories: list[str] = []
    files: list[str] = []
    for line in sys.stdin:
        verb, _, argument = line.strip().partition(" ")
        if verb == "watch":
            group, _, ending = argument.partition(" ")
            groups[int(group)] = int(ending)
        elif verb == "forget":
            groups.pop(int(argument), None)
        elif verb == "directory":
            directories.append(argument)
        elif verb == "file":
            files.append(argument)
        elif verb == "done":
            return
    end_groups(groups)
    for file in files:
        with suppress(OSError):
            os.unlink(file)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
