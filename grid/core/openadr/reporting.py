"""Reports that an event asks for: when they are due, and what they say of a portfolio.

`frequency`, `repeat` and `startInterval` are read as the User Guide explains them. A report covers the intervals since the
one before. An event without intervals asks for a report at its start, and with `repeat` −1 one every duration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from grid.core.openadr.timing import Span, add_duration, instant, timed_intervals
from grid.core.openadr.wishes import MOST_INTERVALS

AGGREGATED = "AGGREGATED_REPORT"
NORMAL, CURTAILED, HEIGHTENED = "NORMAL", "RUNNING_CURTAILED", "RUNNING_HEIGHTENED"


@dataclass(frozen=True, slots=True)
class Status:
    """A portfolio at one moment. Powers are positive into the assets; what is available is never negative.

    `baseline_kw` is that of a running event; None without one. `soc_fraction` is 0 to 1; None without batteries.
    """

    power_kw: float
    baseline_kw: float | None
    up_kw: float
    down_kw: float
    usable_kwh: float
    soc_fraction: float | None
    max_charge_kw: float
    max_discharge_kw: float
    operating_state: str


@dataclass(frozen=True, slots=True)
class Metered:
    """Energy into the assets over an interval; None where the meters have not told all of it."""

    energy_kwh: float | None


@dataclass(frozen=True, slots=True)
class DueReport:
    """One report: `key` names it among the event's, `spans` are the intervals that it covers, by the client's number."""

    key: str
    payload_types: tuple[str, ...]
    spans: tuple[tuple[int, Span], ...]


def due_reports(event: Mapping[str, Any], received_at: datetime, now: datetime) -> list[DueReport]:
    """The reports that an event has asked for until now, oldest first, joined where they fall together."""
    joined: dict[tuple[tuple[int, Span], ...], list[str]] = {}
    for descriptor in event.get("reportDescriptors") or ():
        for spans in _covered(event, descriptor, received_at, now):
            joined.setdefault(spans, []).append(descriptor["payloadType"])
    return [
        DueReport(
            f"{spans[0][0]}-{spans[-1][0]}@{spans[-1][1].starts_at.isoformat()}", tuple(dict.fromkeys(kinds)), spans
        )
        for spans, kinds in joined.items()
    ]


def report_body(
    *,
    event_id: str,
    client_name: str,
    due: DueReport,
    status: Status,
    metered: Callable[[Span], Metered],
) -> dict[str, Any]:
    """A report as it is sent. What was asked for and cannot be told is left out, and DATA_QUALITY says so."""
    intervals = []
    for number, span in due.spans:
        payloads, missing = [], False
        for kind in due.payload_types:
            values = _values(kind, status, span, metered)
            if values is None:
                missing = True
            else:
                payloads.append({"type": kind, "values": values})
        payloads.append({"type": "DATA_QUALITY", "values": ["MISSING" if missing else "OK"]})
        intervals.append({"id": number, "intervalPeriod": period(span), "payloads": payloads})
    return {
        "eventID": event_id,
        "clientName": client_name,
        "reportName": due.key,
        "payloadDescriptors": [
            {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": kind, "units": _UNITS[kind]}
            for kind in due.payload_types
            if kind in _UNITS
        ],
        "resources": [{"resourceName": AGGREGATED, "intervals": intervals}],
    }


def period(span: Span) -> dict[str, str]:
    """An interval's time on the wire."""
    told = {"start": span.starts_at.astimezone(UTC).isoformat().replace("+00:00", "Z")}
    if span.ends_at is not None:
        told["duration"] = f"PT{max(0, round((span.ends_at - span.starts_at).total_seconds()))}S"
    return told


_UNITS = {
    "READING": "KW",
    "DEMAND": "KW",
    "BASELINE": "KW",
    "UP_REGULATION_AVAILABLE": "KW",
    "DOWN_REGULATION_AVAILABLE": "KW",
    "LOAD_SHED_DELTA_AVAILABLE": "KW",
    "STORAGE_MAX_CHARGE_POWER": "KW",
    "STORAGE_MAX_DISCHARGE_POWER": "KW",
    "USAGE": "KWH",
    "STORAGE_USABLE_CAPACITY": "KWH",
    "STORAGE_CHARGE_LEVEL": "PERCENT",
}


def _values(kind: str, status: Status, span: Span, metered: Callable[[Span], Metered]) -> list[Any] | None:
    if kind in ("USAGE", "DEMAND"):
        hours = 0.0 if span.ends_at is None else (span.ends_at - span.starts_at).total_seconds() / 3600.0
        energy_kwh = metered(span).energy_kwh if hours else None
        if energy_kwh is None:
            return None
        return [round(energy_kwh if kind == "USAGE" else energy_kwh / hours, 3)]
    known: dict[str, Any] = {
        "READING": status.power_kw,
        "BASELINE": status.baseline_kw,
        "UP_REGULATION_AVAILABLE": status.up_kw,
        "DOWN_REGULATION_AVAILABLE": status.down_kw,
        "LOAD_SHED_DELTA_AVAILABLE": status.up_kw,
        "STORAGE_USABLE_CAPACITY": status.usable_kwh,
        "STORAGE_CHARGE_LEVEL": status.soc_fraction,
        "STORAGE_MAX_CHARGE_POWER": status.max_charge_kw,
        "STORAGE_MAX_DISCHARGE_POWER": status.max_discharge_kw,
        "OPERATING_STATE": status.operating_state,
    }
    value = known.get(kind)
    if value is None:
        return None
    return [value if isinstance(value, str) else round(value, 4)]


def _covered(
    event: Mapping[str, Any], descriptor: Mapping[str, Any], received_at: datetime, now: datetime
) -> Iterator[tuple[tuple[int, Span], ...]]:
    if not event.get("intervals"):
        yield from _implied(event, descriptor, received_at, now)
        return
    timed = [(t.interval_id, t.span) for t in islice(timed_intervals(event, received_at), MOST_INTERVALS)]
    if not timed:
        return
    start, count = descriptor.get("startInterval", -1), descriptor.get("numIntervals", -1)
    every = descriptor.get("frequency", -1)
    length = every if every > 0 else count if count > 0 else len(timed)
    first = start if start >= 0 else 0
    repeat = descriptor.get("repeat", 1)
    wanted: Sequence[int] = range(first, len(timed), length)
    if start < 0 and every < 1:  # one report, at the end of the last interval
        wanted, length = [max(0, len(timed) - length)], min(length, len(timed))
    for number, begin in enumerate(wanted):
        if 0 < repeat <= number:
            return
        part = tuple(timed[begin : begin + length])
        ends_at = part[-1][1].ends_at
        if ends_at is None or ends_at > now:
            return
        yield part


def _implied(
    event: Mapping[str, Any], descriptor: Mapping[str, Any], received_at: datetime, now: datetime
) -> Iterator[tuple[tuple[int, Span], ...]]:
    given = event.get("intervalPeriod") or {}
    at: datetime | None = instant(given["start"], received_at) if given.get("start") else received_at
    repeat = descriptor.get("repeat", 1)
    number = 0
    while at is not None and at <= now and number < MOST_INTERVALS and not 0 < repeat <= number:
        ends_at = add_duration(at, given.get("duration") or "PT0S")
        yield ((number, Span(at, ends_at)),)
        if ends_at is None or ends_at <= at:
            return
        at, number = ends_at, number + 1
