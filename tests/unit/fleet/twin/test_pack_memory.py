"""A twin of packs that is killed and started again: registers go on, set-points are forgotten."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from fleet.twin.modbus.memory import keep_saving, load
from fleet.twin.modbus.plant import Plant
from fleet.twin.world import parse_world

WORLD = {
    "inverters": [
        {
            "identity": "I",
            "host": "127.0.0.1",
            "port": 1,
            "max_charge_kw": 99,
            "max_discharge_kw": 99,
            "packs": [
                {"identity": name, "device_id": 2, "nameplate_kwh": 24, "max_charge_kw": 20, "max_discharge_kw": 20}
                for name in ("P-1", "P-2")
            ],
        }
    ],
    "meters": [{"identity": "M", "role": "load", "host": "127.0.0.1", "port": 2, "peak_kw": 900}],
}


def plant() -> Plant:
    return Plant(parse_world(WORLD), hour=lambda: 12.0, clock=lambda: 0.0)


def save(of: Plant, path: Path) -> None:
    async def once() -> None:
        stop = asyncio.Event()
        saving = asyncio.create_task(keep_saving(of, path, stop))
        await asyncio.sleep(0.01)
        saving.cancel()

    asyncio.run(once())


def test_registers_energy_and_heat_are_kept_and_setpoints_are_not(tmp_path: Path) -> None:
    world, memory = tmp_path / "world.json", tmp_path / "memory.json"
    world.write_text(json.dumps(WORLD))
    before = plant()
    bank = before.inverters[0].bank
    bank.import_kwh[1], bank.export_kwh[1], bank.energy_kwh[1], bank.temperature_c[1] = 7.0, 3.0, 11.0, 33.0
    bank.control(1, power_kw=-5, fail_safe_kw=0, reverts_at_s=1e9, now_s=0)
    before.meters[0].meter.import_kwh = 1234.0
    save(before, memory)
    after = plant()
    load(after, memory, newer_than=world)
    bank = after.inverters[0].bank
    assert (bank.import_kwh[1], bank.export_kwh[1], bank.energy_kwh[1], bank.temperature_c[1]) == (7.0, 3.0, 11.0, 33.0)
    assert bank.import_kwh[0] == 0.0
    assert not bank.controlled.any()
    assert after.meters[0].meter.import_kwh == 1234.0


def test_the_memory_of_an_older_world_is_not_recalled(tmp_path: Path) -> None:
    world, memory = tmp_path / "world.json", tmp_path / "memory.json"
    before = plant()
    before.inverters[0].bank.import_kwh[0] = 7.0
    save(before, memory)
    world.write_text(json.dumps(WORLD))
    os.utime(memory, (1, 1))
    after = plant()
    load(after, memory, newer_than=world)
    assert after.inverters[0].bank.import_kwh[0] == 0.0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"packs": 1, "meters": {}}'])
def test_a_memory_that_cannot_be_read_is_passed_over(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    world, memory = tmp_path / "world.json", tmp_path / "memory.json"
    world.write_text(json.dumps(WORLD))
    memory.write_text(content)
    load(plant(), memory, newer_than=world)
    assert "cannot be read" in caplog.text
