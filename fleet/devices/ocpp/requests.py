"""Commands other than schedules -> the request of each version."""

from __future__ import annotations

from typing import Any

from fleet.devices.ocpp import certificate_requests, device_model_requests, station_requests
from fleet.devices.ocpp.instants import write_exact_instant
from fleet.devices.ocpp.request_parts import Builder, Request, only
from fleet.devices.ocpp.wire import V16, V21
from fleet.models import CommandKind
from fleet.operations.commands import DueCommand

# messages that tell of one EVSE; others are of the whole station
_OF_EVSE = frozenset({"MeterValues", "StatusNotification", "TransactionEvent"})
_EXTENDED_V16 = {
    "LogStatusNotification": "LogStatusNotification",
    "SignChargingStationCertificate": "SignChargePointCertificate",
}


def request_of(command: DueCommand, version: str) -> Request:
    """The action and payload of a command.

    Parameters by kind: remote_start takes `id_token` (and `token_type`), remote_stop `transaction_id` (else the open
    one), trigger `message`, reset `type` (soft or hard), composite_schedule `duration_s` and `unit`, afrr_signal
    `signal`.

    Raises:
        ValueError: the command misses what its request needs, or is of a kind without one.
    """
    build = BUILDERS.get(command.kind)
    if build is None:
        raise ValueError(f"commands of kind {command.kind!r} have no OCPP request")
    return build(command, version)


def _remote_start(command: DueCommand, version: str) -> Request:
    token = command.parameters.get("id_token")
    if not token:
        raise ValueError("parameters.id_token is missing: say whose token starts the transaction")
    if version == V16:
        return "RemoteStartTransaction", {"connectorId": command.evse_number, "idTag": token}
    return "RequestStartTransaction", {
        "evseId": command.evse_number,
        # a number that comes back in the transaction that the request causes
        "remoteStartId": command.sequence % 2_147_483_647,
        "idToken": {"idToken": token, "type": command.parameters.get("token_type", "Central")},
    }


def _remote_stop(command: DueCommand, version: str) -> Request:
    transaction_id = command.parameters.get("transaction_id") or command.transaction_id
    if not transaction_id:
        raise ValueError("there is no open transaction to stop at this EVSE")
    if version != V16:
        return "RequestStopTransaction", {"transactionId": str(transaction_id)}
    if not str(transaction_id).isdecimal():
        raise ValueError(f"transaction {transaction_id!r} is not one that OCPP 1.6 can name")
    return "RemoteStopTransaction", {"transactionId": int(transaction_id)}


def _trigger(command: DueCommand, version: str) -> Request:
    """A message now. 1.6 has those of its security extension in a message of their own; EVSE 0 is the station."""
    message = command.parameters.get("message", "MeterValues")
    number = command.parameters.get("evse", command.evse_number)
    place = number if number and message in _OF_EVSE else None
    if version != V16:
        # diagnostics of 1.6 are a log of 2.x
        message = message.replace("DiagnosticsStatusNotification", "LogStatusNotification")
        return "TriggerMessage", only({"requestedMessage": message, "evse": {"id": place} if place else None})
    if message == "TransactionEvent":
        message = "MeterValues"
    extended = _EXTENDED_V16.get(message)
    action = "ExtendedTriggerMessage" if extended else "TriggerMessage"
    return action, only({"requestedMessage": extended or message, "connectorId": place})


def _reset(command: DueCommand, version: str) -> Request:
    hard = str(command.parameters.get("type", "soft")).lower() in ("hard", "immediate")
    if version == V16:
        return "Reset", {"type": "Hard" if hard else "Soft"}
    number = command.parameters.get("evse")
    return "Reset", only({"type": "Immediate" if hard else "OnIdle", "evseId": number or None})


def _composite_schedule(command: DueCommand, version: str) -> Request:
    payload: dict[str, Any] = {"duration": int(command.parameters.get("duration_s", 86_400))}
    if command.parameters.get("unit"):
        payload["chargingRateUnit"] = command.parameters["unit"]
    payload["connectorId" if version == V16 else "evseId"] = command.evse_number
    return "GetCompositeSchedule", payload


def _afrr_signal(command: DueCommand, version: str) -> Request:
    if version != V21:
        raise ValueError("an aFRR signal needs OCPP 2.1")
    signal = command.parameters.get("signal")
    if not isinstance(signal, int) or isinstance(signal, bool):
        raise ValueError("parameters.signal is missing: give the whole number that the curve is drawn over")
    return "AFRRSignal", {"timestamp": write_exact_instant(command.starts_at), "signal": signal}


def _priority_charging(command: DueCommand, version: str) -> Request:
    if version != V21:
        raise ValueError("priority charging needs OCPP 2.1")
    if command.parameters.get("transaction_id") != command.transaction_id or not command.transaction_id:
        raise ValueError("the transaction that was to have priority is over")
    return "UsePriorityCharging", {
        "transactionId": command.transaction_id,
        "activate": bool(command.parameters.get("activate")),
    }


_DER_ACTIONS = {
    CommandKind.SET_DER_CONTROL: "SetDERControl",
    CommandKind.CLEAR_DER_CONTROL: "ClearDERControl",
    CommandKind.GET_DER_CONTROL: "GetDERControl",
}


def _der_control(command: DueCommand, version: str) -> Request:
    if version != V21:
        raise ValueError("DER control needs OCPP 2.1")
    payload = dict(command.parameters["request"])
    if command.kind == CommandKind.GET_DER_CONTROL:
        payload["requestId"] = command.sequence % 2_147_483_647
    return _DER_ACTIONS[CommandKind(command.kind)], payload


BUILDERS: dict[str, Builder] = {
    **station_requests.BUILDERS,
    **device_model_requests.BUILDERS,
    **certificate_requests.BUILDERS,
    CommandKind.REMOTE_START: _remote_start,
    CommandKind.REMOTE_STOP: _remote_stop,
    CommandKind.TRIGGER: _trigger,
    CommandKind.RESET: _reset,
    CommandKind.COMPOSITE_SCHEDULE: _composite_schedule,
    CommandKind.PRIORITY_CHARGING: _priority_charging,
    **dict.fromkeys(_DER_ACTIONS, _der_control),
    CommandKind.AFRR_SIGNAL: _afrr_signal,
}


def clear_profile(profile_id: int, version: str) -> Request:
    """Take back one profile by its identifier."""
    if version == V16:
        return "ClearChargingProfile", {"id": profile_id}
    return "ClearChargingProfile", {"chargingProfileId": profile_id}


def allowed_energy_transfer(transaction_id: str, modes: list[str]) -> Request:
    """2.1: which ways of transferring energy the driver's contract allows in a transaction that has begun."""
    return "NotifyAllowedEnergyTransfer", {"transactionId": transaction_id, "allowedEnergyTransfer": modes}
