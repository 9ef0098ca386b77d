"""Operators' commands -> the request of each version. A version that has no such message says so."""

from __future__ import annotations

from typing import Any

from fleet.devices.ocpp.instants import write_exact_instant
from fleet.devices.ocpp.request_parts import Builder, Request, only, require_2x
from fleet.devices.ocpp.wire import V16
from fleet.models import CommandKind
from fleet.operations.commands import DueCommand
from fleet.operations.station_notices import request_number


def _unlock(command: DueCommand, version: str) -> Request:
    if version == V16:
        return "UnlockConnector", {"connectorId": command.evse_number}
    return "UnlockConnector", {
        "evseId": command.evse_number,
        "connectorId": command.parameters.get("connector", 1),
    }


def _availability(command: DueCommand, version: str) -> Request:
    wanted = "Operative" if command.parameters["operative"] else "Inoperative"
    number = command.parameters.get("evse", 0)
    if version == V16:
        return "ChangeAvailability", {"connectorId": number, "type": wanted}
    return "ChangeAvailability", only({"operationalStatus": wanted, "evse": {"id": number} if number else None})


def _clear_cache(command: DueCommand, version: str) -> Request:
    return "ClearCache", {}


def _local_list(command: DueCommand, version: str) -> Request:
    given = command.parameters
    update = {"full": "Full", "differential": "Differential"}[given["mode"]]
    if version == V16:
        entries = [
            {
                "idTag": entry["id_token"],
                "idTagInfo": only({"status": entry["status"], "expiryDate": entry.get("expires_at")}),
            }
            for entry in given["entries"]
        ]
        entries += [{"idTag": entry["id_token"]} for entry in given.get("removed", ())]
        return "SendLocalList", {
            "listVersion": given["version"],
            "updateType": update,
            "localAuthorizationList": entries,
        }
    entries = [
        {
            "idToken": {"idToken": entry["id_token"], "type": entry["kind"]},
            "idTokenInfo": only({"status": entry["status"], "cacheExpiryDateTime": entry.get("expires_at")}),
        }
        for entry in given["entries"]
    ]
    entries += [
        {"idToken": {"idToken": entry["id_token"], "type": entry["kind"]}} for entry in given.get("removed", ())
    ]
    payload: dict[str, Any] = {"versionNumber": given["version"], "updateType": update}
    # a full list without entries empties the station's; the schema wants at least one where there is a list
    return "SendLocalList", payload | ({"localAuthorizationList": entries} if entries else {})


def _local_list_version(command: DueCommand, version: str) -> Request:
    return "GetLocalListVersion", {}


def _reserve(command: DueCommand, version: str) -> Request:
    given = command.parameters
    number = given.get("evse", 0)
    if version == V16:
        return "ReserveNow", {
            "connectorId": number,
            "expiryDate": given["expires_at"],
            "idTag": given["id_token"],
            "reservationId": given["reservation_id"],
        }
    return "ReserveNow", only(
        {
            "id": given["reservation_id"],
            "expiryDateTime": given["expires_at"],
            "idToken": {"idToken": given["id_token"], "type": given.get("token_type", "ISO14443")},
            "evseId": number or None,
        }
    )


def _cancel_reservation(command: DueCommand, version: str) -> Request:
    return "CancelReservation", {"reservationId": command.parameters["reservation_id"]}


def _cost_update(command: DueCommand, version: str) -> Request:
    require_2x(version)
    transaction_id = command.parameters.get("transaction_id") or command.transaction_id
    if not transaction_id:
        raise ValueError("there is no open transaction at this EVSE")
    return "CostUpdated", {"transactionId": transaction_id, "totalCost": command.parameters["total_cost"]}


def _customer_information(command: DueCommand, version: str) -> Request:
    require_2x(version)
    given = command.parameters
    token = given.get("id_token")
    return "CustomerInformation", only(
        {
            "requestId": request_number(command.command_id),
            "report": given.get("report", False),
            "clear": given.get("erase", False),
            "customerIdentifier": given.get("customer"),
            "idToken": {"idToken": token, "type": given.get("token_type", "ISO14443")} if token else None,
        }
    )


def _retries(command: DueCommand) -> dict[str, Any]:
    return only(
        {"retries": command.parameters.get("retries"), "retryInterval": command.parameters.get("retry_interval_s")}
    )


def _get_log(command: DueCommand, version: str) -> Request:
    given = command.parameters
    log = only(
        {
            "remoteLocation": given["location"],
            "oldestTimestamp": given.get("oldest"),
            "latestTimestamp": given.get("latest"),
        }
    )
    return "GetLog", {
        "logType": given["log"],
        "requestId": request_number(command.command_id),
        "log": log,
        **_retries(command),
    }


def _get_diagnostics(command: DueCommand, version: str) -> Request:
    if version != V16:
        raise ValueError("only OCPP 1.6 has this message; ask for a log instead")
    given = command.parameters
    return "GetDiagnostics", only(
        {
            "location": given["location"],
            "startTime": given.get("oldest"),
            "stopTime": given.get("latest"),
            **_retries(command),
        }
    )


