"""Charging stations for those who operate them: what they are, what they said, what was asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet

from fleet.core.station_commands import VariableName, write_variable_name
from fleet.models import (
    Charger,
    ChargerProtocol,
    CommandBatch,
    DeviceCommand,
    Reservation,
    StationCertificate,
    StationEvent,
    StationReport,
    StationTransfer,
    StationVariable,
    VariableMonitor,
)

MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class StationView:
    """A charging station that speaks OCPP."""

    station_id: int
    identity: str
    site: str
    protocol: str
    vendor: str
    model: str
    serial_number: str
    firmware_version: str
    security_profile: int
    local_list_version: int
    connected: bool
    last_seen_at: datetime | None
    evses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VariableView:
    """A variable of a station. `value` is None where the station does not say it."""

    name: str
    attribute: str
    value: str | None
    mutability: str
    data_type: str
    unit: str
    choices: str
    reported_at: datetime


@dataclass(frozen=True, slots=True)
class MonitorView:
    """A monitor that a station has set."""

    monitor_id: int
    variable: str
    type: str
    value: float
    severity: int


@dataclass(frozen=True, slots=True)
class StationEventView:
    """Something that a station noticed."""

    event_id: int
    kind: str
    name: str
    value: str
    detail: str
    severity: int | None
    cleared: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class TransferView:
    """A log or firmware, and how far it has come."""

    kind: str
    location: str
    status: str
    detail: str
    began_at: datetime
    ended_at: datetime | None
    command_id: int | None


@dataclass(frozen=True, slots=True)
class CertificateView:
    """A certificate of a station, or its request for one."""

    state: str
    reason: str
    fingerprint: str
    serial_number: str
    requested_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReservationView:
    """A reservation. `evse` is 0 for any of the station's."""

    reservation_id: int
    identity: str
    evse: int
    state: str
    reason: str
    starts_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command to a station and what became of it."""

    command_id: int
    identity: str
    kind: str
    parameters: dict[str, Any]
    state: str
    answer: dict[str, Any]
    requested_by: str
    queued_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class BatchView:
    """One command to many stations: how many of its commands are where."""

    batch_id: int
    kind: str
    requested_by: str
    requested_at: datetime
    stations: int
    waiting: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class ReportView:
    """What a station has told in parts."""

    action: str
    command_number: int
    complete: bool
    updated_at: datetime
    parts: tuple[dict[str, Any], ...]


def _stations() -> QuerySet[Charger]:
    return Charger.objects.exclude(protocol=ChargerProtocol.MQTT).select_related("site").prefetch_related("evses")


def _station(row: Charger) -> StationView:
    return StationView(
        row.pk,
        row.identity,
        row.site.identity,
        row.protocol,
        row.vendor,
        row.model,
        row.serial_number,
        row.firmware_version,
        row.security_profile,
        row.local_list_version,
        bool(row.gateway_identity),
        row.last_seen_at,
        tuple(sorted(evse.number for evse in row.evses.all())),
    )


def stations(*, before_id: int | None, limit: int, vendor: str = "", model: str = "") -> list[StationView]:
    """Stations, the latest registered first."""
    rows = _stations().order_by("-pk")
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    if vendor:
        rows = rows.filter(vendor__iexact=vendor)
    if model:
        rows = rows.filter(model__iexact=model)
    return [_station(row) for row in rows[:limit]]


def station(identity: str) -> StationView | None:
    """One station; None if there is none of that identity that speaks OCPP."""
    row = _stations().filter(identity=identity).first()
    return None if row is None else _station(row)


def station_variables(identity: str) -> list[VariableView]:
    """What is known of a station's variables, by name."""
    rows = StationVariable.objects.filter(charger__identity=identity).order_by("component", "name", "instance", "pk")
    return [
        VariableView(
            write_variable_name(
                VariableName(
                    row.component,
                    row.name,
                    row.component_instance,
                    row.instance,
                    row.evse_number,
                    row.connector_number,
                )
            ),
            row.attribute,
            None if row.mutability == "WriteOnly" else row.value,
            row.mutability,
            row.data_type,
            row.unit,
            row.choices,
            row.reported_at,
        )
        for row in rows[:MOST_ROWS]
    ]


def station_monitors(identity: str) -> list[MonitorView]:
    """The monitors that a station has."""
    rows = VariableMonitor.objects.filter(charger__identity=identity).order_by("monitor_id")
    return [
        MonitorView(
            row.monitor_id,
            write_variable_name(VariableName(row.component, row.name, evse_number=row.evse_number)),
            row.kind,
            row.value,
            row.severity,
        )
        for row in rows[:MOST_ROWS]
    ]


