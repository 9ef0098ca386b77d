"""Run the tests the way `make test` does: the scenarios beside everything else that needs a place of its own.

A scenario runs the whole platform against the clock, and mostly waits for it; the other tests use what it leaves of the
machine. Its output comes last, in one piece.

A few tests that failed in that crowd are judged once more, alone: what fails then has failed. What passes then is named
at the end as unstable: either the test is too hasty or the product has a race, and both are to be mended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SCENARIOS = TESTS / "scenario"
BROKEN_OFF_STATUS = 130
# more than a few are no accident of the crowd
MOST_JUDGED_ALONE = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("paths", nargs="*")
    arguments = parser.parse_args()
    if arguments.paths:
        return subprocess.run(pytest_command(*arguments.paths)).returncode
    together = ["-n", str(arguments.processes), "--dist", "loadfile"] if arguments.processes > 1 else []
    rest_folders = [str(folder) for folder in other_folders()]
    with tempfile.TemporaryDirectory() as memory, tempfile.TemporaryFile() as output:
        scenario_memory, rest_memory = Path(memory) / "scenarios", Path(memory) / "rest"
        scenarios = subprocess.Popen(
            pytest_command(*remembering(scenario_memory), str(SCENARIOS)), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            rest = subprocess.run(pytest_command(*remembering(rest_memory), *together, *rest_folders))
            scenarios.wait()
            output.seek(0)
            sys.stdout.write(output.read().decode(errors="replace"))
            sys.stdout.flush()
            return max(
                judged_alone(rest.returncode, rest_memory, rest_folders),
                judged_alone(scenarios.returncode, scenario_memory, [str(SCENARIOS)]),
            )
        except KeyboardInterrupt:
            scenarios.wait()  # Ctrl-C has reached it as well: it stops its platform first
            return BROKEN_OFF_STATUS


def judged_alone(status: int, memory: Path, folders: list[str]) -> int:
    """The status of a run after the few tests that failed in it had the machine to themselves."""
    failed = failed_tests(memory)
    # what has no "::" is a file or a process that could not even say which tests it has
    tests_alone = all("::" in name for name in failed) and 1 <= len(failed) <= MOST_JUDGED_ALONE
    if status != pytest.ExitCode.TESTS_FAILED or not tests_alone:
        return status
    print(f"\n{len(failed)} failed beside the others and run once more, alone:", *failed, sep="\n  ", flush=True)
    again = subprocess.run(pytest_command(*remembering(memory), "--last-failed", *folders)).returncode
    if again == 0:
        print("\nUNSTABLE: passed alone, failed beside the others. Mend them:", *failed, sep="\n  ", flush=True)
    return again


def failed_tests(memory: Path) -> list[str]:
    """What a run that remembered there says has failed; empty if nothing has."""
    remembered = memory / "v" / "cache" / "lastfailed"
    return sorted(json.loads(remembered.read_text())) if remembered.exists() else []


def remembering(memory: Path) -> list[str]:
    return ["-o", f"cache_dir={memory}"]


def other_folders() -> list[Path]:
    return [
        folder
        for folder in sorted(TESTS.iterdir())
        if folder != SCENARIOS and folder.is_dir() and any(folder.rglob("test_*.py"))
    ]


def pytest_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "--durations=30", *arguments]


if __name__ == "__main__":
    sys.exit(main())
