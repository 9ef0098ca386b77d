"""Store a signed firmware image for chargers that take it over MQTT."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from aggregator.management.firmware import about_firmware, read_file
from aggregator.management.json_command import JsonCommand
from fleet.operations.firmware import store_firmware


class Command(JsonCommand):
    help = "Store a signed firmware image; storing the same again changes nothing."

    def add_options(self, parser: CommandParser) -> None:
        about_firmware(parser)
        parser.add_argument("--signature", required=True, help="as sign_firmware prints it")
        parser.add_argument("--public-key", required=True, help="as sign_firmware prints it")
        parser.add_argument("--url", default="", help="where chargers fetch it; default: in chunks over MQTT")

    def perform(self, **options: Any) -> dict[str, Any]:
        stored = store_firmware(
            vendor=options["vendor"],
            model=options["model"],
            version=options["firmware_version"],
            content=read_file(options["file"], field="file"),
            signature=options["signature"],
            public_key=options["public_key"],
            url=options["url"],
            now=timezone.now(),
        )
        return {"image_id": stored.image_id, "sha256": stored.sha256, "size_bytes": stored.size_bytes}
