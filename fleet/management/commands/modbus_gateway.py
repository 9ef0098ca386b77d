"""The process that reads packs and meters over Modbus and delivers their schedules."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from typing import Any

import uvloop
from django.core.management.base import BaseCommand

from fleet.devices.modbus.server import ModbusGateway


class Command(BaseCommand):
    help = "Read every pack and meter once a second over Modbus and deliver power schedules to the packs."
    requires_system_checks = ()  # `make check` and the migration before the start have run them

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--identity",
            default=f"{socket.gethostname()[:40]}-{os.getpid()}",
            help="name of this process in the database",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # the library logs every lost frame; the gateway says once what matters
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        uvloop.run(self._serve(options["identity"]))

    async def _serve(self, identity: str) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await ModbusGateway(identity=identity, ready=self._say_ready).run(stop)

    def _say_ready(self) -> None:
        self.stdout.write("READY modbus gateway")
        self.stdout.flush()
