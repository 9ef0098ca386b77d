"""OCPP 2.0.1 on the side of a station: what it does when it is called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet.twin.evse import SimulatedEvse
from fleet.twin.ocpp.profile_wire import read_profile, write_instant, write_schedule
from fleet.twin.ocpp.settings import Setting
from fleet.twin.ocpp.variables import report_data, variable_get, variable_set
from fleet.twin.profiles import ChargingProfile, ProfileRefused

if TYPE_CHECKING:
    from fleet.twin.ocpp.dialect_201 import Dialect201

logger = logging.getLogger(__name__)

REPORT_ITEMS = 25
ACCEPTED = {"status": "Accepted"}


def rejected(reason_code: str, detail: str = "", status: str = "Rejected") -> dict:
    """An answer that says no, and why."""
    info = {"reasonCode": reason_code, **({"additionalInfo": detail[:512]} if detail else {})}
    return {"status": status, "statusInfo": info}


class Calls201:
    """The calls of the central system; each takes the payload of the call and returns that of the answer."""

    def __init__(self, dialect: Dialect201) -> None:
        self.dialect = dialect
        self.station = dialect.station

    def table(self) -> dict[str, Callable[[dict], dict]]:
        """The handlers by action."""
        return {
            "ChangeAvailability": self.change_availability,
            "ClearCache": lambda payload: ACCEPTED,
            "ClearChargingProfile": self.clear_charging_profile,
            "CostUpdated": self.cost_updated,
            "DataTransfer": lambda payload: {"status": "UnknownVendorId"},
            "GetBaseReport": self.get_base_report,
            "GetChargingProfiles": self.get_charging_profiles,
            "GetCompositeSchedule": self.get_composite_schedule,
            "GetTransactionStatus": self.get_transaction_status,
            "GetVariables": self.get_variables,
            "RequestStartTransaction": self.request_start_transaction,
            "RequestStopTransaction": self.request_stop_transaction,
            "Reset": self.reset,
            "SetChargingProfile": self.set_charging_profile,
            "SetVariables": self.set_variables,
            "TriggerMessage": self.trigger_message,
            "UnlockConnector": self.unlock_connector,
        }

    def change_availability(self, payload: dict) -> dict:
        """One EVSE, or the station."""
        evses = self._evses(payload.get("evse", {}).get("id", 0))
        if not evses:
            return rejected("UnknownEvse")
        done = [self.station.set_operative(evse, payload["operationalStatus"] == "Operative") for evse in evses]
        return {"status": "Accepted" if all(done) else "Scheduled"}

    def set_charging_profile(self, payload: dict) -> dict:
        """Take a profile; another of the same purpose and level stands in its way."""
        number, now = payload["evseId"], self.dialect.now()
        try:
            profile = read_profile(
                payload["chargingProfile"],
                evse_number=number,
                phases=self.phases(number),
                received_at=self.station.own_time(now),
            )
            self.check_form(profile)
            self.station.install_profile(profile, now=now, replace_same_level=False)
        except ProfileRefused as refused:
            logger.info("%s refuses a profile: %s", self.station.identity, refused.message)
            return rejected(refused.reason_code, refused.message)
        return ACCEPTED

    def check_form(self, profile: ChargingProfile) -> None:
        """What this version demands of a profile beyond its schema; raises `ProfileRefused`."""
        if profile.purpose == "TxProfile" and profile.transaction_id is None:
            raise ProfileRefused("MissingParam", "a TxProfile names its transaction")

    def clear_charging_profile(self, payload: dict) -> dict:
        """Remove what matches; an id alone decides."""
        criteria = payload.get("chargingProfileCriteria", {})
        if "chargingProfileId" in payload:
            gone = self.station.profiles.clear(profile_id=payload["chargingProfileId"])
        else:
            gone = self.station.profiles.clear(
                evse_number=criteria.get("evseId"),
                purpose=criteria.get("chargingProfilePurpose"),
                stack_level=criteria.get("stackLevel"),
            )
        return ACCEPTED if gone else {"status": "Unknown"}

    def get_charging_profiles(self, payload: dict) -> dict:
        """Report the profiles that match, EVSE by EVSE."""
        wanted, number = payload["chargingProfile"], payload.get("evseId")
        found = [
            profile
            for profile in self.station.profiles
            if number in (None, profile.evse_number)
            and wanted.get("chargingProfilePurpose") in (None, profile.purpose)
            and wanted.get("stackLevel") in (None, profile.stack_level)
            and ("chargingProfileId" not in wanted or profile.profile_id in wanted["chargingProfileId"])
            and "CSO" in wanted.get("chargingLimitSource", ["CSO"])
        ]
        evses = sorted({profile.evse_number for profile in found})
        for evse in evses:
            report = {
                "requestId": payload["requestId"],
                "chargingLimitSource": "CSO",
                "evseId": evse,
                "tbc": evse != evses[-1],
                "chargingProfile": [profile.wire for profile in found if profile.evse_number == evse],
            }
            self.dialect.requested.append(("ReportChargingProfiles", report))
        return ACCEPTED if found else {"status": "NoProfiles"}

    def get_composite_schedule(self, payload: dict) -> dict:
        """What is allowed from now on; EVSE 0 is all together."""
        number, now = payload["evseId"], self.dialect.now()
        if not self._evses(number):
            return rejected("UnknownEvse")
        unit = payload.get("chargingRateUnit", "W")
        steps = self.station.composite(number, now, payload["duration"])
        return {
            "status": "Accepted",
            "schedule": {
                "evseId": number,
                "duration": payload["duration"],
                "scheduleStart": write_instant(self.station.own_time(now)),
                "chargingRateUnit": unit,
                "chargingSchedulePeriod": write_schedule(
                    steps, unit=unit, phases=self.phases(number), with_setpoints=self.dialect.protocol == "ocpp2.1"
                ),
            },
        }

    def get_base_report(self, payload: dict) -> dict:
        """Report all variables, in parts."""
        settings = list(self.dialect.settings)
        if payload["reportBase"] == "ConfigurationInventory":
            settings = [setting for setting in settings if not setting.read_only]
        parts = [settings[first : first + REPORT_ITEMS] for first in range(0, len(settings), REPORT_ITEMS)]
        for number, part in enumerate(parts):
            self.dialect.requested.append(("NotifyReport", self._report(payload["requestId"], number, part, parts)))
        return ACCEPTED

    def _report(self, request_id: int, number: int, part: list[Setting], parts: list) -> dict:
        return {
            "requestId": request_id,
            "generatedAt": write_instant(self.station.own_time(self.dialect.now())),
            "seqNo": number,
            "tbc": number + 1 < len(parts),
            "reportData": [report_data(setting) for setting in part],
        }

    def get_variables(self, payload: dict) -> dict:
        """Read variables."""
        return {"getVariableResult": [variable_get(self.dialect.settings, each) for each in payload["getVariableData"]]}

    def set_variables(self, payload: dict) -> dict:
        """Write variables."""
        return {"setVariableResult": [variable_set(self.dialect.settings, each) for each in payload["setVariableData"]]}

    def get_transaction_status(self, payload: dict) -> dict:
        """Whether a transaction goes on, and whether anything of it still waits here."""
        waiting = len(self.station.queue) > 0
        if "transactionId" not in payload:
            return {"messagesInQueue": waiting}
        evse = self.station.evse_of(payload["transactionId"])
        if evse is not None and evse.transaction is not None:
            waiting = self.station.queue.holds(evse.transaction)
        return {"ongoingIndicator": evse is not None, "messagesInQueue": waiting}

    def request_start_transaction(self, payload: dict) -> dict:
        """Start now, or when a car comes."""
        try:
            accepted, transaction = self.dialect.order_start(
                payload.get("evseId"),
                id_token=payload["idToken"]["idToken"],
                remote_start_id=payload["remoteStartId"],
                profile=payload.get("chargingProfile"),
            )
        except ProfileRefused as refused:
            return rejected(refused.reason_code, refused.message)
        if not accepted:
            return rejected("TxInProgress", "no EVSE is free for it")
        return {**ACCEPTED, **({"transactionId": transaction.wire_id} if transaction is not None else {})}

    def request_stop_transaction(self, payload: dict) -> dict:
        """End a transaction; the car stays plugged in."""
        evse = self.station.evse_of(payload["transactionId"])
        if evse is None:
            return rejected("TxNotFound")
        self.station.stop_transaction(evse, self.dialect.now(), trigger="RemoteStop", stop_reason="Remote")
        return ACCEPTED

    def reset(self, payload: dict) -> dict:
        """Start again, at once or when nothing is going on."""
        if "evseId" in payload:
            return rejected("UnsupportedRequest", "an EVSE alone cannot be reset")
        if payload["type"] == "OnIdle" and any(evse.transaction for evse in self.station.evses.values()):
            self.dialect.restart_when_idle = True
            return {"status": "Scheduled"}
        self.dialect.restart = "ImmediateReset"
        return ACCEPTED

    def trigger_message(self, payload: dict) -> dict:
        """Send a message out of turn."""
        wanted, evses = payload["requestedMessage"], self._evses(payload.get("evse", {}).get("id", 0))
        if not evses:
            return rejected("UnknownEvse")
        if wanted == "BootNotification":
            self.dialect.requested.append((wanted, self.dialect.boot("Triggered")))
        elif wanted == "Heartbeat":
            self.dialect.requested.append((wanted, {}))
        elif wanted == "StatusNotification":
            self.dialect.requested.extend((wanted, self.dialect.status(evse)) for evse in evses)
        elif wanted == "MeterValues":
            self.dialect.requested.extend(self.dialect.idle_reading(evse) for evse in evses)
        elif wanted == "TransactionEvent":
            for evse in evses:
                self.station.trigger_reading(evse, self.dialect.now())
        elif wanted == "SignChargingStationCertificate":
            self.dialect.security.ask()
        elif not self.dialect.files.tell_again(wanted):
            return {"status": "NotImplemented"}
        return ACCEPTED

    def cost_updated(self, payload: dict) -> dict:
        """Show what a transaction has cost so far."""
        self.dialect.shown_cost[payload["transactionId"]] = payload["totalCost"]
        return {}

    def unlock_connector(self, payload: dict) -> dict:
        """Let the plug go, unless a driver is being served."""
        evse = self.station.evses.get(payload["evseId"])
        if evse is None or payload["connectorId"] != 1:
            return {"status": "UnknownConnector"}
        return {"status": "OngoingAuthorizedTransaction" if evse.transaction is not None else "Unlocked"}

    def phases(self, number: int) -> int:
        """Phases of an EVSE; of the first where the whole station is meant."""
        evses = self._evses(number) or self._evses(0)
        return evses[0].limits.phases

    def _evses(self, number: int) -> list[SimulatedEvse]:
        if number == 0:
            return list(self.station.evses.values())
        return [self.station.evses[number]] if number in self.station.evses else []
