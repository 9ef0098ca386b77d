"""Rules of the house that no linter knows. Each takes the repository and returns one line for every fault."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

PACKAGES = ("aggregator", "grid", "compute_market", "fleet", "common", "tests", "benchmarks")
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
_NOT_WRITTEN_BY_HAND = {"migrations", "__pycache__", "static"}
PACKAGES_WITH_EDGES = ("aggregator", "grid", "compute_market", "fleet", "common")
_TIMELESS = {"core", "queries", "queries.py", "operations", "common"}
_CLOCKS = {"timezone.now", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today", "time.time"}
# such as sentence.charge.plan: names a message instead of being it
_SYMBOLIC = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}|%[sd]")


def modules(repository: Path) -> Iterator[Path]:
    """Every Python file that a person wrote."""
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            if not _NOT_WRITTEN_BY_HAND & set(path.relative_to(repository).parts):
                yield path


def faults_of_size(repository: Path) -> list[str]:
    """Modules and functions that have outgrown what can be read at once."""
    faults = []
    for path in modules(repository):
        text = path.read_text()
        name, length = path.relative_to(repository), text.count("\n")
        if length > MAX_MODULE_LINES:
            faults.append(f"{name}: {length} lines, at most {MAX_MODULE_LINES}; split it")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = _lines_of_code(node)
                if lines > MAX_FUNCTION_LINES:
                    faults.append(
                        f"{name}:{node.lineno}: {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}; split it"
                    )
    return faults


def _lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its length without its docstring: nobody shall save on explaining."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def faults_of_clock(repository: Path) -> list[str]:
    """Below the edge nobody looks at the clock: `now` is an argument."""
    faults = []
    for path in modules(repository):
        if path.relative_to(repository).parts[0] in PACKAGES_WITH_EDGES and _TIMELESS & set(path.parts):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in _CLOCKS:
                    faults.append(
                        f"{path.relative_to(repository)}:{node.lineno}: {ast.unparse(node.func)}(); "
                        "take `now` as an argument"
                    )
    return faults


def faults_of_lock_files(repository: Path) -> list[str]:
    """Lock files must install anywhere: hashes for everything, and no address of an index or a machine."""
    faults = []
    for path in sorted(repository.glob("tests/*/package-lock.json")):
        locked = json.loads(path.read_text())["packages"]
        faults += [f"{path.name}: {name} has no hash" for name in locked if name and "integrity" not in locked[name]]
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if re.search(r"https?://|file:", line):
                faults.append(f"{path.name}:{number}: holds an address: {line.strip()}")
    for path in sorted(repository.glob("requirements*.lock")):
        requirement = ""
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if re.search(r"https?://|file:|--(extra-)?index-url|--find-links|(?<![\w.])/\w+/", line):
                faults.append(f"{path.name}:{number}: holds an address: {line.strip()}")
            if re.match(r"[A-Za-z0-9]", line):
                requirement = line
                if not line.endswith("\\"):
                    faults.append(f"{path.name}:{number}: {requirement} has no hash")
    return faults


def faults_of_translations(repository: Path) -> list[str]:
    """Every message is translated, in every language, with the same placeholders."""
    faults: list[str] = []
    catalogues: dict[Path, dict[str, dict[str, Message]]] = {}
    for path in sorted(p for name in PACKAGES for p in repository.glob(f"{name}/**/locale/*/LC_MESSAGES/*.po")):
        messages = {_texts(message.id)[0]: message for message in _catalogue(path) if message.id}
        catalogues.setdefault(path.parents[2], {})[path.parents[1].name] = messages
        name = path.relative_to(repository)
        for message in messages.values():
            faults += [f"{name}:{message.lineno}: {fault}" for fault in _faults_of_message(message)]
    for languages in catalogues.values():
        faults += _differences(languages)
    return faults


def _differences(languages: dict[str, dict[str, Message]]) -> Iterator[str]:
    """What one language has and another lacks: a message, or a placeholder in it."""
    for key in sorted(set().union(*languages.values())):
        having = {language: messages[key] for language, messages in languages.items() if key in messages}
        for language in languages.keys() - having.keys():
            yield f"{language}: {key!r} is missing"
        placeholders = {language: _placeholders(message.string) for language, message in having.items()}
        if len(set(placeholders.values())) > 1:
            yield f"{key!r}: placeholders differ: { ({name: sorted(found) for name, found in placeholders.items()}) }"


def _faults_of_message(message: Message) -> Iterator[str]:
    source = _texts(message.id)[0]
    if not all(_texts(message.string)):
        yield f"{source!r} has no translation"
    elif message.fuzzy:
        yield f"{source!r} is marked fuzzy"
    elif not _SYMBOLIC.fullmatch(source) and _placeholders(message.string) - _placeholders(message.id):
        yield f"{source!r}: its translation has placeholders that the message has not"


def _catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


def _texts(text: str | list[str] | tuple[str, ...]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def _placeholders(text: str | list[str] | tuple[str, ...]) -> frozenset[str]:
    return frozenset(_PLACEHOLDER.findall(" ".join(_texts(text))))