def station_events(identity: str, *, before_id: int | None = None, limit: int = 50) -> list[StationEventView]:
    """What a station has noticed, the latest told first."""
    rows = StationEvent.objects.filter(charger__identity=identity).order_by("-pk")
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    return [
        StationEventView(row.pk, row.kind, row.name, row.value, row.detail, row.severity, row.cleared, row.occurred_at)
        for row in rows[:limit]
    ]


def station_transfers(identity: str, *, limit: int = 50) -> list[TransferView]:
    """Logs and firmware of a station, the latest first."""
    rows = StationTransfer.objects.filter(charger__identity=identity).order_by("-began_at")
    return [
        TransferView(row.kind, row.location, row.status, row.detail, row.began_at, row.ended_at, row.command_id)
        for row in rows[:limit]
    ]


def station_certificates(identity: str, *, limit: int = 50) -> list[CertificateView]:
    """Certificates of a station, the latest first."""
    rows = StationCertificate.objects.filter(charger__identity=identity).order_by("-requested_at")
    return [
        CertificateView(row.state, row.reason, row.fingerprint, row.serial_number, row.requested_at, row.expires_at)
        for row in rows[:limit]
    ]


def station_reports(identity: str, *, action: str = "", limit: int = 20) -> list[ReportView]:
    """What a station has told in parts, the latest first."""
    rows = StationReport.objects.filter(charger__identity=identity).order_by("-began_at")
    if action:
        rows = rows.filter(action=action)
    return [
        ReportView(
            row.action,
            row.request_id,
            row.complete,
            row.updated_at,
            tuple(row.parts[number] for number in sorted(row.parts, key=int)),
        )
        for row in rows[:limit]
    ]


def reservations(
    *, before_id: int | None = None, limit: int = 50, identity: str = "", reservation_id: int | None = None
) -> list[ReservationView]:
    """Reservations, the latest first."""
    rows = Reservation.objects.select_related("charger", "evse").order_by("-pk")
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    if identity:
        rows = rows.filter(charger__identity=identity)
    if reservation_id is not None:
        rows = rows.filter(pk=reservation_id)
    return [
        ReservationView(
            row.pk,
            row.charger.identity,
            row.evse.number if row.evse is not None else 0,
            row.state,
            row.reason,
            row.starts_at,
            row.expires_at,
        )
        for row in rows[:limit]
    ]


def _commands() -> QuerySet[DeviceCommand]:
    return DeviceCommand.objects.filter(asset__evse__isnull=False).select_related("asset__evse__charger")


def _command(row: DeviceCommand) -> CommandView:
    # certificates and lists of tokens are long, and tokens are nobody's business
    shown = {
        name: value
        for name, value in row.parameters.items()
        if name not in ("certificate_chain", "certificate", "entries", "removed", "id_token", "signing_certificate")
    }
    return CommandView(
        row.pk,
        row.asset.evse.charger.identity,
        row.kind,
        shown,
        row.state,
        row.answer or {},
        row.requested_by,
        row.queued_at,
        row.answered_at,
    )


def command(command_id: int) -> CommandView | None:
    """One command to a station."""
    row = _commands().filter(pk=command_id).first()
    return None if row is None else _command(row)


def batch_commands(batch_id: int, *, before_id: int | None, limit: int, state: str = "") -> list[CommandView]:
    """The commands of a batch, the latest first."""
    rows = _commands().filter(batch_id=batch_id).order_by("-pk")
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    if state:
        rows = rows.filter(state=state)
    return [_command(row) for row in rows[:limit]]


def batches(*, before_id: int | None = None, limit: int = 50, batch_id: int | None = None) -> list[BatchView]:
    """Commands to many stations, the latest first, with how far they are. Two queries."""
    rows = CommandBatch.objects.order_by("-pk")
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    if batch_id is not None:
        rows = rows.filter(pk=batch_id)
    found = list(rows[:limit])
    counts: dict[int, dict[str, int]] = {}
    grouped = (
        DeviceCommand.objects.filter(batch__in=found).order_by().values_list("batch_id", "state").annotate(Count("pk"))
    )
    for found_id, state, count in grouped:
        counts.setdefault(found_id, {})[state] = count
    return [_batch(row, counts.get(row.pk, {})) for row in found]


def _batch(row: CommandBatch, counts: dict[str, int]) -> BatchView:
    total = sum(counts.values())
    waiting = counts.get("queued", 0) + counts.get("sent", 0)
    done = counts.get("confirmed", 0)
    return BatchView(row.pk, row.kind, row.requested_by, row.requested_at, total, waiting, done, total - waiting - done)
