"""What stations tell of by themselves or in parts: events, transfers of files, reports, reservations that end.

All of it may come twice, late or out of order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from fleet.models import (
    Charger,
    CommandKind,
    CommandState,
    DeviceCommand,
    Reservation,
    ReservationState,
    StationEvent,
    StationReport,
    StationTransfer,
    TransferKind,
)

# The words with which a transfer is over, in every version; all others are on the way.
SUCCEEDED = frozenset({"Installed", "Uploaded", "Published"})
FAILED = frozenset(
    {
        "AcceptedCanceled",
        "BadMessage",
        "DownloadFailed",
        "InstallationFailed",
        "InstallVerificationFailed",
        "InvalidChecksum",
        "InvalidSignature",
        "NotSupportedOperation",
        "PermissionDenied",
        "PublishFailed",
        "Refused",
        "UploadFailed",
        "UploadFailure",
    }
)
MOST_PARTS = 2000
_ASKED_BY = {
    TransferKind.FIRMWARE: (CommandKind.UPDATE_FIRMWARE,),
    TransferKind.LOG: (CommandKind.GET_LOG, CommandKind.GET_DIAGNOSTICS),
    TransferKind.PUBLISHING: (CommandKind.PUBLISH_FIRMWARE,),
}
CUSTOMER_REPORTS_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class NoticedEvent:
    """A security event, or an event of the device model."""

    kind: str
    name: str
    occurred_at: datetime
    value: str = ""
    detail: str = ""
    evse_number: int = 0
    event_id: int = 0
    severity: int | None = None
    cleared: bool = False


@transaction.atomic
def record_events(*, identity: str, events: Sequence[NoticedEvent], now: datetime) -> int:
    """Keep what a station noticed. Returns how many were told."""
    charger_id = Charger.objects.values_list("pk", flat=True).get(identity=identity)
    StationEvent.objects.bulk_create(
        [
            StationEvent(
                charger_id=charger_id,
                kind=event.kind,
                name=event.name[:110],
                value=event.value[:500],
                detail=event.detail[:500],
                evse_number=event.evse_number,
                event_id=event.event_id,
                severity=event.severity,
                cleared=event.cleared,
                occurred_at=event.occurred_at,
                received_at=now,
            )
            for event in events
        ],
        ignore_conflicts=True,
    )
    return len(events)


@transaction.atomic
def note_transfer(
    *, identity: str, kind: TransferKind, request_id: int | None, status: str, now: datetime, detail: str = ""
) -> None:
    """A station tells how far a file has come. Without a number (1.6) it means the newest that is not over.

    A word that comes after the end, such as Idle because somebody asked, changes nothing.
    """
    charger = Charger.objects.select_for_update(of=("self",)).get(identity=identity)
    rows = StationTransfer.objects.filter(charger=charger, kind=kind)
    if request_id is None or request_id < 0:
        transfer = rows.filter(ended_at=None).order_by("-began_at", "-pk").first() or _under_way(charger, kind, now)
        if transfer is None:
            return
    else:
        transfer, _ = rows.get_or_create(
            charger=charger, kind=kind, request_id=request_id, defaults={"began_at": now, "location": ""}
        )
    if transfer.ended_at is not None or status == "Idle":
        return
    transfer.status, transfer.detail, transfer.status_at = status[:40], detail[:500], now
    if status in SUCCEEDED or status in FAILED:
        transfer.ended_at = now
    transfer.save(update_fields=["status", "detail", "status_at", "ended_at"])


def _under_way(charger: Charger, kind: TransferKind, now: datetime) -> StationTransfer | None:
    """The transfer of a command whose answer has not been taken up yet: a quick station is ahead of it."""
    kinds = _ASKED_BY[kind]
    command = (
        DeviceCommand.objects.filter(asset__evse__charger=charger, kind__in=kinds, state=CommandState.SENT)
        .order_by("-sequence")
        .first()
    )
    if command is None:
        return None
    transfer, _ = StationTransfer.objects.get_or_create(
        charger=charger,
        kind=kind,
        request_id=request_number(command.pk),
        defaults={"began_at": now, "location": command.parameters["location"], "command": command},
    )
    return transfer


def request_number(command_id: int) -> int:
    """The number under which a station reports on what a command asked for; OCPP's integers end at 2³¹."""
    return command_id % (2**31 - 1)


@transaction.atomic
def record_report_part(
    *,
    identity: str,
    action: str,
    request_id: int,
    part: int | None,
    last: bool,
    payload: Mapping[str, Any],
    now: datetime,
) -> None:
    """Keep one part of a report. It is complete when its last part and all before it have come.

    Parts that carry no number (None) come in order, as a station sends one message after the other.
    """
    charger = Charger.objects.select_for_update(of=("self",)).get(identity=identity)
    report, _ = StationReport.objects.get_or_create(
        charger=charger, action=action, request_id=request_id, defaults={"began_at": now, "updated_at": now}
    )
    if len(report.parts) >= MOST_PARTS:
        return
    if part is None:
        again = next((int(number) for number, told in report.parts.items() if told == payload), None)
        part = len(report.parts) if again is None else again
    report.parts[str(part)] = dict(payload)
    if last:
        report.last_part = part
    final = report.last_part
    report.complete = final is not None and all(str(number) in report.parts for number in range(final + 1))
    report.updated_at = now
    report.save(update_fields=["parts", "last_part", "complete", "updated_at"])


@transaction.atomic
def forget_customer_reports(*, now: datetime) -> int:
    """Delete what stations have told of customers a week ago: whoever asked has read it by now. Returns how many."""
    old = StationReport.objects.filter(action="NotifyCustomerInformation", updated_at__lt=now - CUSTOMER_REPORTS_KEPT)
    deleted, _ = old.delete()
    return deleted


@transaction.atomic
def end_reservation(*, identity: str, reservation_id: int, state: ReservationState, reason: str, now: datetime) -> bool:
    """A reservation is over: used, expired or removed by the station. Returns whether it was one that held."""
    rows = Reservation.objects.filter(
        pk=reservation_id,
        charger__identity=identity,
        state__in=[ReservationState.REQUESTED, ReservationState.ACTIVE],
    )
    return bool(rows.update(state=state, reason=reason[:200], ended_at=now))
