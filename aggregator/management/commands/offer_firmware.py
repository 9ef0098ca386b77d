"""Offer a stored firmware image to a charger on MQTT."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from aggregator.management.json_command import JsonCommand
from common.errors import InvalidInput
from fleet.operations.firmware import offer_firmware


class Command(JsonCommand):
    help = "Offer a stored firmware image to a charger of its make and model."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--charger", required=True, help="identity")
        parser.add_argument("--firmware-version", required=True)
        parser.add_argument("--install-at", default="", help="not before, such as 2026-11-26T02:00:00Z")

    def perform(self, **options: Any) -> dict[str, Any]:
        install_at = parse_datetime(options["install_at"]) if options["install_at"] else None
        if options["install_at"] and (install_at is None or install_at.tzinfo is None):
            raise InvalidInput("is no instant with a time zone.", field="install_at", remedy="2026-11-26T02:00:00Z")
        command_id = offer_firmware(
            charger_identity=options["charger"],
            version=options["firmware_version"],
            install_at=install_at,
            now=timezone.now(),
        )
        return {"command_id": command_id}
