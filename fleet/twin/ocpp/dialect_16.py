"""OCPP 1.6-J on the side of a station: what it tells."""

from __future__ import annotations

from collections.abc import Callable

from fleet.twin.evse import SimulatedEvse
from fleet.twin.meter import MeterReading
from fleet.twin.ocpp.calls_16 import Calls16
from fleet.twin.ocpp.dialect import Authorisation, Dialect, Message
from fleet.twin.ocpp.profile_wire import read_profile, write_instant
from fleet.twin.ocpp.samples import KNOWN, ONE_WAY, context_of, sampled
from fleet.twin.ocpp.settings import DataType, Setting
from fleet.twin.profiles import ChargingProfile
from fleet.twin.transactions import TransactionEvent

# what the standard wants in a StopTransaction whose StartTransaction was never accepted
NO_TRANSACTION = -1
STOP_REASONS = {"ImmediateReset": "HardReset", "OnIdleReset": "SoftReset", "UnlockCommand": "UnlockCommand"}


FEATURES = "Core,FirmwareManagement,LocalAuthListManagement,RemoteTrigger,Reservation,SmartCharging"


class Dialect16(Dialect):
    """OCPP 1.6-J. Transactions are numbered by the central system; there is no discharging."""

    protocol = "ocpp1.6"
    root_use = "CentralSystemRootCertificate"

    def initial_settings(self) -> list[Setting]:
        station = self.station
        return [
            _setting("AllowOfflineTxForUnknownId", "true", "boolean"),
            _setting("AuthorizeRemoteTxRequests", "false", "boolean", read_only=True),
            _setting("ChargeProfileMaxStackLevel", station.profiles.max_stack_level, read_only=True),
            _setting("ChargingScheduleAllowedChargingRateUnit", "Current,Power", "MemberList", read_only=True),
            _setting("ChargingScheduleMaxPeriods", station.profiles.max_periods, read_only=True),
            _setting("ClockAlignedDataInterval", 0, read_only=True),
            _setting("ConnectionTimeOut", 60),
            _setting("GetConfigurationMaxKeys", 50, read_only=True),
            _setting("HeartbeatInterval", 300),
            _setting("LocalAuthorizeOffline", "true", "boolean"),
            _setting("LocalPreAuthorize", "false", "boolean", read_only=True),
            _setting("MaxChargingProfilesInstalled", station.profiles.max_installed, read_only=True),
            _setting("MeterValuesAlignedData", "", "MemberList", read_only=True),
            _setting("MeterValuesSampledData", ",".join(ONE_WAY), "MemberList", choices=",".join(KNOWN)),
            _setting("MeterValueSampleInterval", round(station.sample_interval_s)),
            _setting("NumberOfConnectors", len(station.evses), read_only=True),
            _setting("ResetRetries", 1),
            _setting("StopTransactionOnEVSideDisconnect", "true", "boolean", read_only=True),
            _setting("StopTransactionOnInvalidId", "true", "boolean", read_only=True),
            _setting("StopTxnAlignedData", "", "MemberList", read_only=True),
            _setting("StopTxnSampledData", "", "MemberList", read_only=True),
            _setting("SupportedFeatureProfiles", FEATURES, "MemberList", read_only=True),
            _setting("TransactionMessageAttempts", 3),
            _setting("TransactionMessageRetryInterval", 2),
            _setting("UnlockConnectorOnEVSideDisconnect", "true", "boolean", read_only=True),
            _setting("WebSocketPingInterval", 20),
            Setting("AuthorizationKey", "", secret=True),
            _setting("LocalAuthListEnabled", "true", "boolean", read_only=True),
            _setting("LocalAuthListMaxLength", 1000, read_only=True),
            _setting("SendLocalListMaxLength", 1000, read_only=True),
            _setting("ReserveConnectorZeroSupported", "true", "boolean", read_only=True),
            _setting("SecurityProfile", self.security_profile),
        ]

    def calls(self) -> dict[str, Callable[[dict], dict]]:
        return {
            **Calls16(self).table(),
            **self.security.table(),
            **self.files.table_16(),
            **self.service.table_16(),
        }

    def boot(self, reason: str) -> dict:
        world = self.station.world
        return {
            "chargePointVendor": world.vendor,
            "chargePointModel": world.model,
            "chargePointSerialNumber": (world.serial_number or world.identity)[:25],
            "firmwareVersion": self.firmware_version,
            "meterType": "twin",
        }

    def status(self, evse: SimulatedEvse) -> dict:
        return self.connector_status(evse.number, evse.status)

    def station_status(self) -> Message | None:
        return "StatusNotification", self.connector_status(0, "Available")

    def connector_status(self, number: int, status: str) -> dict:
        """StatusNotification of a connector; number 0 is the station."""
        return {
            "connectorId": number,
            "errorCode": "GroundFailure" if status == "Faulted" else "NoError",
            "status": status,
            "timestamp": write_instant(self.station.own_time(self.now())),
        }

    def authorize(self, id_token: str) -> dict:
        return {"idTag": id_token}

    def authorisation(self, answer: dict) -> Authorisation:
        return Authorisation(accepted=answer["idTagInfo"]["status"] == "Accepted")

    def transaction_message(self, event: TransactionEvent) -> Message | None:
        transaction, reading = event.transaction, event.reading
        if event.kind == "started":
            return "StartTransaction", {
                "connectorId": transaction.evse_number,
                "idTag": transaction.id_token,
                "meterStart": round(reading.import_wh),
                "timestamp": write_instant(event.at),
                **({} if transaction.reservation_id is None else {"reservationId": transaction.reservation_id}),
            }
        if event.kind == "ended":
            return "StopTransaction", {
                "transactionId": wire_number(transaction.wire_id),
                "idTag": transaction.id_token,
                "meterStop": round(reading.import_wh),
                "timestamp": write_instant(event.at),
                "reason": STOP_REASONS.get(event.stop_reason, event.stop_reason),
            }
        if event.trigger == "ChargingStateChanged":
            return None
        return "MeterValues", self.meter_values(event)

    def meter_values(self, event: TransactionEvent) -> dict:
        """MeterValues of a transaction."""
        number = wire_number(event.transaction.wire_id)
        return {
            "connectorId": event.transaction.evse_number,
            **({} if number == NO_TRANSACTION else {"transactionId": number}),
            "meterValue": [self.meter_value(event.reading, context_of(event))],
        }

    def meter_value(self, reading: MeterReading, context: str) -> dict:
        """One reading."""
        measurands = self.settings.get("MeterValuesSampledData")
        assert measurands is not None
        return {
            "timestamp": write_instant(reading.measured_at),
            "sampledValue": [
                {
                    "value": str(value),
                    "context": context,
                    "measurand": measurand,
                    "location": "EV" if measurand == "SoC" else "Outlet",
                    "unit": unit,
                }
                for measurand, value, unit in sampled(reading, measurands.value.split(","))
            ],
        }

    def idle_reading(self, evse: SimulatedEvse) -> Message:
        reading = evse.read(self.station.own_time(self.now()))
        return "MeterValues", {"connectorId": evse.number, "meterValue": [self.meter_value(reading, "Trigger")]}

    def transaction_answered(self, event: TransactionEvent, answer: dict) -> bool:
        if event.kind == "started":
            event.transaction.wire_id = str(answer["transactionId"])
        info = answer.get("idTagInfo")
        return event.kind != "started" or info is None or info["status"] == "Accepted"

    def profile_for_start(self, wire: dict, evse: SimulatedEvse) -> ChargingProfile:
        profile = read_profile(
            wire,
            evse_number=evse.number,
            phases=evse.limits.phases,
            received_at=self.station.own_time(self.now()),
        )
        for period in profile.periods:
            self.station.check_period(period, evse.number)
        return profile


def _setting(
    name: str, value: object, data_type: DataType = "integer", *, read_only: bool = False, choices: str = ""
) -> Setting:
    return Setting(name, str(value), data_type, read_only=read_only, choices=choices)


def wire_number(wire_id: str) -> int:
    """The number of a transaction in 1.6; -1 as long as the central system has given none."""
    return int(wire_id) if wire_id.lstrip("-").isdecimal() else NO_TRANSACTION
