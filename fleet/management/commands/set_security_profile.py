"""Set by hand which of OCPP's security profiles a station has to come under."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import PlatformError
from fleet.operations.station_access import set_security_profile


class Command(BaseCommand):
    help = "Set a station's security profile: 0 no password, 1 password, 2 password within TLS, 3 certificates."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("identity")
        parser.add_argument("profile", type=int, choices=(0, 1, 2, 3))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            set_security_profile(identity=options["identity"], security_profile=options["profile"])
        except PlatformError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['identity']} comes under security profile {options['profile']} or higher")
