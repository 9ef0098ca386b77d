"""OCPP 1.6: what each message of a charge point does. A connector of 1.6 is an EVSE of ours; connector 0 is the station."""

from __future__ import annotations

from functools import partial
from typing import Any

from common.units import wh_to_kwh
from fleet.devices.ocpp import handlers, handlers_notices
from fleet.devices.ocpp.connection import Handler
from fleet.devices.ocpp.measurands import keep_beside
from fleet.devices.ocpp.samples import read_meter_values
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.wire import V16
from fleet.operations.sessions import SessionEnded, SessionStarted, end_session, start_session
from fleet.operations.stations import UnknownEvse
from fleet.operations.telemetry import MeterReading

Payload = dict[str, Any]

# 1.6 tells finer what a connector does; 2.x and our tables call all of that Occupied
_OCCUPIED = frozenset({"Preparing", "Charging", "SuspendedEVSE", "SuspendedEV", "Finishing"})
_AUTHORISATION_STATUS = {"": "Accepted", "Unknown": "Invalid", "Blocked": "Blocked", "Expired": "Expired"}


async def on_boot_notification(station: Station, payload: Payload) -> Payload:
    """The charge point has started."""
    return await handlers.boot(
        station,
        vendor=payload["chargePointVendor"],
        model=payload["chargePointModel"],
        serial_number=payload.get("chargePointSerialNumber") or payload.get("chargeBoxSerialNumber", ""),
        firmware_version=payload.get("firmwareVersion", ""),
    )


async def on_authorize(station: Station, payload: Payload) -> Payload:
    """Whether a token may charge."""
    authorisation = await handlers.authorise(station, payload["idTag"])
    return {"idTagInfo": {"status": _AUTHORISATION_STATUS[authorisation.reason]}}


async def on_status_notification(station: Station, payload: Payload) -> Payload:
    """A connector's status; that of connector 0, the charge point as a whole, is kept in the trace only."""
    number, status = payload["connectorId"], payload["status"]
    if number > 0:
        error = payload["errorCode"] if payload["errorCode"] != "NoError" else ""
        words = (
            status if status in _OCCUPIED else "",
            error,
            payload.get("info", ""),
            payload.get("vendorErrorCode", ""),
        )
        await handlers.connector_status(
            station,
            evse_number=number,
            connector_number=1,
            status="Occupied" if status in _OCCUPIED else status,
            detail=" ".join(word for word in words if word),
            at=handlers.instant(station, payload.get("timestamp"), "timestamp"),
        )
    return {}


async def on_start_transaction(station: Station, payload: Payload) -> Payload:
    """A transaction has begun; its number is ours to give. Repeated, it gets the same number."""
    started_at = handlers.instant(station, payload["timestamp"], "timestamp")
    meter_start_kwh = wh_to_kwh(payload["meterStart"])
    evse = station.evse(payload["connectorId"])
    readings = [MeterReading(evse.asset_id, started_at, import_kwh=meter_start_kwh)] if evse is not None else []
    started: SessionStarted = await station.record(
        readings,
        operation=partial(
            start_session,
            identity=station.identity,
            evse_number=payload["connectorId"],
            transaction_id=None,
            id_token=payload["idTag"],
            started_at=started_at,
            meter_start_kwh=meter_start_kwh,
            now=station.clock(),
        ),
    )
    if started.open:
        station.open_stay(started.transaction_id, payload["connectorId"], vehicle_known=started.vehicle_id is not None)
    await handlers_notices.use_reservation(station, payload.get("reservationId"))
    return {
        "transactionId": int(started.transaction_id),
        "idTagInfo": {"status": _AUTHORISATION_STATUS[started.reason]},
    }


async def on_stop_transaction(station: Station, payload: Payload) -> Payload:
    """A transaction has ended, now or long ago. One that nobody knows is recorded all the same."""
    transaction_id = str(int(payload["transactionId"]))
    ended_at = handlers.instant(station, payload["timestamp"], "timestamp")
    meter_stop_kwh = wh_to_kwh(payload["meterStop"])
    evse_number = await handlers.evse_of_transaction(station, transaction_id)
    evse = station.evse(evse_number)
    readings = []
    if evse is not None:
        meter_values = payload.get("transactionData", ())
        readings = read_meter_values(meter_values, asset_id=evse.asset_id, version=V16)
        keep_beside(station, meter_values, asset_id=evse.asset_id, transaction_id=transaction_id)
        readings.append(MeterReading(evse.asset_id, ended_at, import_kwh=meter_stop_kwh))
    ended: SessionEnded = await station.record(
        readings,
        operation=partial(
            end_session,
            identity=station.identity,
            transaction_id=transaction_id,
            ended_at=ended_at,
            meter_stop_kwh=meter_stop_kwh,
            stop_reason=payload.get("reason", "Local"),
            sequence_number=-1,
            now=station.clock(),
            evse_number=evse_number,
            id_token=payload.get("idTag", ""),
        ),
    )
    station.stays.pop(transaction_id, None)
    if not ended.known:
        station.say_once("unknown transaction", "ends transaction %s, which was never given out", transaction_id)
    if "idTag" not in payload:
        return {}
    authorisation = await handlers.authorise(station, payload["idTag"])
    return {"idTagInfo": {"status": _AUTHORISATION_STATUS[authorisation.reason]}}


async def on_meter_values(station: Station, payload: Payload) -> Payload:
    """Readings of a connector. The main meter (connector 0) is no asset of ours."""
    evse = station.evse(payload["connectorId"])
    if evse is None:
        if payload["connectorId"] != 0:
            raise UnknownEvse(f"connector {payload['connectorId']} is not registered", field="connectorId")
        return {}
    readings = read_meter_values(payload["meterValue"], asset_id=evse.asset_id, version=V16)
    transaction_id = payload.get("transactionId")
    told_id = str(int(transaction_id)) if transaction_id else ""
    if keep_beside(station, payload["meterValue"], asset_id=evse.asset_id, transaction_id=told_id) or readings:
        await station.record(
            readings,
            transaction_id=told_id or station.open_transaction(evse.number),
        )
    return {}


HANDLERS: dict[str, Handler] = {
    "BootNotification": on_boot_notification,
    "Authorize": on_authorize,
    "StatusNotification": on_status_notification,
    "StartTransaction": on_start_transaction,
    "StopTransaction": on_stop_transaction,
    "MeterValues": on_meter_values,
    "Heartbeat": handlers.heartbeat,
    "DataTransfer": handlers.unknown_vendor,
    **handlers_notices.HANDLERS_V16,
}
