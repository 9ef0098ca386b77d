"""What the commands about firmware share."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import CommandParser

from common.errors import InvalidInput


def about_firmware(parser: CommandParser) -> None:
    """Which image it is."""
    parser.add_argument("--file", type=Path, required=True, help="the image")
    parser.add_argument("--vendor", required=True, help="as the chargers give it")
    parser.add_argument("--model", required=True, help="as the chargers give it")
    parser.add_argument("--firmware-version", required=True)


def read_file(path: Path, *, field: str) -> bytes:
    """Raises InvalidInput for a file that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", field=field, remedy="Give a file.") from error
