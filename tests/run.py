"""Run the tests the way `make test` does: the scenarios beside everything else that needs a place of its own.

A scenario runs the whole platform against the clock, and mostly waits for it; the other tests use what it leaves of the
machine. Its output comes last, in one piece.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
SCENARIOS = TESTS / "scenario"
BROKEN_OFF_STATUS = 130


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("paths", nargs="*")
    arguments = parser.parse_args()
    if arguments.paths:
        return subprocess.run(pytest_command(*arguments.paths)).returncode
    together = ["-n", str(arguments.processes), "--dist", "loadfile"] if arguments.processes > 1 else []
    with tempfile.TemporaryFile() as output:
        scenarios = subprocess.Popen(pytest_command(str(SCENARIOS)), stdout=output, stderr=subprocess.STDOUT)
        try:
            status = subprocess.run(pytest_command(*together, *map(str, other_folders()))).returncode
            scenarios.wait()
        except KeyboardInterrupt:
            scenarios.wait()  # Ctrl-C has reached it as well: it stops its platform first
            return BROKEN_OFF_STATUS
        output.seek(0)
        sys.stdout.write(output.read().decode(errors="replace"))
    return max(status, scenarios.returncode)


def other_folders() -> list[Path]:
    return [
        folder
        for folder in sorted(TESTS.iterdir())
        if folder != SCENARIOS and folder.is_dir() and any(folder.rglob("test_*.py"))
    ]


def pytest_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "--durations=5", *arguments]


if __name__ == "__main__":
    sys.exit(main())
