"""OCPP 1.6-J on the side of a station: what it does when it is called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from fleet.twin.evse import SimulatedEvse
from fleet.twin.ocpp.profile_wire import PURPOSES_OF_16, read_profile, write_instant, write_schedule
from fleet.twin.ocpp.settings import SettingRefused
from fleet.twin.profiles import ProfileRefused

if TYPE_CHECKING:
    from fleet.twin.ocpp.dialect_16 import Dialect16

logger = logging.getLogger(__name__)

MOST_KEYS = 50


class Calls16:
    """The calls of the central system; each takes the payload of the call and returns that of the answer."""

    def __init__(self, dialect: Dialect16) -> None:
        self.dialect = dialect
        self.station = dialect.station

    def table(self) -> dict[str, Callable[[dict], dict]]:
        """The handlers by action."""
        return {
            "ChangeAvailability": self.change_availability,
            "ChangeConfiguration": self.change_configuration,
            "ClearCache": lambda payload: {"status": "Accepted"},
            "ClearChargingProfile": self.clear_charging_profile,
            "DataTransfer": lambda payload: {"status": "UnknownVendorId"},
            "GetCompositeSchedule": self.get_composite_schedule,
            "GetConfiguration": self.get_configuration,
            "RemoteStartTransaction": self.remote_start_transaction,
            "RemoteStopTransaction": self.remote_stop_transaction,
            "Reset": self.reset,
            "SetChargingProfile": self.set_charging_profile,
            "ExtendedTriggerMessage": self.trigger_message,
            "TriggerMessage": self.trigger_message,
            "UnlockConnector": self.unlock_connector,
        }

    def change_availability(self, payload: dict) -> dict:
        """One connector, or all of them with connector 0."""
        evses = self._evses(payload["connectorId"])
        if not evses:
            return {"status": "Rejected"}
        done = [self.station.set_operative(evse, payload["type"] == "Operative") for evse in evses]
        return {"status": "Accepted" if all(done) else "Scheduled"}

    def change_configuration(self, payload: dict) -> dict:
        """Set a key."""
        setting = self.dialect.settings.get(payload["key"])
        if setting is None:
            return {"status": "NotSupported"}
        try:
            self.dialect.settings.change(setting, payload["value"])
        except SettingRefused:
            return {"status": "Rejected"}
        return {"status": "Accepted"}

    def get_configuration(self, payload: dict) -> dict:
        """Some keys, or all."""
        settings = self.dialect.settings
        asked = payload.get("key") or [setting.name for setting in settings]
        known = [setting for setting in map(settings.get, asked[:MOST_KEYS]) if setting is not None]
        unknown = [key for key in asked[:MOST_KEYS] if settings.get(key) is None]
        return {
            "configurationKey": [
                {
                    "key": setting.name,
                    "readonly": setting.read_only,
                    **({} if setting.secret else {"value": setting.value}),
                }
                for setting in known
            ],
            **({"unknownKey": unknown} if unknown else {}),
        }

    def set_charging_profile(self, payload: dict) -> dict:
        """Take a profile, in place of one of the same purpose and level."""
        number = payload["connectorId"]
        now = self.dialect.now()
        try:
            profile = read_profile(
                payload["csChargingProfiles"],
                evse_number=number,
                phases=self._phases(number),
                received_at=self.station.own_time(now),
            )
            self.station.install_profile(profile, now=now, replace_same_level=True)
        except ProfileRefused as refused:
            logger.info("%s refuses a profile: %s", self.station.identity, refused.message)
            return {"status": "Rejected"}
        return {"status": "Accepted"}

    def clear_charging_profile(self, payload: dict) -> dict:
        """Remove what matches all that is given; an id alone decides."""
        purpose = payload.get("chargingProfilePurpose")
        if "id" in payload:
            gone = self.station.profiles.clear(profile_id=payload["id"])
        else:
            gone = self.station.profiles.clear(
                evse_number=payload.get("connectorId"),
                purpose=None if purpose is None else PURPOSES_OF_16.get(purpose, purpose),
                stack_level=payload.get("stackLevel"),
            )
        return {"status": "Accepted" if gone else "Unknown"}

    def get_composite_schedule(self, payload: dict) -> dict:
        """What is allowed from now on; connector 0 is all together."""
        number = payload["connectorId"]
        if not self._evses(number):
            return {"status": "Rejected"}
        now = self.dialect.now()
        unit = payload.get("chargingRateUnit", "W")
        start = write_instant(self.station.own_time(now))
        steps = self.station.composite(number, now, payload["duration"])
        return {
            "status": "Accepted",
            "connectorId": number,
            "scheduleStart": start,
            "chargingSchedule": {
                "duration": payload["duration"],
                "startSchedule": start,
                "chargingRateUnit": unit,
                "chargingSchedulePeriod": write_schedule(
                    steps, unit=unit, phases=self._phases(number), with_setpoints=False
                ),
            },
        }

    def remote_start_transaction(self, payload: dict) -> dict:
        """Start now, or when a car comes."""
        try:
            accepted, _ = self.dialect.order_start(
                payload.get("connectorId"),
                id_token=payload["idTag"],
                remote_start_id=None,
                profile=payload.get("chargingProfile"),
            )
        except ProfileRefused:
            accepted = False
        return {"status": "Accepted" if accepted else "Rejected"}

    def remote_stop_transaction(self, payload: dict) -> dict:
        """End a transaction; the car stays plugged in."""
        evse = self.station.evse_of(str(payload["transactionId"]))
        if evse is None:
            return {"status": "Rejected"}
        self.station.stop_transaction(evse, self.dialect.now(), trigger="RemoteStop", stop_reason="Remote")
        return {"status": "Accepted"}

    def reset(self, payload: dict) -> dict:
        """Start again, after ending what is going on."""
        self.dialect.restart = "ImmediateReset" if payload["type"] == "Hard" else "OnIdleReset"
        return {"status": "Accepted"}

    def trigger_message(self, payload: dict) -> dict:
        """Send a message out of turn."""
        wanted, evses = payload["requestedMessage"], self._evses(payload.get("connectorId", 0))
        if not evses:
            return {"status": "Rejected"}
        if wanted == "BootNotification":
            self.dialect.requested.append((wanted, self.dialect.boot("Triggered")))
        elif wanted == "Heartbeat":
            self.dialect.requested.append((wanted, {}))
        elif wanted == "StatusNotification":
            self.dialect.requested.extend((wanted, self.dialect.status(evse)) for evse in evses)
        elif wanted == "MeterValues":
            self.dialect.send_readings(evses)
        elif wanted == "SignChargePointCertificate":
            self.dialect.security.ask()
        elif not self.dialect.files.tell_again(wanted):
            return {"status": "NotImplemented"}
        return {"status": "Accepted"}

    def unlock_connector(self, payload: dict) -> dict:
        """Let the plug go; a transaction ends first."""
        evse = self.station.evses.get(payload["connectorId"])
        if evse is None:
            return {"status": "NotSupported"}
        self.station.stop_transaction(evse, self.dialect.now(), trigger="UnlockCommand", stop_reason="UnlockCommand")
        return {"status": "Unlocked"}

    def _evses(self, number: int) -> list[SimulatedEvse]:
        if number == 0:
            return list(self.station.evses.values())
        return [self.station.evses[number]] if number in self.station.evses else []

    def _phases(self, number: int) -> int:
        evses = self._evses(number) or self._evses(0)
        return evses[0].limits.phases
