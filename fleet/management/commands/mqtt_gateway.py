"""The process that stores what chargers say over MQTT and delivers their set-points."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from common.errors import PlatformError
from fleet.devices.mqtt.server import MqttGateway, Part


class Command(BaseCommand):
    help = "Store what chargers say over MQTT, and deliver set-points and commands to them."
    requires_system_checks = ()  # `make check` and the migration before the start have run them

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        # the same after a restart: its chargers stay at the broker and their commands go on being its own
        parser.add_argument("--identity", default=f"{socket.gethostname()[:40]}-mqtt", help="its name in the database")
        parser.add_argument("--session", default="v2g-gateway", help="its name at the broker")
        parser.add_argument(
            "--part",
            default=Part.ALL,
            choices=list(Part),
            help="all: everything, alone; speaks: everything, but shares the measurements; ingests: a share of them only, "
            "with a session of its own. One process speaks, any number ingest.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            uvloop.run(self._serve(options["identity"], options["session"], Part(options["part"])))
        except PlatformError as error:
            raise CommandError(str(error)) from error

    async def _serve(self, identity: str, session: str, part: Part) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        gateway = MqttGateway(
            identity=identity, session=session, broker_url=settings.MQTT_URL, ready=self._say_ready, part=part
        )
        await gateway.run(stop)

    def _say_ready(self) -> None:
        self.stdout.write("READY mqtt gateway")
        self.stdout.flush()
