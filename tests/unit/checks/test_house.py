"""The rules of the house find what they are meant to find, and nothing in a tidy tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.checks.house import faults_of_clock, faults_of_lock_files, faults_of_size, faults_of_translations

CATALOGUE = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_long_modules_and_functions_are_named(tmp_path: Path) -> None:
    write(tmp_path, "fleet/long.py", "x = 1\n" * 401)
    write(tmp_path, "fleet/body.py", "def work():\n" + "    x = 1\n" * 61)
    write(tmp_path, "fleet/explained.py", 'def work():\n    """Why.\n' + "    more\n" * 80 + '    """\n    return 1\n')
    write(tmp_path, "fleet/migrations/0001_initial.py", "x = 1\n" * 1000)
    faults = faults_of_size(tmp_path)
    assert len(faults) == 2
    assert "fleet/body.py:1: work has 62 lines" in faults[0]
    assert "fleet/long.py: 401 lines" in faults[1]


@pytest.mark.parametrize("call", ["timezone.now()", "datetime.now(UTC)", "time.time()", "date.today()"])
def test_clocks_are_found_below_the_edge_only(tmp_path: Path, call: str) -> None:
    write(tmp_path, "grid/core/settlement.py", f"x = {call}\n")
    write(tmp_path, "grid/operations/events.py", f"def f():\n    return {call}\n")
    write(tmp_path, "grid/api/events.py", f"x = {call}\n")
    assert [fault.partition(":")[0] for fault in faults_of_clock(tmp_path)] == [
        "grid/core/settlement.py",
        "grid/operations/events.py",
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("--index-url https://example.invalid/simple", "address"),
        ("    # via -r /home/someone/requirements.in", "address"),
        ("django==5.2", "no hash"),
        ("django==5.2 \\\n    --hash=sha256:00", None),
    ],
)
def test_lock_files_are_portable(tmp_path: Path, line: str, fault: str | None) -> None:
    write(tmp_path, "requirements.lock", f"{line}\n")
    faults = faults_of_lock_files(tmp_path)
    assert faults == [] if fault is None else fault in faults[0]


@pytest.mark.parametrize(
    ("english", "japanese", "fault"),
    [
        ("{kw} kW", "{kw} キロワット", None),
        ("{kw} kW", "", "no translation"),
        ("{kw} kW", "キロワット", "placeholders differ"),
        ("{kw} kW", None, "is missing"),
    ],
)
def test_translations_are_complete(tmp_path: Path, english: str, japanese: str | None, fault: str | None) -> None:
    folder = "aggregator/portal/locale/{}/LC_MESSAGES/django.po"
    write(tmp_path, folder.format("en"), f'{CATALOGUE}msgid "sentence.power"\nmsgstr "{english}"\n')
    entry = "" if japanese is None else f'msgid "sentence.power"\nmsgstr "{japanese}"\n'
    write(tmp_path, folder.format("ja"), f"{CATALOGUE}{entry}")
    faults = faults_of_translations(tmp_path)
    assert faults == [] if fault is None else fault in " ".join(faults)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"integrity": "sha512-00"}, None),
        ({}, "has no hash"),
        ({"integrity": "sha512-00", "resolved": "https://a.registry/left-pad.tgz"}, "holds an address"),
        ({"integrity": "sha512-00", "funding": {"url": "http://give.example"}}, "holds an address"),
    ],
)
def test_lock_files_of_other_languages_are_portable_too(
    tmp_path: Path, entry: dict[str, Any], fault: str | None
) -> None:
    packages = {"": {"name": "ours"}, "node_modules/left-pad": entry}
    write(tmp_path, "tests/third_party/package-lock.json", json.dumps({"packages": packages}, indent=1))
    faults = faults_of_lock_files(tmp_path)
    assert [fault in found for found in faults] == [True] if fault else faults == []
