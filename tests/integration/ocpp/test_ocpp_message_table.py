"""docs/ocpp-messages.md lists every message of every version, and says of each what the code does."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from fleet.core.station_commands import COMMANDS
from fleet.devices.ocpp import schemas
from fleet.devices.ocpp.requests import BUILDERS
from fleet.devices.ocpp.server import HANDLERS, LISTENERS

ROOT = Path(__file__).resolve().parents[3]
VERSIONS = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1")
# made by the driver itself, which makes the password
WITHOUT_BUILDER = {"new_password"}


def table(heading: str) -> dict[str, dict[str, str]]:
    """Message -> version -> yes, no or –."""
    text = (ROOT / "docs" / "ocpp-messages.md").read_text()
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    names = [row[0].strip() for row in rows]
    assert len(names) == len(set(names)), "a message is listed twice"
    return {row[0].strip(): dict(zip(VERSIONS, (cell.strip() for cell in row[1:4]), strict=True)) for row in rows}


@cache
def sent() -> frozenset[str]:
    """Messages that some module of the gateway names in order to send them."""
    every = frozenset().union(*(schemas.actions(version) for version in VERSIONS))
    found = set()
    for path in (ROOT / "fleet" / "devices" / "ocpp").glob("*.py"):
        if path.name.startswith("handlers") or path.name == "schemas.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in every:
                found.add(node.value)
    return frozenset(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_message_is_listed_with_what_is_done(version: str) -> None:
    incoming, outgoing = table("From the station"), table("To the station")
    served = HANDLERS[version].keys() | LISTENERS[version].keys()
    known = schemas.actions(version)
    for action in known | incoming.keys() | outgoing.keys():
        cells = [part[action][version] for part in (incoming, outgoing) if action in part]
        assert cells, f"{action} is missing in docs/ocpp-messages.md"
        if action not in known:
            assert set(cells) == {"–"}, f"{version} has no {action}"
        if action in incoming and action in known:
            expected = "yes" if action in served else "no"
            assert incoming[action][version] == expected, f"{action} from the station, {version}"
        if action in outgoing and action in known:
            expected = "yes" if action in sent() else "no"
            assert outgoing[action][version] == expected, f"{action} to the station, {version}"
    assert served <= incoming.keys()


def test_nothing_of_1_6_and_2_0_1_is_left_out() -> None:
    for heading in ("From the station", "To the station"):
        for action, cells in table(heading).items():
            assert cells["ocpp1.6"] != "no" and cells["ocpp2.0.1"] != "no", action


def test_every_command_has_a_request_and_every_request_a_command() -> None:
    assert COMMANDS.keys() - WITHOUT_BUILDER <= {str(kind) for kind in BUILDERS}
