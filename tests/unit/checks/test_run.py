"""How `make test` judges what failed beside the others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.run import MOST_JUDGED_ALONE, failed_tests, judged_alone, pytest_command, remembering

HASTY = """
from pathlib import Path

def test_fails_the_first_time():
    mark = Path(__file__).with_suffix(".ran")
    ran, _ = mark.exists(), mark.touch()
    assert ran
"""
BROKEN = "def test_is_broken():\n    assert False\n"


def run(folder: Path, memory: Path) -> int:
    return subprocess.run(pytest_command(*remembering(memory), str(folder)), capture_output=True).returncode


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is needed here, and each run of pytest would load them all."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_sound.py").write_text("def test_is_sound():\n    pass\n")
    return folder


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "memory"


def test_a_sound_run_is_left_as_it_is(folder: Path, memory: Path) -> None:
    assert judged_alone(run(folder, memory), memory, [str(folder)]) == 0


def test_what_passes_alone_passes_and_is_named(folder: Path, memory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_hasty.py").write_text(HASTY)
    status = run(folder, memory)
    assert (status, len(failed_tests(memory))) == (1, 1)
    assert judged_alone(status, memory, [str(folder)]) == 0
    said = capfd.readouterr().out
    assert "1 passed" in said
    assert "UNSTABLE" in said.split("1 passed")[1]
    assert "test_fails_the_first_time" in said.split("UNSTABLE")[1]


def test_what_fails_alone_as_well_has_failed(folder: Path, memory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_hasty.py").write_text(HASTY)
    (folder / "test_broken.py").write_text(BROKEN)
    assert judged_alone(run(folder, memory), memory, [str(folder)]) == 1
    assert "UNSTABLE" not in capfd.readouterr().out


def test_many_failures_and_broken_files_get_no_second_chance(
    folder: Path, memory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(MOST_JUDGED_ALONE + 1):
        (folder / f"test_hasty_{number}.py").write_text(HASTY)
    assert judged_alone(run(folder, memory), memory, [str(folder)]) == 1
    (folder / "test_unreadable.py").write_text("import nothing_of_that_name\n")
    assert judged_alone(run(folder, memory), memory, [str(folder)]) == 2
    assert "once more" not in capfd.readouterr().out


def test_processes_that_collected_different_tests_get_no_second_chance(
    folder: Path, memory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    remembered = memory / "v" / "cache" / "lastfailed"
    remembered.parent.mkdir(parents=True)
    remembered.write_text('{"gw1": true}')
    assert judged_alone(1, memory, [str(folder)]) == 1
    assert "once more" not in capfd.readouterr().out
