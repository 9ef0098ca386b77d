"""Runs every OCPP charging station of the twin's world, each with its cars, in one process."""

from __future__ import annotations

import asyncio
import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from common.errors import PlatformError
from fleet.twin.control import port_of, serve_control
from fleet.twin.journal import Journal
from fleet.twin.memory import Memory
from fleet.twin.ocpp.program import ChargerProgram
from fleet.twin.world import load_world


class Command(BaseCommand):
    help = (
        "Run the OCPP charging stations of the digital twin. The control port takes one JSON object a line, for "
        'example {"do": "fault", "station": "CP-000001", "fault": "drop_connection", "for_s": 20}; '
        "see fleet/twin/control.py."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        run_dir = Path(settings.RUN_DIR)
        parser.add_argument("--world", type=Path, default=run_dir / "world.json", help="the world file to play")
        parser.add_argument("--url", default=settings.OCPP_URL, help="address of the central system, ws:// or wss://")
        parser.add_argument("--secure-url", default="", help="its address with TLS, for security profiles 2 and 3")
        parser.add_argument(
            "--memory",
            type=Path,
            default=None,
            help="where stations keep what they must not forget (default: by the world)",
        )
        parser.add_argument("--speed", type=float, default=1.0, help="seconds of the world per second")
        parser.add_argument(
            "--journal", type=Path, default=run_dir / "acknowledged.jsonl", help="what was acknowledged"
        )
        parser.add_argument("--control-port", type=int, default=0, help="loopback port to take orders on; 0 picks one")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["speed"] > 0:
            raise CommandError("--speed must be above 0.")
        if not options["url"].startswith(("ws://", "wss://")):
            raise CommandError(f"--url {options['url']!r} is no WebSocket address; write ws://HOST:PORT.")
        try:
            world = load_world(options["world"])
        except PlatformError as error:
            raise CommandError(str(error)) from error
        where = options["memory"] or options["world"].with_suffix(".chargers.json")
        memory = Memory(where, options["world"].read_bytes())
        program = ChargerProgram(
            world, url=options["url"], secure_url=options["secure_url"], speed=options["speed"], memory=memory
        )
        journal = Journal(options["journal"])
        for client in program.clients.values():
            client.on_acknowledged = journal.note
        uvloop.run(self.play(program, options["control_port"]))

    async def play(self, program: ChargerProgram, control_port: int) -> None:
        """Run until told to stop."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        control = await serve_control(program.handlers(), port=control_port)
        playing = asyncio.create_task(program.run())
        stations = len(program.clients)
        self.stdout.write(f"READY twin_chargers stations={stations} control=127.0.0.1:{port_of(control)}")
        self.stdout.flush()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        control.close()
        if not stop.is_set():
            playing.result()  # raises what went wrong
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
