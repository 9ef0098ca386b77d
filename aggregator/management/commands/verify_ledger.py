"""Check that nothing that was booked has been changed since."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from aggregator.operations.chain import verify_ledger


class Command(BaseCommand):
    help = (
        "Work out every seal of the books again and print what was found; ends with 1 if anything is wrong. Write the "
        "printed head down outside this machine: --expect holds the books to it later."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--expect", action="append", default=[], metavar="POSITION:SHA256", help="a head that was written down"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        expected = {}
        for text in options["expect"]:
            found = re.fullmatch(r"(\d+):([0-9a-f]{64})", text)
            if found is None:
                raise CommandError(f"--expect: {text!r} is no head. Write it as POSITION:SHA256, as it was printed.")
            expected[int(found[1])] = found[2]
        report = verify_ledger(now=timezone.now(), expected=expected)
        self.stdout.write(
            json.dumps(
                {
                    "bookings": report.length,
                    "head": f"{report.length}:{report.head_sha256}",
                    "faults": list(report.faults),
                }
            )
        )
        if report.faults:
            sys.exit(1)
