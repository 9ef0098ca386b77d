"""Charging sessions from files: ACN-Data in the two shapes it is passed around in, and any CSV through a mapping.

A mapping is a JSON file that says where things stand:

    {
      "arrival": "Start", "departure": "Stop", "session_id": "Id", "station_id": "Charger",
      "requested_kwh": {"column": "Energy", "unit": "Wh"},
      "delivered_kwh": "Energy delivered",
      "announced_departure": "Expected stop",
      "time_zone": "Europe/Amsterdam", "time_format": "%d-%m-%Y %H:%M", "delimiter": ";", "decimal": ","
    }

`arrival`, `departure` and one of `requested_kwh` and `delivered_kwh` are required. Units are Wh, kWh or MWh. Without
`time_format`, times are ISO 8601 (or RFC 1123, as ACN-Data writes them); without a zone in the cell, `time_zone` says it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from aggregator.core.replay.sessions import ChargingSession
from aggregator.management.simulation.tables import BadCell, BadRows, BadTable, Row, Table, named_zone, read_table

KWH_PER_UNIT = {"wh": 0.001, "kwh": 1.0, "mwh": 1000.0}
LONGEST_STAY = timedelta(days=30)
MOST_KWH = 400.0  # more than any car's battery holds: such a number is in another unit


@dataclass(frozen=True, slots=True)
class EnergyColumn:
    """A column that holds energy, and how many kWh its unit is."""

    column: str
    kwh_per_unit: float = 1.0


@dataclass(frozen=True, slots=True)
class SessionMapping:
    """Which column holds what."""

    arrival: str
    departure: str
    requested: EnergyColumn | None = None
    delivered: EnergyColumn | None = None
    announced: str | None = None
    session_id: str | None = None
    station_id: str | None = None
    zone: tzinfo | None = None
    time_format: str | None = None
    delimiter: str | None = None
    decimal: str = "."


ACN_TABLE = SessionMapping(
    arrival="arrival",
    departure="departure",
    requested=EnergyColumn("requested_energy (kWh)"),
    delivered=EnergyColumn("delivered_energy (kWh)"),
    announced="estimated_departure",
    session_id="session_id",
    station_id="station_id",
)
ACN_PORTAL = SessionMapping(
    arrival="connectionTime",
    departure="disconnectTime",
    requested=EnergyColumn("kWhRequested"),
    delivered=EnergyColumn("kWhDelivered"),
    announced="requestedDeparture",
    session_id="sessionID",
    station_id="stationID",
)


def read_sessions(
    path: Path, *, mapping_path: Path | None = None, skip_bad_rows: bool = False
) -> tuple[list[ChargingSession], list[str]]:
    """Read charging sessions.

    Returns:
        The sessions, and complaints about the rows that were left out.

    Raises:
        BadTable: the file or mapping cannot be used, or rows are bad and may not be skipped.
    """
    mapping = None if mapping_path is None else read_mapping(mapping_path)
    table = read_table(path, delimiter=None if mapping is None else mapping.delimiter)
    if mapping is None:
        mapping = _known_shape(table)
    columns = [mapping.arrival, mapping.departure]
    columns += [one.column for one in (mapping.requested, mapping.delivered) if one is not None]
    columns += [one for one in (mapping.session_id, mapping.station_id, mapping.announced) if one is not None]
    table.require(columns, "charging sessions")
    bad = BadRows(path, skip_bad_rows)
    sessions: list[ChargingSession] = []
    lines: dict[str, int] = {}
    for row in table.rows:
        try:
            session = _session(row, mapping)
        except BadCell as problem:
            bad.add(row.line, problem)
            continue
        if session.session_id in lines:
            bad.add(row.line, f"session “{session.session_id}” stands in line {lines[session.session_id]} already")
            continue
        lines[session.session_id] = row.line
        sessions.append(session)
    bad.finish(len(sessions))
    return sessions, bad.complaints


def read_mapping(path: Path) -> SessionMapping:
    """Read a mapping.

    Raises:
        BadTable: it is no JSON object, names an unknown key or unit, or lacks a required one.
    """
    try:
        given: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadTable(f"is no JSON file: {error}", field=str(path), remedy="See the documented mapping.") from error
    known = {
        "arrival",
        "departure",
        "requested_kwh",
        "delivered_kwh",
        "announced_departure",
        "session_id",
        "station_id",
    }
    known |= {"time_zone", "time_format", "delimiter", "decimal"}
    if not isinstance(given, dict) or set(given) - known:
        wrong = ", ".join(sorted(set(given) - known)) if isinstance(given, dict) else "no object"
        raise BadTable(f"unknown: {wrong}", field=str(path), remedy=f"The keys are {', '.join(sorted(known))}.")
    if not given.get("arrival") or not given.get("departure"):
        raise BadTable("names no column for arrival or departure", field=str(path), remedy="Add both.")
    if not given.get("requested_kwh") and not given.get("delivered_kwh"):
        raise BadTable("names no column with energy", field=str(path), remedy="Add requested_kwh or delivered_kwh.")
    return SessionMapping(
        arrival=given["arrival"],
        departure=given["departure"],
        requested=_energy_column(path, given.get("requested_kwh")),
        delivered=_energy_column(path, given.get("delivered_kwh")),
        announced=given.get("announced_departure"),
        session_id=given.get("session_id"),
        station_id=given.get("station_id"),
        zone=named_zone(given["time_zone"], "time_zone") if given.get("time_zone") else None,
        time_format=given.get("time_format"),
        delimiter=given.get("delimiter"),
        decimal=given.get("decimal", "."),
    )


def _energy_column(path: Path, given: Any) -> EnergyColumn | None:
    if not given:
        return None
    if isinstance(given, str):
        return EnergyColumn(given)
    unit = str(given.get("unit", "kWh")).lower()
    if unit not in KWH_PER_UNIT or not given.get("column"):
        raise BadTable(f"no energy column: {given}", field=str(path), remedy='Write {"column": …, "unit": "Wh"}.')
    return EnergyColumn(given["column"], KWH_PER_UNIT[unit])


def _known_shape(table: Table) -> SessionMapping:
    for shape in (ACN_TABLE, ACN_PORTAL):
        if shape.arrival in table.columns and shape.departure in table.columns:
            absent: dict[str, Any] = {
                name: None
                for name in ("announced", "station_id", "session_id")
                if getattr(shape, name) not in table.columns
            }
            energy = [name for name in ("requested", "delivered") if getattr(shape, name).column in table.columns]
            if not energy:
                needed = "" if shape.requested is None else shape.requested.column
                table.require([needed], "charging sessions")
            absent |= {name: None for name in ("requested", "delivered") if name not in energy}
            return replace(shape, **absent)
    raise BadTable(
        f"line 1: the columns are none of ACN-Data ({', '.join(table.columns)}); expected “{ACN_TABLE.arrival}” and "
        f"“{ACN_TABLE.departure}”, or “{ACN_PORTAL.arrival}” and “{ACN_PORTAL.departure}”",
        field=str(table.path),
        remedy="Say which column holds what with --mapping FILE.json.",
    )


def _session(row: Row, mapping: SessionMapping) -> ChargingSession:
    arrives_at = row.instant(mapping.arrival, zone=mapping.zone, time_format=mapping.time_format)
    leaves_at = row.instant(mapping.departure, zone=mapping.zone, time_format=mapping.time_format)
    stay = timedelta(seconds=leaves_at.timestamp() - arrives_at.timestamp())
    if stay <= timedelta(0):
        raise BadCell(mapping.departure, row.text(mapping.departure), f"a time after the arrival, {arrives_at}")
    if stay > LONGEST_STAY:
        raise BadCell(mapping.departure, row.text(mapping.departure), f"a stay of at most {LONGEST_STAY.days} days")
    requested_kwh = _energy(row, mapping, mapping.requested)
    delivered_kwh = _energy(row, mapping, mapping.delivered)
    wanted_kwh = requested_kwh if requested_kwh is not None else delivered_kwh
    if wanted_kwh is None:
        column = mapping.requested or mapping.delivered
        raise BadCell(column.column if column else "", "", "the energy asked for, or else delivered, in kWh")
    return ChargingSession(
        session_id=row.text(mapping.session_id) if mapping.session_id else f"line {row.line}",
        station_id=row.text(mapping.station_id) if mapping.station_id else "",
        arrives_at=arrives_at,
        leaves_at=leaves_at,
        announced_at=_announced(row, mapping, arrives_at),
        requested_kwh=wanted_kwh,
        delivered_kwh=delivered_kwh,
    )


def _energy(row: Row, mapping: SessionMapping, column: EnergyColumn | None) -> float | None:
    if column is None or not row.text(column.column):
        return None
    expected = "a number of kWh that is not negative"
    kwh = row.number(column.column, expected, decimal=mapping.decimal, least=0.0) * column.kwh_per_unit
    if kwh > MOST_KWH:
        raise BadCell(column.column, row.text(column.column), f"kWh, at most {MOST_KWH:g} (is it in Wh?)")
    return kwh


def _announced(row: Row, mapping: SessionMapping, arrives_at: datetime) -> datetime | None:
    if mapping.announced is None or not row.text(mapping.announced):
        return None
    announced_at = row.instant(mapping.announced, zone=mapping.zone, time_format=mapping.time_format)
    return announced_at if announced_at.timestamp() > arrives_at.timestamp() else None
