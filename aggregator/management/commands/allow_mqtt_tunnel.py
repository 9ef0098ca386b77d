"""Let an OCPP station come through the MQTT broker."""

from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.json_command import JsonCommand
from fleet.operations.tunnel import allow_tunnel


class Command(JsonCommand):
    help = "Let an OCPP station in at the MQTT broker; prints its new password, once."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--charger", required=True, help="identity")

    def perform(self, **options: Any) -> dict[str, Any]:
        return {"identity": options["charger"], "password": allow_tunnel(identity=options["charger"])}
