"""Series of prices or emission factors from files: any slot length, any zone, unit read from the column's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import numpy as np

from aggregator.core.replay.series import SlotSeries
from aggregator.management.simulation.tables import BadCell, BadRows, BadTable, Table, read_table

# A gap of at most this many slots takes the value of the slot before it, and the summary says so.
LONGEST_FILLED_GAP = 3

TIME_COLUMNS = ("start_utc", "start_jst", "start", "starts_at", "time_utc", "timestamp", "datetime", "time", "date")
UNIT = re.compile(
    r"(?<![a-z])(?P<currency>[a-z]{3}|€|¥|\$|£)[ _/]*(?:per)?[ _/]*(?P<energy>mwh|kwh)(?![a-z])", re.IGNORECASE
)
FACTOR_UNIT = re.compile(r"(?P<mass>kg|g|t)[a-z0-9]*[ _/]*(?:per)?[ _/]*(?P<energy>mwh|kwh)(?![a-z])", re.IGNORECASE)
CURRENCY_SIGNS = {"€": "EUR", "¥": "JPY", "$": "USD", "£": "GBP"}
KG_PER_MASS = {"kg": 1.0, "g": 0.001, "t": 1000.0}
KWH_PER_ENERGY = {"kwh": 1.0, "mwh": 1000.0}
PLAUSIBLE_MINUTES = (5, 10, 15, 20, 30, 60)


@dataclass(frozen=True, eq=False)
class ReadSeries:
    """A series with what was found out about it.

    Attributes:
        series: values per kWh (prices) or kg per kWh (factors).
        currency: ISO code of a price; empty for factors.
        zone: the zone that the times are written in.
        column: where the values stood.
        notes: gaps that were filled, rows that were left out.
    """

    series: SlotSeries
    currency: str
    zone: tzinfo
    column: str
    notes: tuple[str, ...]


def read_prices(
    path: Path,
    *,
    column: str | None = None,
    unit: str | None = None,
    zone: tzinfo | None = None,
    skip_bad_rows: bool = False,
) -> ReadSeries:
    """Read a price series.

    Args:
        column: where the prices stand, if several columns could hold them.
        unit: such as EUR/MWh, if the column's name does not say it.
        zone: zone of times that are written without one.

    Raises:
        BadTable: a column, unit or zone is missing or wrong, times repeat or leave a gap, or rows are bad.
    """
    table = read_table(path)
    name = column or _only_candidate(table, UNIT, "--price-column", "prices")
    table.require([name], "prices")
    found = UNIT.search(unit or name)
    if found is None:
        raise BadTable(
            f"column “{name}”: no unit in “{unit or name}”; expected a currency per kWh or MWh",
            field=str(path),
            remedy="Say it with --price-unit, such as EUR/MWh or JPY/kWh.",
        )
    sign = found["currency"]
    return _series(
        table,
        name,
        1.0 / KWH_PER_ENERGY[found["energy"].lower()],
        CURRENCY_SIGNS.get(sign, sign.upper()),
        zone,
        skip_bad_rows,
    )


def read_factors(
    path: Path, *, column: str | None = None, zone: tzinfo | None = None, skip_bad_rows: bool = False
) -> ReadSeries:
    """Read a series of emission factors; the unit (kg, g or t per kWh or MWh) stands in the column's name.

    Raises:
        BadTable: as for `read_prices`.
    """
    table = read_table(path)
    name = column or _only_candidate(table, FACTOR_UNIT, "--factor-column", "emission factors")
    table.require([name], "emission factors")
    found = FACTOR_UNIT.search(name)
    if found is None:
        raise BadTable(
            f"column “{name}”: no unit in its name; expected kg, g or t per kWh or MWh",
            field=str(path),
            remedy="Name the column for example kg_per_kwh.",
        )
    scale = KG_PER_MASS[found["mass"].lower()] / KWH_PER_ENERGY[found["energy"].lower()]
    return _series(table, name, scale, "", zone, skip_bad_rows)


def _only_candidate(table: Table, pattern: re.Pattern[str], option: str, what: str) -> str:
    candidates = [name for name in table.columns if pattern.search(name)]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise BadTable(
            f"line 1: no column is named with a unit; there are {', '.join(table.columns)}",
            field=str(table.path),
            remedy=f"Say with {option} which holds the {what}.",
        )
    raise BadTable(
        f"line 1: several columns could hold the {what}: {', '.join(candidates)}",
        field=str(table.path),
        remedy=f"Choose one with {option}, such as {option} {candidates[-1]}.",
    )


def _time_column(table: Table) -> str:
    by_name = {name.lower(): name for name in table.columns}
    for name in TIME_COLUMNS:
        if name in by_name:
            return by_name[name]
    raise BadTable(
        f"line 1: no column with the start of each slot; expected one of {', '.join(TIME_COLUMNS)}, "
        f"there are {', '.join(table.columns)}",
        field=str(table.path),
        remedy="Rename the column.",
    )


def _series(
    table: Table, column: str, scale: float, currency: str, zone: tzinfo | None, skip_bad_rows: bool
) -> ReadSeries:
    time_column = _time_column(table)
    bad, instants, values = BadRows(table.path, skip_bad_rows), [], []
    lines: dict[float, int] = {}
    for row in table.rows:
        try:
            instant = row.instant(time_column, zone=zone)
            value = row.number(column, "a number")
        except BadCell as problem:
            bad.add(row.line, problem)
            continue
        at_s = instant.timestamp()
        if at_s in lines:
            bad.add(row.line, f"column “{time_column}”: the slot of line {lines[at_s]} again")
            continue
        lines[at_s] = row.line
        instants.append(instant)
        values.append(value * scale)
    bad.finish(len(values))
    series, notes = _without_gaps(table.path, instants, values, lines)
    written_in = instants[0].tzinfo or UTC
    return ReadSeries(series, currency, zone or written_in, column, tuple(bad.complaints + notes))


def _without_gaps(
    path: Path, instants: list[datetime], values: list[float], lines: dict[float, int]
) -> tuple[SlotSeries, list[str]]:
    starts_s = np.array([instant.timestamp() for instant in instants])
    order = np.argsort(starts_s)
    starts_s, ordered = starts_s[order], np.array(values)[order]
    if starts_s.size < 2:
        raise BadTable("has a single slot", field=str(path), remedy="A series needs two slots or more.")
    differences = np.diff(starts_s)
    slot_s = float(np.median(differences))
    if slot_s / 60 not in PLAUSIBLE_MINUTES:
        raise BadTable(
            f"slots of {slot_s / 60:g} minutes; expected one of {', '.join(map(str, PLAUSIBLE_MINUTES))}",
            field=str(path),
            remedy="Check the times, their order of day and month, and their zone.",
        )
    skipped = np.rint(differences / slot_s).astype(int)
    off_grid = np.flatnonzero(np.abs(differences - skipped * slot_s) > 1)
    notes = []
    for place in np.flatnonzero((skipped > LONGEST_FILLED_GAP + 1) | np.isin(np.arange(differences.size), off_grid)):
        raise BadTable(
            f"line {lines[float(starts_s[place + 1])]}: {differences[place] / 60:g} minutes after the slot before it; "
            f"expected {slot_s / 60:g}",
            field=str(path),
            remedy="Fill the gap, or cut the file there.",
        )
    for place in np.flatnonzero(skipped > 1):
        gap = datetime.fromtimestamp(starts_s[place] + slot_s, UTC)
        notes.append(
            f"{path.name}: {skipped[place] - 1} slot(s) from {gap:%Y-%m-%d %H:%M} UTC are missing; "
            "they take the value of the slot before"
        )
    return SlotSeries(float(starts_s[0]), slot_s, np.repeat(ordered, np.append(skipped, 1))), notes
