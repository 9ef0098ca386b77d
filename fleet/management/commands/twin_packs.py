"""The process that plays the hub: packs behind inverters, the stadium's load and its photovoltaics."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from common.errors import PlatformError
from fleet.twin.modbus.memory import keep_saving, load
from fleet.twin.modbus.plant import Plant, follow_faults, hour_of
from fleet.twin.world import load_world


class Command(BaseCommand):
    help = "Play the packs, inverters and meters of a world over Modbus TCP."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--world", type=Path, default=settings.RUN_DIR / "world.json")
        parser.add_argument(
            "--faults",
            type=Path,
            default=settings.RUN_DIR / "pack-faults.json",
            help='a file such as {"PACK-003": "silent"}, read again whenever it changes',
        )
        parser.add_argument("--time-zone", default="Europe/Amsterdam", help="of the site, for its daily profiles")
        parser.add_argument("--hour", type=float, default=None, help="keep the profiles at this hour of the day")

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        try:
            uvloop.run(self._play(**options))
        except PlatformError as error:
            raise CommandError(str(error)) from error

    async def _play(self, *, world: Path, faults: Path, time_zone: str, hour: float | None, **_: Any) -> None:
        try:
            zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise CommandError(f"--time-zone: {time_zone!r} is not an IANA name such as Europe/Amsterdam") from error
        plant = Plant(load_world(world), hour=lambda: hour_of(datetime.now(zone)) if hour is None else hour)
        memory = world.with_name("pack-memory.json")
        load(plant, memory, newer_than=world)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await plant.listen()
        parts = [
            asyncio.create_task(plant.run(stop)),
            asyncio.create_task(follow_faults(plant, faults, stop)),
            asyncio.create_task(keep_saving(plant, memory, stop)),
        ]
        self.stdout.write(f"READY {plant.pack_count} packs behind {len(plant.inverters)} inverters")
        self.stdout.flush()
        stopping = asyncio.create_task(stop.wait())
        # whichever ends first: told to stop, or broken
        await asyncio.wait((stopping, *parts), return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await asyncio.gather(*parts)
        await plant.close()
