"""Messages between agent and platform."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compute_market.agent import wire

ROOT = Path(__file__).resolve().parents[3]


def test_a_message_survives_the_way() -> None:
    message = wire.SliceMessage(fencing_token=3, sequence=1, cpu_s="0.250000", elapsed_s=1.0, progress_fraction=None)
    assert wire.from_json(wire.SliceMessage, wire.to_json(message)) == message


def test_newer_fields_are_ignored_and_defaults_hold() -> None:
    found = wire.from_json(wire.OfferMessage, {"memory_mib": 64, "colour": "blue"})
    assert found == wire.OfferMessage(memory_mib=64)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "body"),
        ({}, "memory_mib"),
        ({"memory_mib": "64"}, "memory_mib"),
        ({"memory_mib": True}, "memory_mib"),
        ({"memory_mib": 64, "soc_fraction": "full"}, "soc_fraction"),
        ({"memory_mib": 64, "plugged_in": 1}, "plugged_in"),
    ],
)
def test_a_bad_message_names_its_field(value: object, field: str) -> None:
    with pytest.raises(wire.BadMessage) as caught:
        wire.from_json(wire.OfferMessage, value)
    assert caught.value.field == field


def test_instants_need_a_zone() -> None:
    assert wire.parse_instant(None, "departure_at") is None
    with pytest.raises(wire.BadMessage, match="time zone"):
        wire.parse_instant("2026-11-23T12:00:00", "departure_at")


def test_the_agent_loads_nothing_of_the_platform() -> None:
    code = (
        "import sys, compute_market.agent.__main__ as program, compute_market.runners.registry;"
        "ours = {'aggregator', 'grid', 'fleet', 'common', 'tests'};"
        "print([name for name in sys.modules if name.split('.')[0] in ours | {'django', 'rest_framework', 'celery'}"
        " or name.startswith('compute_market.') and name.split('.')[1] not in ('agent', 'runners')])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
