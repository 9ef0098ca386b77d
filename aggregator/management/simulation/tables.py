"""Reading tables that others made: every complaint names file, line, column, what stood there and what was expected."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from email.utils import parsedate_to_datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from common.errors import InvalidInput

SHOWN_BAD_ROWS = 10


class BadTable(InvalidInput):
    """A file cannot be used as it is."""

    code = "bad_table"


class BadCell(Exception):
    """One cell is not what it should be; the reader turns it into a complaint about its row."""

    def __init__(self, column: str, found: str, expected: str) -> None:
        super().__init__(f"column “{column}”: found “{found}”, expected {expected}")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table, with its number in the file."""

    line: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """The cell, without surrounding blanks."""
        return (self.cells.get(column) or "").strip()

    def number(self, column: str, expected: str, *, decimal: str = ".", least: float = float("-inf")) -> float:
        """The cell as a finite number.

        Raises:
            BadCell: it is none, or it is below `least`.
        """
        found = self.text(column)
        written = found.replace(" ", "").replace(decimal, ".") if decimal != "." else found
        try:
            value = float(written)
        except ValueError:
            raise BadCell(column, found, expected) from None
        if value != value or value in (float("inf"), float("-inf")) or value < least:
            raise BadCell(column, found, expected)
        return value

    def instant(self, column: str, *, zone: tzinfo | None, time_format: str | None = None) -> datetime:
        """The cell as an aware instant, in the zone it is written with.

        Raises:
            BadCell: it is no date and time, or has no time zone while none is given for the file.
        """
        found = self.text(column)
        moment = parse_instant(found, time_format)
        if moment is None:
            shape = f"a date and time like {time_format!r}" if time_format else "an ISO 8601 date and time"
            raise BadCell(column, found, f"{shape}, such as 2019-05-01T08:18:45-07:00")
        if moment.tzinfo is None:
            if zone is None:
                raise BadCell(column, found, "a time zone (write +09:00 or Z, or name the file's zone)")
            return moment.replace(tzinfo=zone)
        return moment


def parse_instant(text: str, time_format: str | None = None) -> datetime | None:
    """An ISO 8601 or RFC 1123 date and time, or one of a given format; None if it is neither."""
    if time_format:
        try:
            return datetime.strptime(text, time_format)
        except ValueError:
            return None
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(text)
        except (ValueError, TypeError, IndexError):
            continue
    return None


def named_zone(name: str, field_name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        InvalidInput: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidInput(
            f"there is no time zone “{name}”", field=field_name, remedy="Give an IANA name such as Asia/Tokyo."
        ) from None


@dataclass(eq=False)
class BadRows:
    """What is wrong with single rows: an error at the end, unless skipping was asked for."""

    path: Path
    skip: bool
    complaints: list[str] = field(default_factory=list)

    def add(self, line: int, problem: BadCell | str) -> None:
        """Note a bad row."""
        self.complaints.append(f"{self.path.name}, line {line}: {problem}")

    def finish(self, good: int) -> None:
        """Raise if there are bad rows and they may not be skipped, or if nothing is left.

        Raises:
            BadTable: with the first complaints.
        """
        if self.complaints and not self.skip:
            shown = "\n  ".join(self.complaints[:SHOWN_BAD_ROWS])
            more = len(self.complaints) - SHOWN_BAD_ROWS
            rest = f"\n  and {more} more" if more > 0 else ""
            raise BadTable(
                f"{len(self.complaints)} bad rows:\n  {shown}{rest}\n",
                field=str(self.path),
                remedy="Correct them, or leave them out with --skip-bad-rows.",
            )
        if not good:
            raise BadTable("has no usable row", field=str(self.path), remedy="Check that it is the right file.")


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV file with a header."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def require(self, columns: Sequence[str], what: str) -> None:
        """Insist on columns.

        Raises:
            BadTable: one is missing.
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise BadTable(
                f"line 1: no column “{missing[0]}”, which {what} need; there are {', '.join(self.columns)}",
                field=str(self.path),
                remedy="Check the file and, if its columns have other names, describe them with --mapping.",
            )


def read_table(path: Path, *, delimiter: str | None = None) -> Table:
    """Read a CSV file; the delimiter is found from the header unless given.

    Raises:
        BadTable: the file cannot be read, is no text, or has no header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadTable(f"cannot be read: {error.strerror}", field=str(path), remedy="Check the path.") from error
    except UnicodeDecodeError as error:
        raise BadTable("is not UTF-8 text", field=str(path), remedy="Export it as CSV in UTF-8.") from error
    header = text.split("\n", 1)[0]
    if not header.strip():
        raise BadTable("has no header in line 1", field=str(path), remedy="The first line must name the columns.")
    mark = delimiter or max(",;\t", key=header.count)
    rows = tuple(_rows(text, mark))
    names = tuple(name.strip() for name in next(csv.reader([header], delimiter=mark)))
    return Table(path, names, rows)


def _rows(text: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    names = [name.strip() for name in next(reader)]
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield Row(reader.line_num, dict(zip(names, cells, strict=False)))
