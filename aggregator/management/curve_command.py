"""What the commands that import curves share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.json_command import JsonCommand
from aggregator.management.simulation.prices import ReadSeries
from aggregator.management.simulation.tables import named_zone
from common.errors import InvalidInput
from grid.operations.prices import Recorded


class CurveCommand(JsonCommand):
    """A command that reads a CSV file with the start of every slot in one column and its value in another."""

    option_of_field = {"series_code": "series"}
    positional_fields = ("file",)
    # the same name as in the command simulate, beside the short one
    column_option = "--column"

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="CSV with a header; the length of the slots is found out")
        parser.add_argument("--region", required=True, help="code of the region that the curve is of")
        parser.add_argument("--series", default="", help="name of the curve; default: the file's and column's")
        parser.add_argument(
            self.column_option, "--column", dest="column", default=None, help="which column, if several could be meant"
        )
        parser.add_argument("--time-zone", default="", help="of times that are written without one, such as Asia/Tokyo")
        parser.add_argument("--source", default="", help="where the numbers come from")
        parser.add_argument("--skip-bad-rows", action="store_true", help="leave out rows that cannot be read")

    @staticmethod
    def reading_options(options: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the readers.

        Raises:
            InvalidInput: there is no such file or zone.
        """
        path: Path = options["file"]
        if not path.is_file():
            raise InvalidInput(f"There is no file {path}.", field="file", remedy="Give the path of a CSV file.")
        zone = named_zone(options["time_zone"], "time_zone") if options["time_zone"] else None
        return {"column": options["column"], "zone": zone, "skip_bad_rows": options["skip_bad_rows"]}

    @staticmethod
    def slots_of(read: ReadSeries) -> Iterator[tuple[datetime, datetime, float]]:
        """Start, end and value of every slot."""
        length = timedelta(seconds=read.series.slot_s)
        first = datetime.fromtimestamp(read.series.starts_s, UTC)
        for index, value in enumerate(read.series.value.tolist()):
            yield first + index * length, first + (index + 1) * length, value

    @staticmethod
    def series_code(options: dict[str, Any], read: ReadSeries) -> str:
        """The name given, or that of the file and column."""
        return options["series"] or f"{options['file'].stem}:{read.column}"[:60]

    @staticmethod
    def report(series_code: str, recorded: Recorded, read: ReadSeries) -> dict[str, Any]:
        """What is printed; what was filled or left out comes as warnings."""
        return {
            "series": series_code,
            "column": read.column,
            "slots": recorded.slots,
            "replaced": recorded.replaced,
            "slot_s": read.series.slot_s,
            "starts_at": datetime.fromtimestamp(read.series.starts_s, UTC).isoformat(),
            "ends_at": datetime.fromtimestamp(read.series.ends_s, UTC).isoformat(),
            "warnings": read.notes,
        }
