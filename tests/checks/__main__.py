"""Run every check, one after the other; all of them, so that one run shows everything that is to be mended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.checks.house import faults_of_clock, faults_of_lock_files, faults_of_size, faults_of_translations

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

COMMANDS: dict[str, list[str]] = {
    "format": [str(BIN / "ruff"), "format", "--check", "--quiet", "."],
    "lint": [str(BIN / "ruff"), "check", "--quiet", "."],
    "import contracts": [str(BIN / "lint-imports"), "--no-cache"],
    "Django": [sys.executable, "manage.py", "check"],
    "migrations": [sys.executable, "-W", "ignore", "manage.py", "makemigrations", "--check", "--dry-run"],
    "types": [str(BIN / "mypy")],
}
RULES: dict[str, Callable[[Path], list[str]]] = {
    "sizes": faults_of_size,
    "clocks": faults_of_clock,
    "lock files": faults_of_lock_files,
    "translations": faults_of_translations,
}


def main() -> int:
    failed = []
    for name, command in COMMANDS.items():
        started = time.monotonic()
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        report(name, done.returncode == 0, (done.stdout + done.stderr).splitlines(), time.monotonic() - started)
        failed += [name] if done.returncode else []
    for name, rule in RULES.items():
        started = time.monotonic()
        faults = rule(REPOSITORY)
        report(name, not faults, faults, time.monotonic() - started)
        failed += [name] if faults else []
    print(f"\n{'failed: ' + ', '.join(failed) if failed else 'all checks passed'}")
    return 1 if failed else 0


def report(name: str, passed: bool, lines: list[str], seconds: float) -> None:
    print(f"{'ok    ' if passed else 'FAILED'}  {name:<18} {seconds:5.1f} s", flush=True)
    if not passed:
        print("\n".join(f"        {line}" for line in lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())
