"""Periodic event streams (OCPP 2.1): opened and closed by stations, their values stored with the device model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F

from fleet.core.station_commands import VariableName
from fleet.models import Charger, EventStream, StationVariable, VariableMonitor
from fleet.operations.device_model import ReportedVariable, record_variables


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """What a stream tells of: a variable and its unit (empty if the station has not said)."""

    variable: VariableName
    unit: str


@transaction.atomic
def open_stream(
    *,
    identity: str,
    stream_id: int,
    monitor_id: int,
    interval_s: int | None,
    values_per_message: int | None,
    now: datetime,
) -> None:
    """A station opens a stream, or tells anew of one that it has."""
    charger = Charger.objects.get(identity=identity)
    terms = {
        "monitor_id": monitor_id,
        "interval_s": interval_s,
        "values_per_message": values_per_message,
        "closed_at": None,
    }
    EventStream.objects.update_or_create(
        charger=charger, stream_id=stream_id, defaults=terms, create_defaults={**terms, "opened_at": now}
    )


@transaction.atomic
def close_stream(*, identity: str, stream_id: int, now: datetime) -> bool:
    """A station closes a stream. Returns whether it was open."""
    streams = EventStream.objects.filter(charger__identity=identity, stream_id=stream_id, closed_at=None)
    return bool(streams.update(closed_at=now))


@transaction.atomic
def close_other_streams(*, charger_id: int, open_ids: Sequence[int], now: datetime) -> int:
    """A station has listed its streams: what it does not name is no longer open. Returns how many."""
    streams = EventStream.objects.filter(charger_id=charger_id, closed_at=None).exclude(stream_id__in=open_ids)
    return streams.update(closed_at=now)


def adjust_stream(*, charger_id: int, stream_id: int, **changed: int) -> None:
    """A station sends a stream more or less often: `interval_s`, `values_per_message`."""
    EventStream.objects.filter(charger_id=charger_id, stream_id=stream_id).update(**changed)


def stream_target(*, identity: str, stream_id: int) -> StreamTarget | None:
    """What an open stream tells of; None if it is not open, or its monitor is not known yet."""
    stream = EventStream.objects.filter(charger__identity=identity, stream_id=stream_id, closed_at=None).first()
    if stream is None:
        return None
    monitor = VariableMonitor.objects.filter(charger_id=stream.charger_id, monitor_id=stream.monitor_id).first()
    if monitor is None:
        return None
    known = StationVariable.objects.filter(
        charger_id=stream.charger_id,
        component=monitor.component,
        evse_number=monitor.evse_number,
        name=monitor.name,
    ).first()
    variable = VariableName(component=monitor.component, name=monitor.name, evse_number=monitor.evse_number)
    return StreamTarget(variable, known.unit if known is not None else "")


@transaction.atomic
def record_stream_values(
    *, identity: str, stream_id: int, target: StreamTarget, values: Sequence[tuple[datetime, str]], pending: int
) -> None:
    """Values of a stream, in order: the newest becomes the variable's value, and the stream's. Older ones change neither."""
    at, newest = max(values)
    streams = EventStream.objects.filter(charger__identity=identity, stream_id=stream_id)
    streams.update(received=F("received") + len(values), pending=pending)
    later = streams.exclude(last_value_at__gt=at).update(last_value=newest[:200], last_value_at=at)
    if later:
        record_variables(identity=identity, variables=[ReportedVariable(target.variable, newest)], now=at)
