"""The process that plays the chargers whose firmware speaks MQTT, and the cars that come to them."""

from __future__ import annotations

import argparse
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from common.errors import PlatformError
from fleet.twin.clock import TwinClock
from fleet.twin.mqtt.park import TICK_S, MqttPark
from fleet.twin.world import load_world

CONNECT_WITHIN_S = 30.0


class Command(BaseCommand):
    help = "Play the MQTT chargers of a world and their cars."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--world", type=Path, default=settings.RUN_DIR / "world.json")
        parser.add_argument("--broker", default=settings.MQTT_URL, help="address of the broker; its user is not used")
        parser.add_argument("--speed", type=float, default=1.0, help="seconds of the world per second")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            world = load_world(options["world"])
        except PlatformError as error:
            raise CommandError(str(error)) from error
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        clock = TwinClock(started_at=datetime.now(UTC), speed=options["speed"])
        park = MqttPark(world, broker_url=options["broker"], clock=clock)
        park.start()
        said = False
        while not stop.wait(TICK_S):
            now = datetime.now(UTC)
            park.tick(now)
            waited_s = (now - clock.started_at).total_seconds()
            if not said and (park.connected_count == len(park.stations) or waited_s > CONNECT_WITHIN_S):
                said = True
                self.stdout.write(f"READY {park.connected_count} of {len(park.stations)} MQTT chargers")
                self.stdout.flush()
        park.stop()
