"""OCPP 2.0.1: what each message of a charging station does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fleet.devices.ocpp import handlers, handlers_notices
from fleet.devices.ocpp.charging_limits import on_cleared_charging_limit, on_notify_charging_limit
from fleet.devices.ocpp.charging_needs import ChargingNeeds, read_charging_needs
from fleet.devices.ocpp.configuration import SMART_CHARGING_COMPONENT, read_capability, remember
from fleet.devices.ocpp.connection import Handler
from fleet.devices.ocpp.measurands import keep_beside
from fleet.devices.ocpp.samples import first_import_kwh, last_import_kwh, read_meter_values
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.writer import Work
from fleet.operations.sessions import (
    SessionEnded,
    SessionStarted,
    SessionUpdated,
    UnknownTransaction,
    end_session,
    start_session,
    update_session,
)
from fleet.operations.stations import Authorisation, UnknownEvse
from fleet.operations.telemetry import MeterReading

Payload = dict[str, Any]

_STATUSES = frozenset({"Available", "Occupied", "Reserved", "Unavailable", "Faulted"})
# the driver needs no token where the station asks for none
_NO_TOKEN = "NoAuthorization"
LARGEST_SEQUENCE_NUMBER = 2**31 - 1


async def on_boot_notification(station: Station, payload: Payload) -> Payload:
    """The charging station has started."""
    described = payload["chargingStation"]
    return await handlers.boot(
        station,
        vendor=described["vendorName"],
        model=described["model"],
        serial_number=described.get("serialNumber", ""),
        firmware_version=described.get("firmwareVersion", ""),
    )


async def on_authorize(station: Station, payload: Payload) -> Payload:
    """Whether a token may charge."""
    return {"idTokenInfo": token_info(await authorise_id_token(station, payload["idToken"]))}


async def authorise_id_token(station: Station, id_token: Payload) -> Authorisation:
    """Look a token up; the type NoAuthorization asks for nothing."""
    if id_token["type"] == _NO_TOKEN:
        return Authorisation(True, "", None)
    return await handlers.authorise(station, id_token["idToken"])


def token_info(authorisation: Authorisation) -> Payload:
    """IdTokenInfo: our reasons are words of the protocol already."""
    return {"status": authorisation.reason or "Accepted"}


async def on_status_notification(station: Station, payload: Payload) -> Payload:
    """A connector's status."""
    await handlers.connector_status(
        station,
        evse_number=payload["evseId"],
        connector_number=payload["connectorId"],
        status=payload["connectorStatus"],
        detail="",
        at=handlers.instant(station, payload["timestamp"], "timestamp"),
    )
    return {}


async def on_transaction_event(station: Station, payload: Payload) -> Payload:
    """A transaction begins, goes on or ends, now or while the station was offline."""
    transaction_id = payload["transactionInfo"]["transactionId"]
    evse_number = payload.get("evse", {}).get("id")
    if evse_number is None:
        evse_number = await handlers.evse_of_transaction(station, transaction_id)
    evse = station.evse(evse_number)
    if evse is None:
        raise UnknownEvse(
            f"transaction {transaction_id} is at EVSE {evse_number}, which is not registered", field="evse"
        )
    readings = (
        read_meter_values(payload["meterValue"], asset_id=evse.asset_id, version=station.version)
        if "meterValue" in payload
        else []
    )
    if "meterValue" in payload:
        keep_beside(station, payload["meterValue"], asset_id=evse.asset_id, transaction_id=transaction_id)
    event = payload["eventType"]
    if event == "Started":
        return await _start(station, payload, evse.number, readings)
    if event == "Ended":
        return await _end(station, payload, evse.number, readings)
    if transaction_id in station.stays and "idToken" not in payload:
        await station.record(readings, transaction_id=transaction_id, sequence_number=_sequence_number(payload))
        return _with_cost(station, transaction_id, readings, {})
    return await _go_on(station, payload, evse.number, readings)


def _sequence_number(payload: Payload) -> int:
    """The number of an event; the schema sets it no upper bound, the column does."""
    return min(int(payload["seqNo"]), LARGEST_SEQUENCE_NUMBER)


def _token_text(payload: Payload) -> str:
    """The token of an event; empty where there is none or none is needed."""
    id_token = payload.get("idToken")
    return "" if id_token is None or id_token["type"] == _NO_TOKEN else id_token["idToken"]


