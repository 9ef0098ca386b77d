"""Make the certificate authority that vouches for gateways and charging stations."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import PlatformError
from fleet.operations.authority import CA_CERTIFICATE, create_authority


class Command(BaseCommand):
    help = "Make a certificate authority for OCPP's security profiles 2 and 3. OCPP_CA_PASSPHRASE encrypts its key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--directory", default=settings.OCPP_CERTIFICATES, help="default: OCPP_CERTIFICATES")
        parser.add_argument("--organisation", required=True, help="name of the operator; stands in every certificate")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["directory"]:
            raise CommandError("say where: --directory or OCPP_CERTIFICATES")
        directory = Path(options["directory"])
        try:
            authority = create_authority(
                directory=directory,
                organisation=options["organisation"],
                passphrase=settings.OCPP_CA_PASSPHRASE,
                now=datetime.now(UTC),
            )
        except PlatformError as error:
            raise CommandError(str(error)) from error
        if not settings.OCPP_CA_PASSPHRASE:
            self.stderr.write("The key is not encrypted; set OCPP_CA_PASSPHRASE before, to have it so.")
        self.stdout.write(
            f"{directory / CA_CERTIFICATE} holds until {authority.certificate.not_valid_after_utc:%Y-%m-%d}"
        )
