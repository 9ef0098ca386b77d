"""The program that plays the stations: its command, its control port, its patience."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
from django.core.management import CommandError, call_command

from common.errors import InvalidInput
from fleet.twin.control import ask_control
from fleet.twin.ocpp.client import BackOff
from fleet.twin.ocpp.program import ChargerProgram
from fleet.twin.world import parse_world
from tests.conformance.stage import ROOT, world


def test_the_command_says_when_it_is_ready_takes_orders_and_stops(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text(json.dumps(world("ocpp2.0.1", plug_in_s=0.0)))
    command = [sys.executable, "manage.py", "twin_chargers", "--world", str(tmp_path / "world.json")]
    process = subprocess.Popen(
        [*command, "--url", "ws://127.0.0.1:9"], cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("READY twin_chargers stations=1 ")
        port = int(ready.rsplit(":", 1)[1])
        assert ask_control(port, do="fault", station="CP", fault="stuck_meter")["faults"] == ["stuck_meter"]
        assert ask_control(port, do="clear", station="CP")["faults"] == []
        assert ask_control(port, do="show")["stations"][0]["station"] == "CP"
        for wrong, said in (
            ({"do": "dance"}, "this twin does"),
            ({"do": "fault", "station": "CP", "fault": "rust"}, "a station can have"),
            ({"do": "show", "station": "CP-9"}, "no station"),
            ({"do": "plug_in"}, "missing"),
        ):
            with pytest.raises(InvalidInput, match=said):
                ask_control(port, **wrong)
    finally:
        asked_at = monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    # two seconds is what the supervisor gives; a machine under load may take a little longer
    assert monotonic() - asked_at < 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"world": Path("none.json")}, "none.json cannot be read.*seed_portfolio"),
        ({"speed": 0.0}, "--speed must be above 0"),
        ({"url": "http://127.0.0.1:9"}, "is no WebSocket address"),
    ],
)
def test_the_command_refuses_what_it_cannot_play(options: dict, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("twin_chargers", **options)


def test_waiting_between_attempts_grows_and_differs_from_station_to_station() -> None:
    program = ChargerProgram(parse_world(world("ocpp2.1")), url="ws://127.0.0.1:9")
    chance = program.park.stations["CP"].random
    waits = [BackOff(1.0, 20.0, 2.0).wait_s(attempt, chance) for attempt in range(8)]
    assert all(min(2**attempt, 20) <= wait <= min(2**attempt, 20) + 2 for attempt, wait in enumerate(waits))
    assert len(set(waits)) == 8
    assert timedelta(seconds=max(waits)) <= timedelta(seconds=22)