def _answer(payload: Payload, *, accepted: bool, reason: str) -> Payload:
    """The answer to an event: a token that was shown is judged; one that is not needed is fine."""
    if "idToken" not in payload:
        return {}
    if not _token_text(payload):
        return {"idTokenInfo": {"status": "Accepted"}}
    return {"idTokenInfo": {"status": "Accepted" if accepted else reason}}


def _start_operation(
    station: Station, payload: Payload, evse_number: int, readings: Sequence[MeterReading]
) -> partial[SessionStarted]:
    return partial(
        start_session,
        identity=station.identity,
        evse_number=evse_number,
        transaction_id=payload["transactionInfo"]["transactionId"],
        id_token=_token_text(payload),
        started_at=handlers.instant(station, payload["timestamp"], "timestamp"),
        meter_start_kwh=first_import_kwh(readings),
        sequence_number=_sequence_number(payload),
        now=station.clock(),
    )


async def _start(station: Station, payload: Payload, evse_number: int, readings: Sequence[MeterReading]) -> Payload:
    started: SessionStarted = await station.record(
        readings, operation=_start_operation(station, payload, evse_number, readings)
    )
    if started.open:
        station.open_stay(
            started.transaction_id,
            evse_number,
            vehicle_known=started.vehicle_id is not None,
            meter_start_kwh=first_import_kwh(readings),
        )
    await handlers_notices.use_reservation(station, payload.get("reservationId"))
    return _answer(payload, accepted=started.accepted, reason=started.reason)


async def _go_on(station: Station, payload: Payload, evse_number: int, readings: Sequence[MeterReading]) -> Payload:
    """An update that shows a token, or of a transaction that this connection has not seen begin."""
    transaction_id = payload["transactionInfo"]["transactionId"]
    start = _start_operation(station, payload, evse_number, readings)
    update = partial(
        update_session,
        identity=station.identity,
        transaction_id=transaction_id,
        sequence_number=_sequence_number(payload),
        id_token=_token_text(payload) or None,
        now=station.clock(),
    )

    def go_on() -> SessionStarted | SessionUpdated:
        try:
            return update()
        except UnknownTransaction:
            return start()

    outcome: SessionStarted | SessionUpdated = await station.record(readings, operation=go_on)
    if outcome.open:
        station.open_stay(transaction_id, evse_number, vehicle_known=outcome.vehicle_id is not None)
    answer = _answer(payload, accepted=outcome.accepted, reason=outcome.reason)
    return _with_cost(station, transaction_id, readings, answer)


def _with_cost(station: Station, transaction_id: str, readings: Sequence[MeterReading], answer: Payload) -> Payload:
    """The answer with what the transaction has cost so far, for the station to show, where it has a price (I02)."""
    cost = station.cost_so_far(transaction_id, last_import_kwh(readings))
    return answer if cost is None else {**answer, "totalCost": cost}


async def _end(station: Station, payload: Payload, evse_number: int, readings: Sequence[MeterReading]) -> Payload:
    transaction = payload["transactionInfo"]
    ended: SessionEnded = await station.record(
        readings,
        operation=partial(
            end_session,
            identity=station.identity,
            transaction_id=transaction["transactionId"],
            ended_at=handlers.instant(station, payload["timestamp"], "timestamp"),
            meter_stop_kwh=last_import_kwh(readings),
            stop_reason=transaction.get("stoppedReason", "Local"),
            sequence_number=_sequence_number(payload),
            now=station.clock(),
            evse_number=evse_number,
            id_token=_token_text(payload),
        ),
    )
    answer = _with_cost(station, transaction["transactionId"], readings, {})
    station.stays.pop(transaction["transactionId"], None)
    if not ended.known:
        station.say_once("unknown transaction", "ends a transaction that nobody saw begin")
    if "idToken" not in payload:
        return answer
    return {**answer, "idTokenInfo": token_info(await authorise_id_token(station, payload["idToken"]))}


async def on_meter_values(station: Station, payload: Payload) -> Payload:
    """Readings outside transactions. The main meter (EVSE 0) is no asset of ours."""
    evse = station.evse(payload["evseId"])
    if evse is None:
        if payload["evseId"] != 0:
            raise UnknownEvse(f"EVSE {payload['evseId']} is not registered", field="evseId")
        return {}
    readings = read_meter_values(payload["meterValue"], asset_id=evse.asset_id, version=station.version)
    if keep_beside(station, payload["meterValue"], asset_id=evse.asset_id) or readings:
        await station.record(readings, transaction_id=station.open_transaction(evse.number))
    return {}


