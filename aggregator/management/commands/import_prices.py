"""Import a curve of energy prices from a CSV file."""

from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.curve_command import CurveCommand
from aggregator.management.simulation.prices import read_prices
from common.errors import InvalidInput
from fleet.queries.places import region_by_code
from grid.operations.prices import PriceInput, record_prices


class Command(CurveCommand):
    help = (
        "Import energy prices of a region from a CSV file: any slot length, any zone, currency and energy unit read "
        "from the column's name (price_eur_per_mwh, kyushu_jpy_kwh) or given with --unit."
    )

    column_option = "--price-column"

    def add_options(self, parser: CommandParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "--price-unit",
            "--unit",
            dest="unit",
            default=None,
            help="such as EUR/MWh, if the column's name does not say it",
        )

    def perform(self, **options: Any) -> dict[str, Any]:
        read = read_prices(options["file"], unit=options["unit"], **self.reading_options(options))
        region = region_by_code(options["region"])
        if read.currency != region.currency:
            raise InvalidInput(
                f"The prices are in {read.currency}; the region {region.code!r} has {region.currency}.",
                field="region",
                remedy="Convert them, or import them into a region with that currency.",
            )
        code = self.series_code(options, read)
        recorded = record_prices(
            series_code=code,
            region_id=region.region_id,
            currency=read.currency,
            source=options["source"],
            points=[PriceInput(*slot) for slot in self.slots_of(read)],
        )
        return {**self.report(code, recorded, read), "currency": read.currency}
