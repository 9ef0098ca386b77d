"""The process that charging stations connect to over OCPP 1.6, 2.0.1 and 2.1."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from fleet.devices.ocpp.encryption import EncryptionFiles
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
        parser.add_argument(
            "--tls-port", type=int, default=None, help="port of TLS (security profiles 2 and 3); default: none"
        )
        parser.add_argument(
            "--certificates",
            default=settings.OCPP_CERTIFICATES,
            help="folder of create_ca and issue_server_certificate (default: OCPP_CERTIFICATES)",
        )
        parser.add_argument(
            "--behind-tls-proxy",
            action="store_true",
            help="the port without TLS is reached through a proxy that ends it, and in no other way",
        )
        parser.add_argument(
            "--allow-no-password", action="store_true", help="security profile 0; for demonstrations only"
        )
        parser.add_argument(
            "--mqtt-tunnel",
            action="store_true",
            help="also serve stations that speak OCPP through the MQTT broker (MQTT_URL); one process does",
        )
        parser.add_argument("--no-trace", action="store_true", help="keep no trace of messages")

    def handle(self, *args: Any, **options: Any) -> None:
        encryption = None
        if options["tls_port"] is not None:
            if not options["certificates"]:
                raise CommandError("say where the certificates are: --certificates or OCPP_CERTIFICATES")
            encryption = EncryptionFiles.of(Path(options["certificates"]))
        gateway = OcppGateway(
            identity=options["identity"],
            host=options["host"],
            port=options["port"],
            terms=GatewayTerms(options["heartbeat_interval"], options["meter_interval"]),
            trace=not options["no_trace"],
            encryption=encryption,
            encrypted_port=options["tls_port"] or 0,
            behind_tls=options["behind_tls_proxy"],
            allow_no_password=options["allow_no_password"],
            tunnel_url=settings.MQTT_URL if options["mqtt_tunnel"] else "",
        )
        _raise_file_limit()
        uvloop.run(self._serve(gateway))

    async def _serve(self, gateway: OcppGateway) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await gateway.run(stop, lambda: self._announce(gateway))

    def _announce(self, gateway: OcppGateway) -> None:
        self.stdout.write(f"READY ws://{gateway.host}:{gateway.port}")
        if gateway.encrypted_port:
            self.stdout.write(f"READY wss://{gateway.host}:{gateway.encrypted_port}")
        self.stdout.flush()


def _raise_file_limit() -> None:
    """Every station is an open file, and systems give a process 1,024 unless it asks for more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