def _update_firmware(command: DueCommand, version: str) -> Request:
    given = command.parameters
    retrieve_at = given.get("retrieve_at") or write_exact_instant(command.starts_at)
    if version == V16 and "signature" not in given:
        return "UpdateFirmware", {"location": given["location"], "retrieveDate": retrieve_at, **_retries(command)}
    firmware = only(
        {
            "location": given["location"],
            "retrieveDateTime": retrieve_at,
            "installDateTime": given.get("install_at"),
            "signingCertificate": given.get("signing_certificate"),
            "signature": given.get("signature"),
        }
    )
    action = "SignedUpdateFirmware" if version == V16 else "UpdateFirmware"
    return action, {"requestId": request_number(command.command_id), "firmware": firmware, **_retries(command)}


def _publish_firmware(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "PublishFirmware", {
        "location": command.parameters["location"],
        "checksum": command.parameters["checksum"],
        "requestId": request_number(command.command_id),
        **_retries(command),
    }


def _unpublish_firmware(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "UnpublishFirmware", {"checksum": command.parameters["checksum"]}


def _show_message(command: DueCommand, version: str) -> Request:
    require_2x(version)
    given = command.parameters
    content = only({"format": "UTF8", "language": given.get("language"), "content": given["text"]})
    return "SetDisplayMessage", {
        "message": only(
            {
                "id": given["message_id"],
                "priority": given.get("priority", "NormalCycle"),
                "startDateTime": given.get("starts_at"),
                "endDateTime": given.get("ends_at"),
                "transactionId": given.get("transaction_id"),
                "message": content,
            }
        )
    }


def _list_messages(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "GetDisplayMessages", {"requestId": request_number(command.command_id)}


def _clear_message(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "ClearDisplayMessage", {"id": command.parameters["message_id"]}


def _data_transfer(command: DueCommand, version: str) -> Request:
    given = command.parameters
    return "DataTransfer", only(
        {"vendorId": given["vendor_id"], "messageId": given.get("message_id"), "data": given.get("data")}
    )


def _transaction_status(command: DueCommand, version: str) -> Request:
    require_2x(version)
    return "GetTransactionStatus", only({"transactionId": command.parameters.get("transaction_id")})


def _list_profiles(command: DueCommand, version: str) -> Request:
    require_2x(version)
    purpose = command.parameters.get("purpose")
    # an empty criterion means all; the station's own limits are told of as well
    criterion = (
        {"chargingProfilePurpose": purpose} if purpose else {"chargingLimitSource": ["CSO", "EMS", "Other", "SO"]}
    )
    return "GetChargingProfiles", only(
        {
            "requestId": request_number(command.command_id),
            "evseId": command.parameters.get("evse"),
            "chargingProfile": criterion,
        }
    )


def _clear_profiles(command: DueCommand, version: str) -> Request:
    given = command.parameters
    if version == V16:
        purpose = given.get("purpose")
        purpose = "ChargePointMaxProfile" if purpose == "ChargingStationMaxProfile" else purpose
        return "ClearChargingProfile", only(
            {
                "id": given.get("profile_id"),
                "connectorId": given.get("evse"),
                "chargingProfilePurpose": purpose,
                "stackLevel": given.get("stack_level"),
            }
        )
    criteria = only(
        {
            "evseId": given.get("evse"),
            "chargingProfilePurpose": given.get("purpose"),
            "stackLevel": given.get("stack_level"),
        }
    )
    return "ClearChargingProfile", only(
        {"chargingProfileId": given.get("profile_id"), "chargingProfileCriteria": criteria or None}
    )


BUILDERS: dict[str, Builder] = {
    CommandKind.UNLOCK: _unlock,
    CommandKind.AVAILABILITY: _availability,
    CommandKind.CLEAR_CACHE: _clear_cache,
    CommandKind.LOCAL_LIST: _local_list,
    CommandKind.LOCAL_LIST_VERSION: _local_list_version,
    CommandKind.RESERVE: _reserve,
    CommandKind.CANCEL_RESERVATION: _cancel_reservation,
    CommandKind.COST_UPDATE: _cost_update,
    CommandKind.CUSTOMER_INFORMATION: _customer_information,
    CommandKind.GET_LOG: _get_log,
    CommandKind.GET_DIAGNOSTICS: _get_diagnostics,
    CommandKind.UPDATE_FIRMWARE: _update_firmware,
    CommandKind.PUBLISH_FIRMWARE: _publish_firmware,
    CommandKind.UNPUBLISH_FIRMWARE: _unpublish_firmware,
    CommandKind.SHOW_MESSAGE: _show_message,
    CommandKind.LIST_MESSAGES: _list_messages,
    CommandKind.CLEAR_MESSAGE: _clear_message,
    CommandKind.DATA_TRANSFER: _data_transfer,
    CommandKind.TRANSACTION_STATUS: _transaction_status,
    CommandKind.LIST_PROFILES: _list_profiles,
    CommandKind.CLEAR_PROFILES: _clear_profiles,
}
