"""Make a key and a certificate for a station that cannot ask for one over OCPP."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import PlatformError
from fleet.operations.authority import load_authority, write_secret
from fleet.operations.certificates import issue_station_certificate, revoke_certificates


class Command(BaseCommand):
    help = "Issue a station a certificate (security profile 3). Its key is written once and kept nowhere else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("identity")
        parser.add_argument("--output", required=True, help="file for key and certificate, readable by its owner alone")
        parser.add_argument("--revoke-others", action="store_true", help="its older certificates let it in no more")

    def handle(self, *args: Any, **options: Any) -> None:
        identity, now = options["identity"], datetime.now(UTC)
        try:
            authority = load_authority(
                directory=Path(settings.OCPP_CERTIFICATES), passphrase=settings.OCPP_CA_PASSPHRASE
            )
            if options["revoke_others"]:
                revoke_certificates(identity=identity, reason="replaced by hand", now=now)
            key, certificate = issue_station_certificate(identity=identity, authority=authority, now=now)
        except PlatformError as error:
            raise CommandError(str(error)) from error
        write_secret(Path(options["output"]), key + certificate)
        self.stdout.write(f"{options['output']} holds key and certificate of {identity}")
