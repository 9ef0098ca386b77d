"""OCPP 2.1: as 2.0.1, and what a bidirectional session needs besides."""

from __future__ import annotations

from typing import Any

from fleet.devices.ocpp import handlers, handlers_v201
from fleet.devices.ocpp.configuration import remember
from fleet.devices.ocpp.connection import CallRefused, Handler, Listener, NoAnswer
from fleet.devices.ocpp.requests import allowed_energy_transfer
from fleet.devices.ocpp.station import Station
from fleet.operations.stations import Authorisation

Payload = dict[str, Any]

ONE_WAY_MODES = ["AC_single_phase", "AC_two_phase", "AC_three_phase", "DC"]
TWO_WAY_MODES = ["AC_BPT", "DC_BPT"]


def allowed_modes(station: Station, authorisation: Authorisation) -> list[str]:
    """The ways of transferring energy that a driver may use here: discharging only where car and station can."""
    two_way = authorisation.may_discharge and any(evse.max_discharge_kw > 0 for evse in station.evses.values())
    return ONE_WAY_MODES + (TWO_WAY_MODES if two_way else [])


async def on_authorize(station: Station, payload: Payload) -> Payload:
    """Whether a token may charge, and in which directions."""
    authorisation = await handlers_v201.authorise_id_token(station, payload["idToken"])
    answer: Payload = {"idTokenInfo": handlers_v201.token_info(authorisation)}
    if authorisation.accepted:
        answer["allowedEnergyTransfer"] = allowed_modes(station, authorisation)
    return answer


async def on_transaction_event(station: Station, payload: Payload) -> Payload:
    """As in 2.0.1; a driver who is known without having been authorised is told which directions are allowed."""
    transaction_id = payload["transactionInfo"]["transactionId"]
    stay = station.stays.get(transaction_id)
    known_before = stay is not None and stay.vehicle_known
    answer = await handlers_v201.on_transaction_event(station, payload)
    stay = station.stays.get(transaction_id)
    token = payload.get("idToken", {}).get("idToken", "")
    newly_known = token and stay is not None and stay.vehicle_known and not known_before
    if newly_known and station.capabilities.get("energy_transfer", True):

        async def tell(station: Station) -> None:
            await tell_allowed_modes(station, transaction_id, token)

        station.follow_ups.append(tell)
    return answer


async def tell_allowed_modes(station: Station, transaction_id: str, id_token: str) -> None:
    """Send NotifyAllowedEnergyTransfer; a station that does not know it is not told again."""
    authorisation = await handlers.authorise(station, id_token)
    try:
        await station.calls.call(*allowed_energy_transfer(transaction_id, allowed_modes(station, authorisation)))
    except CallRefused as error:
        if error.code in ("NotImplemented", "NotSupported"):
            remember(station, {"energy_transfer": False})
    except NoAnswer:
        station.say_once("energy transfer", "does not answer NotifyAllowedEnergyTransfer")


async def on_periodic_event_stream(station: Station, payload: Payload) -> None:
    """A stream of values that needs no answer; none is opened by us yet, so one that comes is a station's own idea."""
    station.say_once("stream", "streams events that were not asked for")


HANDLERS: dict[str, Handler] = {
    **handlers_v201.HANDLERS,
    "Authorize": on_authorize,
    "TransactionEvent": on_transaction_event,
    "NotifyPriorityCharging": handlers.acknowledge,
}
LISTENERS: dict[str, Listener] = {"NotifyPeriodicEventStream": on_periodic_event_stream}
