"""Give the gateways a certificate, or a new one before the old one ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import PlatformError
from fleet.operations.authority import SERVER_CERTIFICATE, issue_server_certificate, server_certificate_expires_at


class Command(BaseCommand):
    help = "Issue the gateways a certificate. Gateways that run take it up within a minute."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="+", help="host names or addresses that stations connect to")
        parser.add_argument("--directory", default=settings.OCPP_CERTIFICATES, help="default: OCPP_CERTIFICATES")
        parser.add_argument(
            "--if-ends-within", type=int, default=None, metavar="DAYS", help="do nothing while it holds for longer"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["directory"]:
            raise CommandError("say where: --directory or OCPP_CERTIFICATES")
        directory, now = Path(options["directory"]), datetime.now(UTC)
        within = options["if_ends_within"]
        expires_at = server_certificate_expires_at(directory)
        if within is not None and expires_at is not None and expires_at > now + timedelta(days=within):
            self.stdout.write(f"it holds until {expires_at:%Y-%m-%d}; nothing to do")
            return
        try:
            certificate = issue_server_certificate(
                directory=directory, passphrase=settings.OCPP_CA_PASSPHRASE, names=options["names"], now=now
            )
        except PlatformError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{directory / SERVER_CERTIFICATE} holds until {certificate.not_valid_after_utc:%Y-%m-%d}")
