"""What the supervisor shows: labelled lines on standard error, following the log file of every process."""

from __future__ import annotations

import os
import re
import sys
import zlib
from pathlib import Path
from typing import TextIO

MAX_LOG_BYTES = 64 * 1024 * 1024
_LABEL_WIDTH = 18
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_RED, _BOLD = "31", "1"
_IMPORTANT = re.compile(r"\b(WARNING|ERROR|CRITICAL|FATAL|PANIC|Traceback|[A-Za-z.]+(Error|Exception):)")


class Terminal:
    """Prints to standard error, in colour only if a person is looking and has not said NO_COLOR."""

    def __init__(self, *, important_only: bool = False, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.important_only = important_only
        self.quiet = False
        self.coloured = self.stream.isatty() and "NO_COLOR" not in os.environ

    def line(self, label: str, text: str) -> None:
        """One line of a process's log; none while `quiet`, and none but important ones if so wanted."""
        if not self.quiet and (not self.important_only or _IMPORTANT.search(text)):
            self._write(label, text, _RED if " ERROR " in text or " CRITICAL " in text else "")

    def say(self, text: str, *, alarming: bool = False) -> None:
        """One line of the supervisor itself."""
        self._write("supervisor", text, _RED if alarming else _BOLD)

    def _write(self, label: str, text: str, style: str) -> None:
        padded = f"{label:<{_LABEL_WIDTH}}"
        if self.coloured:
            padded = f"\033[{_COLOURS[zlib.crc32(label.encode()) % len(_COLOURS)]}m{padded}\033[0m"
            text = f"\033[{style}m{text}\033[0m" if style else text
        try:
            self.stream.write(f"{padded}| {text}\n")
            self.stream.flush()
        except OSError:  # the terminal is gone; the log files remain
            return


class LogFollower:
    """Hands out the complete lines that a process has appended to its log since last asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        self._position = 0
        self._rest = b""

    def new_lines(self) -> list[str]:
        size = self.path.stat().st_size
        if size == self._position:
            return []
        if size < self._position:
            self._position = 0
        with self.path.open("rb") as file:
            file.seek(self._position)
            block = file.read()
        self._position += len(block)
        *lines, self._rest = (self._rest + block).split(b"\n")
        if self._position > MAX_LOG_BYTES:
            self._start_over()
        return [line.decode(errors="replace").rstrip() for line in lines]

    def _start_over(self) -> None:
        """Keep one older file; the process appends, so it goes on at the beginning of the emptied one."""
        self.path.with_suffix(".log.1").write_bytes(self.path.read_bytes())
        os.truncate(self.path, 0)
        self._position = 0
