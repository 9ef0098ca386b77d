"""ReportDERControl, NotifyDERStartStop and NotifyDERAlarm of OCPP 2.1 -> what is kept of a station's DER controls."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from fleet.core.der_control import CONTENT_OF, CURVE
from fleet.devices.ocpp import handlers
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.writer import Work
from fleet.models import CommandKind
from fleet.operations.commands import CommandOutcome, DueCommand
from fleet.operations.der import (
    ReportedControl,
    note_der_answer,
    note_der_start_stop,
    record_der_alarm,
    record_der_report,
)

Payload = dict[str, Any]

# list of ReportDERControl -> (element that holds the content, type of control)
_LISTS = {
    **{content: (content, control_type) for control_type, content in CONTENT_OF.items() if content != CURVE},
    "fixedPFAbsorb": ("fixedPF", "FixedPFAbsorb"),
    "fixedPFInject": ("fixedPF", "FixedPFInject"),
    CURVE: (CURVE, ""),
}


async def on_report_der_control(station: Station, payload: Payload) -> Payload:
    """A part of the report that was asked for."""
    await station.books.write(
        Work(
            operation=partial(
                record_der_report,
                identity=station.identity,
                request_id=payload["requestId"],
                controls=list(read_controls(payload)),
                is_last=not payload.get("tbc", False),
                now=station.clock(),
            )
        )
    )
    return {}


def read_controls(payload: Payload) -> Iterator[ReportedControl]:
    """The controls in a report. Those without the words default and superseded, which some types lack, are neither."""
    for name, (element, control_type) in _LISTS.items():
        for item in payload.get(name, ()):
            yield ReportedControl(
                control_id=item["id"],
                control_type=control_type or item["curveType"],
                is_default=item.get("isDefault", False),
                is_superseded=item.get("isSuperseded", False),
                content=item[element],
            )


async def on_notify_der_start_stop(station: Station, payload: Payload) -> Payload:
    """A scheduled control has begun or ended."""
    known = await station.books.write(
        Work(
            operation=partial(
                note_der_start_stop,
                identity=station.identity,
                control_id=payload["controlId"],
                started=payload["started"],
                at=handlers.instant(station, payload["timestamp"], "timestamp"),
                superseded_ids=payload.get("supersededIds", ()),
                now=station.clock(),
            )
        )
    )
    if not known:
        station.say_once("der control", "speaks of the DER control %s, which is not known", payload["controlId"])
    return {}


async def on_notify_der_alarm(station: Station, payload: Payload) -> Payload:
    """A control acts on a fault of the grid, or no longer."""
    await station.books.write(
        Work(
            operation=partial(
                record_der_alarm,
                identity=station.identity,
                control_type=payload["controlType"],
                fault=payload.get("gridEventFault", ""),
                ended=payload.get("alarmEnded", False),
                at=handlers.instant(station, payload["timestamp"], "timestamp"),
                extra=payload.get("extraInfo", ""),
            )
        )
    )
    return {}


def note_answer(station: Station, command: DueCommand, outcome: CommandOutcome) -> None:
    """Keep what a station answered to a control being set or cleared."""
    if command.kind not in (CommandKind.SET_DER_CONTROL, CommandKind.CLEAR_DER_CONTROL):
        return
    answer = outcome.answer
    station.books.post(
        Work(
            operation=partial(
                note_der_answer,
                identity=station.identity,
                kind=command.kind,
                control_id=command.parameters["request"]["controlId"],
                status=answer.get("status") or outcome.reason or "Rejected",
                superseded_ids=answer.get("supersededIds", ()),
                now=outcome.answered_at,
            )
        )
    )
