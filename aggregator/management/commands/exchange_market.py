"""Take awards and orders from a market that speaks by CSV files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from common.errors import PlatformError
from grid.markets.csv_files.driver import CsvMarket
from grid.operations.awards import record_award, record_signals
from grid.queries.awards import award_of_reference


class Command(BaseCommand):
    help = "Record the awards and orders that a market has put into a folder; what was recorded before changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="holds awards/*.csv and orders/*.csv")
        parser.add_argument("--client", required=True, help="the market's client name, whom its awards are booked to")
        parser.add_argument("--region", required=True, help="code of the region that it buys in")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        market = CsvMarket(folder=options["folder"], requested_by=options["client"], region_code=options["region"])
        awards = signals = 0
        try:
            for given in market.awards():
                record_award(given=given, now=now)
                awards += 1
            for order in market.orders():
                sold = award_of_reference(requested_by=options["client"], reference=order.reference)
                signals += record_signals(award_id=sold.award_id, signals=[order.signal])
        except PlatformError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps({"awards": awards, "new_orders": signals}))
