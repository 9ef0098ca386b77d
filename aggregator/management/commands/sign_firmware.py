"""Sign a firmware image with the maker's key; touches no database, so it may run where the key is kept."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.firmware import about_firmware, read_file
from aggregator.management.json_command import JsonCommand
from fleet.operations.firmware import sign_firmware


class Command(JsonCommand):
    help = "Print the Ed25519 signature of a firmware image, and the public key that proves it."

    def add_options(self, parser: CommandParser) -> None:
        about_firmware(parser)
        parser.add_argument("--key", type=Path, required=True, help="the maker's private key, PEM")

    def perform(self, **options: Any) -> dict[str, Any]:
        signature, public_key = sign_firmware(
            vendor=options["vendor"],
            model=options["model"],
            version=options["firmware_version"],
            content=read_file(options["file"], field="file"),
            private_key_pem=read_file(options["key"], field="key"),
        )
        return {"signature": signature, "public_key": public_key}
