"""Run the tests the way `make test` does: what can share the machine in parallel, the scenarios after it and alone.

A scenario runs the whole platform against the clock; beside other tests it would measure them, not itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
ALONE = TESTS / "scenario"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("paths", nargs="*")
    arguments = parser.parse_args()
    together = ["-n", str(arguments.processes), "--dist", "loadfile"] if arguments.processes > 1 else []
    if arguments.paths:
        return run([*arguments.paths])
    folders = [folder for folder in sorted(TESTS.iterdir()) if folder.is_dir() and any(folder.rglob("test_*.py"))]
    parallel = [str(folder) for folder in folders if folder != ALONE]
    statuses = [run([*together, *parallel])]
    if ALONE in folders:
        statuses.append(run([str(ALONE)]))
    return max(statuses)


def run(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "--durations=5", *arguments]).returncode


if __name__ == "__main__":
    sys.exit(main())
