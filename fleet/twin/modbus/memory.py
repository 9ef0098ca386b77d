"""What real packs and meters keep when their power goes: registers, energy and temperature. Set-points they forget."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

from fleet.twin.modbus.plant import Plant

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 1.0
_PACK_ARRAYS = ("energy_kwh", "temperature_c", "import_kwh", "export_kwh")


def remember(plant: Plant) -> dict[str, Any]:
    """What is to be kept."""
    packs = {
        identity: {name: float(getattr(inverter.bank, name)[index]) for name in _PACK_ARRAYS}
        for inverter in plant.inverters
        for index, identity in enumerate(inverter.bank.identities)
    }
    meters = {
        meter.world.identity: {"import_kwh": meter.meter.import_kwh, "export_kwh": meter.meter.export_kwh}
        for meter in plant.meters
    }
    return {"packs": packs, "meters": meters}


def recall(plant: Plant, kept: dict[str, Any]) -> None:
    """Put back what was kept; packs and meters that are new begin as the world says."""
    for inverter in plant.inverters:
        for index, identity in enumerate(inverter.bank.identities):
            for name, value in kept["packs"].get(identity, {}).items():
                getattr(inverter.bank, name)[index] = value
    for meter in plant.meters:
        values = kept["meters"].get(meter.world.identity, {})
        meter.meter.import_kwh = values.get("import_kwh", 0.0)
        meter.meter.export_kwh = values.get("export_kwh", 0.0)


def load(plant: Plant, path: Path, *, newer_than: Path) -> None:
    """Recall from a file, unless it belongs to a world before this one."""
    if not path.exists() or path.stat().st_mtime < newer_than.stat().st_mtime:
        return
    try:
        recall(plant, json.loads(path.read_text()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        logger.warning("%s cannot be read (%s): all packs begin as the world says", path, error)


async def keep_saving(plant: Plant, path: Path, stop: asyncio.Event) -> None:
    """Save every second until `stop`, in one step, so that a kill never leaves half a file."""
    while not stop.is_set():
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(remember(plant)))
        os.replace(temporary, path)
        await asyncio.sleep(SAVE_EVERY_S)
