"""Runs the agents of the twin's on-board computers, each a process of its own, while their cars are plugged in."""

from __future__ import annotations

import os
import signal
import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from common.errors import PlatformError
from compute_market.management.agents import CHECK_S, Keeper, Stay
from fleet.twin.world import World, load_world

STOP_WITHIN_S = 1.5


class Command(BaseCommand):
    help = "Run one agent for every computer of the world file, from its car's plug-in until its departure."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        run_dir = Path(settings.RUN_DIR)
        parser.add_argument("--world", type=Path, default=run_dir / "world.json", help="the world file to play")
        parser.add_argument("--url", default=os.environ.get("PLATFORM_WEB_URL", ""), help="web address of the platform")
        parser.add_argument("--speed", type=float, default=1.0, help="seconds of the world per second")
        parser.add_argument("--notice-s", type=float, default=6.0, help="notice before a car leaves, in real seconds")
        parser.add_argument(
            "--duty-fraction",
            type=float,
            default=0.25,
            help="part of the time in which a job may compute on this machine",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["url"].startswith(("http://", "https://")):
            raise CommandError(f"--url {options['url']!r} is no web address; write http://HOST:PORT.")
        if not options["speed"] > 0 or not 0 < options["duty_fraction"] <= 1 or options["notice_s"] < 0:
            raise CommandError(
                "--speed must be above 0, --duty-fraction above 0 and at most 1, --notice-s not negative."
            )
        try:
            world = load_world(options["world"])
        except PlatformError as error:
            raise CommandError(str(error)) from error
        keeper = Keeper(
            stays=stays_of(world, options["speed"]),
            url=options["url"],
            duty_fraction=options["duty_fraction"],
            notice_s=options["notice_s"],
        )
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write(f"READY twin_computers computers={len(keeper.stays)}")
        self.stdout.flush()
        began = time.monotonic()
        try:
            while not stop.wait(CHECK_S):
                keeper.keep(time.monotonic() - began)
        finally:
            keeper.stop(STOP_WITHIN_S)


def stays_of(world: World, speed: float) -> tuple[Stay, ...]:
    """When which computer's car is plugged in, in real seconds."""
    cars = {car.identity: car for car in world.cars}
    stays = []
    for computer in world.computers:
        car = cars[computer.car]
        unplug_s = car.unplug_s if car.unplug_s is not None else car.departure_in_s
        stays.append(
            Stay(
                identity=computer.identity,
                token=computer.token,
                memory_mib=max(64, computer.memory_mib // 4),
                plug_in_s=car.plug_in_s / speed,
                unplug_s=unplug_s / speed,
                departure_s=car.departure_in_s / speed,
            )
        )
    return tuple(stays)
