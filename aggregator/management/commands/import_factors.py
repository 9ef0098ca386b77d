"""Import a curve of emission factors from a CSV file."""

from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.curve_command import CurveCommand
from aggregator.management.simulation.prices import read_factors
from fleet.queries.places import region_by_code
from grid.operations.prices import FactorInput, record_factors


class Command(CurveCommand):
    help = (
        "Import emission factors of a region from a CSV file; the unit (kg, g or t per kWh or MWh) stands in the "
        "column's name. Average factors are for inventories, marginal ones for decisions; they are never mixed."
    )

    column_option = "--factor-column"

    def add_options(self, parser: CommandParser) -> None:
        super().add_options(parser)
        parser.add_argument("--kind", required=True, choices=["average", "marginal"])

    def perform(self, **options: Any) -> dict[str, Any]:
        read = read_factors(options["file"], **self.reading_options(options))
        code = self.series_code(options, read)
        recorded = record_factors(
            series_code=code,
            region_id=region_by_code(options["region"]).region_id,
            kind=options["kind"],
            source=options["source"],
            points=[FactorInput(*slot) for slot in self.slots_of(read)],
        )
        return {**self.report(code, recorded, read), "kind": options["kind"]}
