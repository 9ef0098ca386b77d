"""What stations' answers to commands change besides the commands themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from django.db import OperationalError, transaction

from fleet.core.station_commands import VariableName, read_variable_name
from fleet.models import (
    CertificateState,
    Charger,
    ChargingSession,
    CommandKind,
    DeviceCommand,
    LocalListEntry,
    Reservation,
    ReservationState,
    StationCertificate,
    StationTransfer,
    TransferKind,
)
from fleet.operations.device_model import (
    ReportedMonitor,
    ReportedVariable,
    forget_monitors,
    record_monitors,
    record_variables,
    variable_of_wire,
)
from fleet.operations.event_streams import adjust_stream, close_other_streams, open_stream
from fleet.operations.station_notices import record_report_part, request_number

logger = logging.getLogger(__name__)

Answer = Mapping[str, Any]


class Outcome(Protocol):
    """What `fleet.operations.commands.CommandOutcome` has of use here."""

    @property
    def answer(self) -> dict: ...

    @property
    def accepted(self) -> bool: ...


def apply_answers(outcomes: Iterable[tuple[DeviceCommand, Outcome]]) -> None:
    """Do what each answer causes. One that cannot be done is logged and must not hold up the answers beside it."""
    for command, outcome in outcomes:
        apply = ANSWERED.get(command.kind)
        if apply is None:
            continue
        try:
            with transaction.atomic():
                apply(command, outcome.answer, outcome.accepted)
        except OperationalError:
            raise
        except Exception:
            logger.exception("the answer to command %s (%s) cannot be taken up", command.pk, command.kind)


def _charger(command: DeviceCommand) -> Charger:
    return Charger.objects.get(evses__asset_id=command.asset_id)


def _certificate_signed(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    state = CertificateState.INSTALLED if accepted else CertificateState.REFUSED
    reason = "" if accepted else str(answer.get("reason", "refused by the station"))[:200]
    StationCertificate.objects.filter(
        pk=command.parameters.get("certificate_id"), state=CertificateState.ISSUED
    ).update(state=state, reason=reason)


def _new_password(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    if not accepted:
        Charger.objects.filter(evses__asset_id=command.asset_id).update(next_password_hash="")


def _variables(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    variables = [
        ReportedVariable(
            VariableName("", item["key"]),
            item.get("value"),
            described=True,
            mutability="ReadOnly" if item["readonly"] else "ReadWrite",
        )
        for item in answer.get("configurationKey", ())
    ]
    variables += [
        ReportedVariable(variable_of_wire(item), item.get("attributeValue"), item.get("attributeType", "Actual"))
        for item in answer.get("getVariableResult", ())
        if item["attributeStatus"] == "Accepted"
    ]
    if variables:
        record_variables(identity=_charger(command).identity, variables=variables, now=_answered_at(command))


def _written(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    if not accepted:
        return
    charger = _charger(command)
    name = read_variable_name(command.parameters["variable"])
    attribute = command.parameters.get("attribute", "Actual")
    known = charger.variables.filter(
        component=name.component,
        component_instance=name.component_instance,
        evse_number=name.evse_number,
        connector_number=name.connector_number,
        name=name.name,
        instance=name.instance,
        attribute=attribute,
    )
    known.exclude(mutability="WriteOnly").update(value=command.parameters["value"], reported_at=_answered_at(command))


def _monitors_set(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    monitors = [
        ReportedMonitor(
            item["id"], variable_of_wire(item), item["type"], float(command.parameters["value"]), item["severity"]
        )
        for item in answer.get("setMonitoringResult", ())
        if item["status"] == "Accepted" and "id" in item
    ]
    if monitors:
        record_monitors(identity=_charger(command).identity, monitors=monitors, now=_answered_at(command))


def _monitors_cleared(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    gone = [
        item["id"] for item in answer.get("clearMonitoringResult", ()) if item["status"] in ("Accepted", "NotFound")
    ]
    forget_monitors(charger_id=_charger(command).pk, monitor_ids=gone)


def _streams_listed(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    charger, at = _charger(command), _answered_at(command)
    listed = answer.get("constantStreamData", ())
    for item in listed:
        open_stream(
            identity=charger.identity,
            stream_id=item["id"],
            monitor_id=item["variableMonitoringId"],
            interval_s=item["params"].get("interval"),
            values_per_message=item["params"].get("values"),
            now=at,
        )
    close_other_streams(charger_id=charger.pk, open_ids=[item["id"] for item in listed], now=at)


def _stream_adjusted(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    given = command.parameters
    told = {"interval_s": given.get("stream_interval_s"), "values_per_message": given.get("stream_values")}
    if accepted:
        changed = {field: value for field, value in told.items() if value is not None}
        adjust_stream(charger_id=_charger(command).pk, stream_id=given["stream_id"], **changed)


def _local_list(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    """What the station now holds is what it accepted; after a mismatch its list is unknown, and the next one is whole."""
    charger = _charger(command)
    if not accepted:
        charger.local_list_version = 0
        charger.save(update_fields=["local_list_version"])
        return
    entries, removed = command.parameters["entries"], command.parameters.get("removed", [])
    if command.parameters["mode"] == "full":
        charger.local_list.all().delete()
    charger.local_list.filter(id_token__in=[entry["id_token"] for entry in removed]).delete()
    LocalListEntry.objects.bulk_create(
        [
            LocalListEntry(
                charger=charger,
                id_token=entry["id_token"],
                kind=entry["kind"],
                status=entry["status"],
                expires_at=entry.get("expires_at"),
            )
            for entry in entries
        ],
        update_conflicts=True,
        unique_fields=["charger", "id_token"],
        update_fields=["kind", "status", "expires_at"],
    )
    charger.local_list_version = command.parameters["version"]
    charger.save(update_fields=["local_list_version"])


def _local_list_version(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    """A station that has another version than we think is sent the whole list next time."""
    told = answer.get("versionNumber", answer.get("listVersion"))
    charger = _charger(command)
    if told is not None and told != charger.local_list_version:
        charger.local_list_version = 0
        charger.save(update_fields=["local_list_version"])


def _reserved(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    state = ReservationState.ACTIVE if accepted else ReservationState.REFUSED
    rows = Reservation.objects.filter(pk=command.parameters["reservation_id"], state=ReservationState.REQUESTED)
    rows.update(
        state=state,
        reason=str(answer.get("status", answer.get("error", "")))[:200] if not accepted else "",
        ended_at=None if accepted else _answered_at(command),
    )


def _reservation_cancelled(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    # a station that does not know it holds nothing for it either
    Reservation.objects.filter(
        pk=command.parameters["reservation_id"],
        state__in=[ReservationState.REQUESTED, ReservationState.ACTIVE],
    ).update(state=ReservationState.CANCELLED, ended_at=_answered_at(command))


def _transfer_of(kind: TransferKind) -> Callable[[DeviceCommand, Answer, bool], None]:
    def note(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
        at = _answered_at(command)
        transfer, _ = StationTransfer.objects.get_or_create(
            charger=_charger(command),
            kind=kind,
            request_id=request_number(command.pk),
            defaults={"began_at": at, "location": ""},
        )
        transfer.command = command
        transfer.location = command.parameters["location"]
        if not accepted and transfer.ended_at is None:
            transfer.status, transfer.ended_at = "Refused", at
            transfer.detail = str(answer.get("reason", ""))[:500]
        elif not transfer.status:
            transfer.status = "Accepted"
        transfer.save()

    return note


def _transaction_status(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    """Nothing waits at the station any more, so what is missing between the events of a transaction will not come."""
    transaction_id = command.parameters.get("transaction_id")
    if not accepted or answer.get("messagesInQueue") or not transaction_id:
        return
    session = ChargingSession.objects.filter(
        charger__evses__asset_id=command.asset_id, transaction_id=transaction_id
    ).first()
    if session is not None and len(session.received_sequences) > 1:
        ChargingSession.objects.filter(pk=session.pk).update(events_lost=True)


def _certificates_listed(command: DeviceCommand, answer: Answer, accepted: bool) -> None:
    record_report_part(
        identity=_charger(command).identity,
        action="GetInstalledCertificateIds",
        request_id=request_number(command.pk),
        part=0,
        last=True,
        payload=answer,
        now=_answered_at(command),
    )


def _answered_at(command: DeviceCommand) -> Any:
    assert command.answered_at is not None
    return command.answered_at


ANSWERED: dict[str, Callable[[DeviceCommand, Answer, bool], None]] = {
    CommandKind.CERTIFICATE_SIGNED: _certificate_signed,
    CommandKind.NEW_PASSWORD: _new_password,
    CommandKind.READ_VARIABLES: _variables,
    CommandKind.BASE_REPORT: _variables,
    CommandKind.WRITE_VARIABLE: _written,
    CommandKind.SET_MONITOR: _monitors_set,
    CommandKind.CLEAR_MONITORS: _monitors_cleared,
    CommandKind.LIST_STREAMS: _streams_listed,
    CommandKind.ADJUST_STREAM: _stream_adjusted,
    CommandKind.LOCAL_LIST: _local_list,
    CommandKind.LOCAL_LIST_VERSION: _local_list_version,
    CommandKind.RESERVE: _reserved,
    CommandKind.CANCEL_RESERVATION: _reservation_cancelled,
    CommandKind.UPDATE_FIRMWARE: _transfer_of(TransferKind.FIRMWARE),
    CommandKind.GET_LOG: _transfer_of(TransferKind.LOG),
    CommandKind.GET_DIAGNOSTICS: _transfer_of(TransferKind.LOG),
    CommandKind.PUBLISH_FIRMWARE: _transfer_of(TransferKind.PUBLISHING),
    CommandKind.TRANSACTION_STATUS: _transaction_status,
    CommandKind.LIST_CERTIFICATES: _certificates_listed,
}
