"""A station of the twin as an operator sees it, and a server for its files."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

from fleet.models import Charger, DeviceCommand
from fleet.operations.station_commands import order_command
from fleet.twin.ocpp.client import BackOff
from fleet.twin.ocpp.program import ChargerProgram
from fleet.twin.world import parse_world
from tests.integration.ocpp.support import PASSWORD, Background, Place, RunningGateway, eventually

QUICK = BackOff(first_s=0.05, most_s=0.2, spread_s=0.05)


def now() -> datetime:
    return datetime.now(UTC)


class FileServer(BaseHTTPRequestHandler):
    """Gives out what stands in `files` and keeps what is put there."""

    files: dict[str, bytes] = {}

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(content or b"")

    def do_PUT(self) -> None:
        self.files[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Station:
    """A station of the twin in the background, and what an operator does with it."""

    def __init__(self, place: Place, gateway: RunningGateway, background: Background, **more: Any) -> None:
        charger = {
            "identity": place.identity,
            "password": PASSWORD,
            "protocol": place.protocol,
            "meter_interval_s": 0.3,
            "evses": [{"number": 1, "max_charge_kw": 11, "min_charge_kw": 4.14}],
            **more,
        }
        cars = [
            {
                "identity": name,
                "charger": place.identity,
                "evse": 1,
                "id_token": token,
                "battery_capacity_kwh": 60,
                "soc_fraction": 0.5,
                "max_charge_kw": 11,
                "plug_in_s": 100_000,
                "departure_in_s": 200_000,
            }
            for name, token in (("EV", place.id_token), ("OTHER", "T-OTHER"))
        ]
        self.place, self.background = place, background
        self.program = ChargerProgram(
            parse_world({"chargers": [charger], "cars": cars}),
            url=gateway.url,
            secure_url=gateway.encrypted_url if gateway.gateway.encrypted_port else "",
            back_off=QUICK,
            start_spread_s=0.0,
        )
        self.client = self.program.clients[place.identity]
        self.dialect: Any = self.client.dialect
        self._running = asyncio.run_coroutine_threadsafe(self.program.run(), background.loop)
        eventually(lambda: Charger.objects.filter(identity=place.identity, booted_at__isnull=False).exists())
        eventually(lambda: Charger.objects.exclude(gateway_identity="").exists())

    @property
    def old(self) -> bool:
        return self.place.protocol == "ocpp1.6"

    def do(self, what: str, **given: Any) -> dict:
        return self.background.run(self.program.handlers()[what]({"station": self.place.identity, **given}))

    def order(self, kind: str, *, state: str = "confirmed", **parameters: Any) -> DeviceCommand:
        """Give a command and wait for the station's word."""
        command_id = order_command(
            identity=self.place.identity, kind=kind, parameters=parameters, requested_by="operator", now=now()
        )
        return self.answered(command_id, state)

    def answered(self, command_id: int, state: str = "confirmed") -> DeviceCommand:
        rows = DeviceCommand.objects.filter(pk=command_id)
        eventually(lambda: rows.exclude(state__in=("queued", "sent")).exists())
        command = rows.get()
        assert command.state == state, command.answer
        return command

    def stop(self) -> None:
        self._running.cancel()
        eventually(self._running.done)
        assert self.client.all_violations() == []
