"""Periodic event streams of OCPP 2.1: OpenPeriodicEventStream, ClosePeriodicEventStream, and the SEND frames between.

Values of what a meter or a car measures at an EVSE are readings as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fleet.devices.ocpp import handlers
from fleet.devices.ocpp.handlers_notices import record
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.writer import Work
from fleet.operations.event_streams import (
    StreamTarget,
    close_stream,
    open_stream,
    record_stream_values,
    stream_target,
)
from fleet.operations.telemetry import MeterReading

Payload = dict[str, Any]

# Component and variable -> field of a reading, what one unit of the variable is in it, and microseconds: a reading is one
# row per asset and instant, and of two streams that were sampled at once (to the millisecond) the second would be lost.
_MEASURED = {
    ("EVSE", "Power"): ("power_kw", {"": 0.001, "W": 0.001, "kW": 1.0}, 0),
    ("ConnectedEV", "StateOfCharge"): ("soc_fraction", {"": 0.01, "Percent": 0.01, "percent": 0.01}, 1),
}


async def on_open_stream(station: Station, payload: Payload) -> Payload:
    """A station is going to stream a monitored variable."""
    described = payload["constantStreamData"]
    parameters = described["params"]
    station.streams.pop(described["id"], None)
    await record(
        station,
        open_stream,
        stream_id=described["id"],
        monitor_id=described["variableMonitoringId"],
        interval_s=parameters.get("interval"),
        values_per_message=parameters.get("values"),
    )
    return {"status": "Accepted"}


async def on_close_stream(station: Station, payload: Payload) -> Payload:
    """A station streams it no longer."""
    station.streams.pop(payload["id"], None)
    await record(station, close_stream, stream_id=payload["id"])
    return {}


async def on_stream_values(station: Station, payload: Payload) -> None:
    """A frame of values, to which nothing is answered."""
    stream_id = payload["id"]
    target = station.streams.get(stream_id)
    if target is None:
        target = await station.books.write(
            Work(operation=partial(stream_target, identity=station.identity, stream_id=stream_id))
        )
        if target is None:
            station.say_once(f"stream {stream_id}", "streams %s, which is not open or of no known monitor", stream_id)
            return
        station.streams[stream_id] = target
    base = handlers.instant(station, payload["basetime"], "basetime")
    values = [(base + timedelta(seconds=each["t"]), each["v"]) for each in payload["data"]]
    await station.record(
        stream_readings(station, target, values),
        operation=partial(
            record_stream_values,
            identity=station.identity,
            stream_id=stream_id,
            target=target,
            values=values,
            pending=payload["pending"],
        ),
    )


def stream_readings(
    station: Station, target: StreamTarget, values: Sequence[tuple[datetime, str]]
) -> list[MeterReading]:
    """The values as readings, where they are what a reading holds; what is no number is left out."""
    variable = target.variable
    field, units, apart_us = _MEASURED.get((variable.component, variable.name), ("", {}, 0))
    evse = station.evse(variable.evse_number) if field else None
    if evse is None or target.unit not in units:
        return []
    numbers = [(at + timedelta(microseconds=apart_us), _number(text)) for at, text in values]
    return [
        MeterReading(evse.asset_id, at, **_value(field, number * units[target.unit]))
        for at, number in numbers
        if number is not None
    ]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _value(field: str, number: float) -> dict[str, Any]:
    return {field: number}
