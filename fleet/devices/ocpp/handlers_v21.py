"""OCPP 2.1: as 2.0.1, and what a bidirectional session needs besides."""

from __future__ import annotations

from functools import partial
from typing import Any

from fleet.devices.ocpp import der, handlers, handlers_v201, streams
from fleet.devices.ocpp.configuration import capability_members, profile_terms, remember
from fleet.devices.ocpp.connection import CallRefused, Handler, Listener, NoAnswer
from fleet.devices.ocpp.profiles import profile_id, schedule_update
from fleet.devices.ocpp.requests import allowed_energy_transfer
from fleet.devices.ocpp.station import Station
from fleet.devices.ocpp.writer import Work
from fleet.operations.priority import note_priority_charging
from fleet.operations.stations import Authorisation
from fleet.queries.commands import scheduled_power_kw

Payload = dict[str, Any]

ONE_WAY_MODES = ("AC_single_phase", "AC_two_phase", "AC_three_phase", "DC")
TWO_WAY_MODES = ("AC_BPT", "DC_BPT")
# modes with DER control and of pantographs: only for stations that say that they have them
RARE_MODES = frozenset({"AC_DER", "DC_ACDP", "WPT"})
RARE_TWO_WAY_MODES = frozenset({"AC_BPT_DER", "DC_ACDP_BPT"})


def allowed_modes(station: Station, authorisation: Authorisation) -> list[str]:
    """The ways of transferring energy that a driver may use here: discharging only where car and station can."""
    two_way = authorisation.may_discharge and any(evse.max_discharge_kw > 0 for evse in station.evses.values())
    modes = ONE_WAY_MODES + (TWO_WAY_MODES if two_way else ())
    rare = RARE_MODES | (RARE_TWO_WAY_MODES if two_way else frozenset())
    return [*modes, *sorted(rare & capability_members(station, "energy_transfer_modes"))]


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
    """Tell which directions the driver's contract allows; a station that does not know that is not told again."""
    authorisation = await handlers.authorise(station, id_token)
    await send_allowed_modes(station, transaction_id, allowed_modes(station, authorisation))


async def send_allowed_modes(station: Station, transaction_id: str, modes: list[str]) -> None:
    """Send NotifyAllowedEnergyTransfer, after which station and car negotiate anew."""
    try:
        await station.calls.call(*allowed_energy_transfer(transaction_id, modes))
    except CallRefused as error:
        if error.code in ("NotImplemented", "NotSupported"):
            remember(station, {"energy_transfer": False})
    except NoAnswer:
        station.say_once("energy transfer", "does not answer NotifyAllowedEnergyTransfer")


async def on_notify_ev_charging_needs(station: Station, payload: Payload) -> Payload:
    """What the car asks for, at first and whenever it negotiates anew.

    A way of transferring energy that the driver may not use is rejected, and the allowed ones are told again. A car that
    nobody knows is served, but gets no schedule.
    """
    noted = await handlers_v201.note_charging_needs(station, payload)
    if noted is None:
        return {"status": "Rejected"}
    needs, session = noted
    if needs.bidirectional and not session.may_discharge:
        transaction_id = station.open_transaction(payload["evseId"])

        async def tell(station: Station) -> None:
            await send_allowed_modes(station, transaction_id or "", list(ONE_WAY_MODES))

        station.follow_ups.append(tell)
        return {"status": "Rejected"}
    return {"status": "Accepted" if session.vehicle_id is not None else "NoChargingProfile"}


async def on_pull_dynamic_schedule_update(station: Station, payload: Payload) -> Payload:
    """A station fetches the set-point of a Dynamic profile: that of the newest schedule, while it holds."""
    asked, now = payload["chargingProfileId"], station.clock()
    for evse in station.evses.values():
        terms = profile_terms(
            station, evse, transaction_id=station.open_transaction(evse.number) or "", bidirectional=True
        )
        if profile_id(terms) == asked:
            wanted_kw = await station.books.write(
                Work(operation=partial(scheduled_power_kw, asset_id=evse.asset_id, at=now))
            )
            if wanted_kw is not None:
                return {"status": "Accepted", "scheduleUpdate": schedule_update(wanted_kw, terms)}
    return {"status": "Rejected"}


async def on_notify_priority_charging(station: Station, payload: Payload) -> Payload:
    """A driver has asked for priority at the station: the car charges now, whatever the plan says; or no longer."""
    await station.books.write(
        Work(
            operation=partial(
                note_priority_charging,
                identity=station.identity,
                transaction_id=payload["transactionId"],
                activated=payload["activated"],
                now=station.clock(),
            )
        )
    )
    return {}


def on_vat_number_validation(station: Station, payload: Payload) -> Payload:
    """Whether a company's VAT number is right: there is no register here to ask, so none is confirmed (C14)."""
    return {
        "status": "Rejected",
        "statusInfo": {"reasonCode": "NotEnabled", "additionalInfo": "VAT numbers are not validated here"},
        **{key: payload[key] for key in ("vatNumber", "evseId") if key in payload},
    }


HANDLERS: dict[str, Handler] = {
    **handlers_v201.HANDLERS,
    "Authorize": on_authorize,
    "TransactionEvent": on_transaction_event,
    "NotifyEVChargingNeeds": on_notify_ev_charging_needs,
    "PullDynamicScheduleUpdate": on_pull_dynamic_schedule_update,
    "NotifyPriorityCharging": on_notify_priority_charging,
    "ReportDERControl": der.on_report_der_control,
    "NotifyDERStartStop": der.on_notify_der_start_stop,
    "NotifyDERAlarm": der.on_notify_der_alarm,
    "OpenPeriodicEventStream": streams.on_open_stream,
    "ClosePeriodicEventStream": streams.on_close_stream,
    "VatNumberValidation": on_vat_number_validation,
}
LISTENERS: dict[str, Listener] = {"NotifyPeriodicEventStream": streams.on_stream_values}