async def on_notify_ev_charging_needs(station: Station, payload: Payload) -> Payload:
    """What the car asks for and can do; planning is told and sends a schedule."""
    return {"status": "Rejected" if await note_charging_needs(station, payload) is None else "Accepted"}


async def note_charging_needs(station: Station, payload: Payload) -> tuple[ChargingNeeds, SessionUpdated] | None:
    """Write a car's needs to the open session of the EVSE; None if there is none."""
    evse = station.evse(payload["evseId"])
    transaction_id = station.open_transaction(payload["evseId"])
    if evse is None or transaction_id is None:
        station.say_once("needs", "tells what a car needs at an EVSE without a transaction")
        return None
    needs = read_charging_needs(payload["chargingNeeds"], version=station.version)
    session: SessionUpdated = await station.books.write(
        Work(
            operation=partial(
                update_session,
                identity=station.identity,
                transaction_id=transaction_id,
                sequence_number=-1,
                soc_fraction=needs.soc_fraction,
                car_target_soc_fraction=needs.target_soc_fraction,
                car_minimum_kwh=needs.v2x_minimum_kwh,
                energy_needed_kwh=needs.energy_needed_kwh,
                max_charge_kw=needs.max_charge_kw,
                max_discharge_kw=needs.max_discharge_kw,
                # whatever the car agrees to, a station without a bidirectional inverter cannot do it
                bidirectional=needs.bidirectional and evse.max_discharge_kw > 0,
                departure_at=needs.departure_at,
                now=station.clock(),
            )
        )
    )
    return needs, session


def on_notify_ev_charging_schedule(station: Station, payload: Payload) -> Payload:
    """The car's own schedule fits ours or not: it stays in the trace; what the car then does, the meter tells."""
    return {"status": "Accepted"}


async def on_notify_report(station: Station, payload: Payload) -> Payload:
    """A part of a report of the device model: it is stored, and what it says of smart charging is remembered."""
    found = {}
    for item in payload.get("reportData", ()):
        if item["component"]["name"] != SMART_CHARGING_COMPONENT:
            continue
        capability = _CAPABILITIES.get(item["variable"]["name"])
        for attribute in item["variableAttribute"]:
            if capability is not None and attribute.get("type", "Actual") == "Actual" and attribute.get("value"):
                found[capability] = read_capability(attribute["value"])
    if found:
        remember(station, found)
    return await handlers_notices.on_notify_report(station, payload)


_CAPABILITIES = {
    "RateUnit": "rate_units",
    "PeriodsPerSchedule": "max_periods",
    "ProfileStackLevel": "max_stack_level",
}


async def on_notify_event(station: Station, payload: Payload) -> Payload:
    """Events of the device model: a connector's AvailabilityState is its status, which 2.1 tells this way."""
    for event in payload["eventData"]:
        component, variable = event["component"], event["variable"]["name"]
        place = component.get("evse")
        if variable == "AvailabilityState" and place is not None and event["actualValue"] in _STATUSES:
            await handlers.connector_status(
                station,
                evse_number=place["id"],
                connector_number=place.get("connectorId", 1),
                status=event["actualValue"],
                detail=event.get("techInfo", ""),
                at=handlers.instant(station, event["timestamp"], "eventData.timestamp"),
            )
        elif event["trigger"] == "Alerting" and not event.get("cleared", False):
            station.say_once(
                f"event {component['name']} {variable}",
                "reports %s.%s = %s",
                component["name"],
                variable,
                event["actualValue"][:100],
            )
    await handlers_notices.record_device_events(station, payload)
    return {}


HANDLERS: dict[str, Handler] = {
    "BootNotification": on_boot_notification,
    "Authorize": on_authorize,
    "StatusNotification": on_status_notification,
    "TransactionEvent": on_transaction_event,
    "MeterValues": on_meter_values,
    "Heartbeat": handlers.heartbeat,
    "NotifyReport": on_notify_report,
    "NotifyEvent": on_notify_event,
    "NotifyEVChargingNeeds": on_notify_ev_charging_needs,
    "NotifyEVChargingSchedule": on_notify_ev_charging_schedule,
    "NotifyChargingLimit": on_notify_charging_limit,
    "ClearedChargingLimit": on_cleared_charging_limit,
    "DataTransfer": handlers.unknown_vendor,
    **handlers_notices.HANDLERS_V201,
}
