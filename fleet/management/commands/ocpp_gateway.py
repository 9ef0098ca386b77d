"""The process that charging stations connect to over OCPP 1.6, 2.0.1 and 2.1."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from argparse import ArgumentParser
from typing import Any

import uvloop
from django.core.management.base import BaseCommand

from fleet.devices.ocpp.server import OcppGateway
from fleet.devices.ocpp.station import GatewayTerms


class Command(BaseCommand):
    """Run an OCPP gateway until it is told to stop."""

    help = "Serve charging stations over OCPP 1.6-J, 2.0.1 and 2.1 on one port."
    requires_system_checks = ()  # `make check` and the migration before the start have run them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=9000, help="port to listen on; 0 for a free one (default 9000)")
        parser.add_argument(
            "--identity",
            default=f"{socket.gethostname()[:40]}-{os.getpid()}",
            help="name of this process, unique among gateways (default host-pid)",
        )
        parser.add_argument(
            "--heartbeat-interval", type=int, default=300, help="seconds between heartbeats of stations (default 300)"
        )
        parser.add_argument(
            "--meter-interval",
            type=int,
            default=None,
            help="seconds between meter reports, set in every station that boots (default: each station's own)",
        )
        parser.add_argument("--no-trace", action="store_true", help="keep no trace of messages")

    def handle(self, *args: Any, **options: Any) -> None:
        gateway = OcppGateway(
            identity=options["identity"],
            host=options["host"],
            port=options["port"],
            terms=GatewayTerms(options["heartbeat_interval"], options["meter_interval"]),
            trace=not options["no_trace"],
        )
        uvloop.run(self._serve(gateway))

    async def _serve(self, gateway: OcppGateway) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await gateway.run(stop, lambda: self._announce(gateway))

    def _announce(self, gateway: OcppGateway) -> None:
        self.stdout.write(f"READY ws://{gateway.host}:{gateway.port}")
        self.stdout.flush()
