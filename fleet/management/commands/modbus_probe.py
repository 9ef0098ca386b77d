"""Look at a device before it is registered: every SunSpec model and point behind a Modbus unit, as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from common.errors import PlatformError
from fleet.devices.modbus.unit import discover, read_model, read_scale_factors, write_points
from fleet.devices.modbus.wire import ModbusLink


class Command(BaseCommand):
    help = (
        "Print every SunSpec model and point of a Modbus unit as JSON; --set 704.WMaxLimPct=50 writes a point before."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", required=True)
        parser.add_argument("--port", type=int, default=502)
        parser.add_argument("--device-id", type=int, required=True, help="Modbus unit")
        parser.add_argument("--framing", default="tcp", choices=("tcp", "rtu_over_tcp"))
        parser.add_argument("--set", action="append", default=[], metavar="MODEL.POINT=VALUE", help="write a point")

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        settings = [_setting(text) for text in options["set"]]
        link = ModbusLink(options["host"], options["port"], framing=options["framing"])
        try:
            found = asyncio.run(_probe(link, options["device_id"], settings))
        except PlatformError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))


def _setting(text: str) -> tuple[int, str, float | str]:
    place, equals, value = text.partition("=")
    model, dot, point = place.partition(".")
    if not (equals and dot and point and model.isdigit()):
        raise CommandError(f"--set: {text!r} is no setting. Write it as 704.WMaxLimPct=50.")
    try:
        return int(model), point, float(value)
    except ValueError:
        return int(model), point, value


async def _probe(
    link: ModbusLink, device_id: int, settings: list[tuple[int, str, float | str]]
) -> list[dict[str, Any]]:
    try:
        unit = await discover(link, device_id)
        for model_id, point, value in settings:
            await read_scale_factors(link, unit, (model_id,))
            await write_points(link, unit, model_id, {point: value})
        return [
            {
                "model": placed.model.model_id,
                "address": placed.address,
                "points": await read_model(link, unit, placed),
            }
            for placed in unit.chain
        ]
    finally:
        link.close()
