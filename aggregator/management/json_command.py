"""Commands that make one thing: they print it as lines or, with --json, as one JSON object, and fail with exit code 2."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from common.errors import PlatformError

BAD_INPUT_EXIT_CODE = 2


class DatabaseUnreachable(PlatformError):
    """There is no database to work on."""

    code = "database_unreachable"


class JsonCommand(BaseCommand):
    """A command whose `perform` returns what it made as a dictionary.

    An error of ours becomes one sentence on standard error that names the option and the remedy, and exit code 2; with
    --json also one object on standard output.
    """

    requires_system_checks: list[str] = []
    # names of operations' fields -> the option that a person typed, where they differ
    option_of_field: dict[str, str] = {}
    positional_fields: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        self.add_options(parser)

    def add_options(self, parser: CommandParser) -> None:
        """Add the command's own options."""

    def perform(self, **options: Any) -> dict[str, Any]:
        """Do it and return what is printed."""
        raise NotImplementedError

    def handle(self, *args: str, **options: Any) -> None:
        as_json = options.pop("json")
        try:
            result = self._performed(options)
        except PlatformError as error:
            option = self._option(error.field)
            if as_json:
                body = {"error": error.code, "field": option, "detail": error.message, "remedy": error.remedy}
                self.stdout.write(json.dumps(body, ensure_ascii=False))
            sentence = " ".join(part for part in (error.message, error.remedy) if part)
            raise CommandError(
                f"{option}: {sentence}" if option else sentence, returncode=BAD_INPUT_EXIT_CODE
            ) from error
        for warning in result.pop("warnings", ()):
            print(f"warning: {warning}", file=sys.stderr)
        if as_json:
            self.stdout.write(json.dumps(result, ensure_ascii=False, default=str))
            return
        for name, value in result.items():
            shown = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else value
            self.stdout.write(f"{name}: {shown}")

    def _performed(self, options: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.perform(**options)
        except OperationalError as error:
            raise DatabaseUnreachable(
                f"The database does not answer: {str(error).splitlines()[0]}.",
                remedy="Start the platform with `make up`, or set DATABASE_URL.",
            ) from error

    def _option(self, field: str) -> str:
        if not field or "/" in field or "." in field or field in self.positional_fields:
            return field  # nothing that was typed as an option
        return "--" + self.option_of_field.get(field, field).replace("_", "-")


def decimal_option(text: str) -> Decimal:
    """An argparse type for amounts."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ArgumentTypeError(f"{text!r} is no decimal number") from error
