"""What stations tell besides charging, in every version: events, certificates, transfers of files, reports in parts.

All of it is answered after the commit, because a station forgets what was answered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fleet.devices.ocpp import handlers
from fleet.devices.ocpp.connection import Handler
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.writer import Work
from fleet.models import CertificateUse, ReservationState, StationEventKind, TransferKind
from fleet.operations.certificates import request_certificate
from fleet.operations.device_model import (
    ReportedMonitor,
    ReportedVariable,
    record_monitors,
    record_variables,
    variable_of_wire,
)
from fleet.operations.station_notices import (
    NoticedEvent,
    end_reservation,
    note_transfer,
    record_events,
    record_report_part,
)

Payload = dict[str, Any]
Operation = Callable[..., Any]


async def record(station: Station, operation: Operation, **arguments: Any) -> Any:
    """Make something that the station told durable."""
    return await station.books.write(
        Work(operation=partial(operation, identity=station.identity, now=station.clock(), **arguments))
    )


async def on_security_event(station: Station, payload: Payload) -> Payload:
    """A security event: kept, and shown to operators."""
    event = NoticedEvent(
        kind=StationEventKind.SECURITY,
        name=payload["type"],
        occurred_at=handlers.instant(station, payload["timestamp"], "timestamp"),
        detail=payload.get("techInfo", ""),
    )
    await record(station, record_events, events=[event])
    return {}


async def on_sign_certificate(station: Station, payload: Payload) -> Payload:
    """A station asks for a certificate. The worker that holds our authority signs it; the answer is a command."""
    accepted = await record(
        station,
        request_certificate,
        csr=payload["csr"],
        use=payload.get("certificateType", CertificateUse.CHARGING_STATION),
    )
    return {"status": "Accepted" if accepted else "Rejected"}


def on_get_certificate_status(station: Station, payload: Payload) -> Payload:
    """Whether a car's certificate is revoked: we have no way to ask its issuer, which the answer says (M06)."""
    return {"status": "Failed"}


def on_get_15118_ev_certificate(station: Station, payload: Payload) -> Payload:
    """A contract certificate for a car: we are no provider of contracts (M01, M02)."""
    return {"status": "Failed", "exiResponse": ""}


def transfer_status(kind: TransferKind) -> Handler:
    """How far a file has come."""

    async def on_status(station: Station, payload: Payload) -> Payload:
        info = payload.get("statusInfo", {})
        detail = " ".join(filter(None, [info.get("reasonCode", ""), info.get("additionalInfo", "")]))
        locations = payload.get("location", ())
        await record(
            station,
            note_transfer,
            kind=kind,
            request_id=payload.get("requestId"),
            status=payload["status"],
            detail=detail or ", ".join(locations),
        )
        return {}

    return on_status


def report_part(action: str) -> Handler:
    """One part of a report that was asked for; some messages number theirs."""

    async def on_part(station: Station, payload: Payload) -> Payload:
        await keep_part(station, action, payload)
        return {}

    return on_part


async def keep_part(station: Station, action: str, payload: Payload) -> None:
    """Keep a part in its report."""
    await record(
        station,
        record_report_part,
        action=action,
        request_id=payload["requestId"],
        part=payload.get("seqNo"),
        last=not payload.get("tbc", False),
        payload=payload,
    )


async def on_notify_report(station: Station, payload: Payload) -> Payload:
    """A part of a report of the device model: every variable's attributes are stored."""
    variables = [
        ReportedVariable(
            variable_of_wire(item),
            attribute.get("value"),
            attribute=attribute.get("type", "Actual"),
            described=True,
            mutability=attribute.get("mutability", "ReadWrite"),
            data_type=item.get("variableCharacteristics", {}).get("dataType", ""),
            unit=item.get("variableCharacteristics", {}).get("unit", ""),
            choices=item.get("variableCharacteristics", {}).get("valuesList", ""),
            supports_monitoring=item.get("variableCharacteristics", {}).get("supportsMonitoring", False),
        )
        for item in payload.get("reportData", ())
        for attribute in item["variableAttribute"]
    ]
    if variables:
        await record(station, record_variables, variables=variables)
    # the variables are in their own table; the report says only which parts have come
    await keep_part(station, "NotifyReport", _without(payload, "reportData"))
    return {}


async def on_notify_monitoring_report(station: Station, payload: Payload) -> Payload:
    """A part of a report of monitors."""
    monitors = [
        ReportedMonitor(each["id"], variable_of_wire(item), each["type"], float(each["value"]), each["severity"])
        for item in payload.get("monitor", ())
        for each in item["variableMonitoring"]
    ]
    if monitors:
        await record(station, record_monitors, monitors=monitors)
    await keep_part(station, "NotifyMonitoringReport", _without(payload, "monitor"))
    return {}


def _without(payload: Payload, key: str) -> Payload:
    return {name: value for name, value in payload.items() if name != key}


async def record_device_events(station: Station, payload: Payload) -> None:
    """Events of the device model, except those that say of a connector what its status says anyway."""
    events = [
        NoticedEvent(
            kind=StationEventKind.MONITORING,
            name=f"{event['component']['name']}.{event['variable']['name']}",
            occurred_at=handlers.instant(station, event["timestamp"], "eventData.timestamp"),
            value=event["actualValue"],
            detail=event.get("techInfo", ""),
            evse_number=event["component"].get("evse", {}).get("id", 0),
            event_id=event["eventId"],
            severity=event.get("severity"),
            cleared=event.get("cleared", False),
        )
        for event in payload["eventData"]
        if event["variable"]["name"] != "AvailabilityState"
    ]
    if events:
        await record(station, record_events, events=events)


async def on_reservation_status(station: Station, payload: Payload) -> Payload:
    """A reservation has run out, or the station had to give it up."""
    status = payload["reservationUpdateStatus"]
    state = ReservationState.EXPIRED if status == "Expired" else ReservationState.CANCELLED
    await record(station, end_reservation, reservation_id=payload["reservationId"], state=state, reason=status)
    return {}


async def use_reservation(station: Station, reservation_id: int | None) -> None:
    """A transaction has begun with a reservation."""
    if reservation_id is not None:
        await record(station, end_reservation, reservation_id=reservation_id, state=ReservationState.USED, reason="")


HANDLERS_V16: dict[str, Handler] = {
    "SecurityEventNotification": on_security_event,
    "SignCertificate": on_sign_certificate,
    "FirmwareStatusNotification": transfer_status(TransferKind.FIRMWARE),
    "SignedFirmwareStatusNotification": transfer_status(TransferKind.FIRMWARE),
    "DiagnosticsStatusNotification": transfer_status(TransferKind.LOG),
    "LogStatusNotification": transfer_status(TransferKind.LOG),
}
HANDLERS_V201: dict[str, Handler] = {
    "SecurityEventNotification": on_security_event,
    "SignCertificate": on_sign_certificate,
    "GetCertificateStatus": on_get_certificate_status,
    "Get15118EVCertificate": on_get_15118_ev_certificate,
    "FirmwareStatusNotification": transfer_status(TransferKind.FIRMWARE),
    "PublishFirmwareStatusNotification": transfer_status(TransferKind.PUBLISHING),
    "LogStatusNotification": transfer_status(TransferKind.LOG),
    "NotifyMonitoringReport": on_notify_monitoring_report,
    "NotifyCustomerInformation": report_part("NotifyCustomerInformation"),
    "NotifyDisplayMessages": report_part("NotifyDisplayMessages"),
    "ReportChargingProfiles": report_part("ReportChargingProfiles"),
    "ReservationStatusUpdate": on_reservation_status,
}
