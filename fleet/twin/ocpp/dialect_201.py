"""OCPP 2.0.1 on the side of a station: what it tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from common.units import kw_to_amperes, kw_to_watts, kwh_to_wh
from fleet.twin.car import SimulatedCar
from fleet.twin.evse import VOLTAGE_V, SimulatedEvse
from fleet.twin.meter import MeterReading
from fleet.twin.ocpp.calls_201 import Calls201
from fleet.twin.ocpp.device_model import DeviceModelCalls
from fleet.twin.ocpp.dialect import Authorisation, Dialect, Message
from fleet.twin.ocpp.profile_wire import read_profile, write_instant
from fleet.twin.ocpp.samples import KNOWN, ONE_WAY, context_of, sampled
from fleet.twin.ocpp.settings import DataType, Setting, SettingRefused
from fleet.twin.profiles import EXTERNAL, ChargingProfile, ProfileRefused
from fleet.twin.transactions import Transaction, TransactionEvent

STOP_REASONS = {
    "DeAuthorized",
    "EVDisconnected",
    "EmergencyStop",
    "ImmediateReset",
    "Local",
    "Other",
    "PowerLoss",
    "Reboot",
    "Remote",
}
LEAST_CURRENT_A = 6
TOKEN_TYPE = "ISO14443"


class Dialect201(Dialect):
    """OCPP 2.0.1. Transactions begin when the driver is authorised; readings travel in TransactionEvents."""

    protocol = "ocpp2.0.1"
    measurands: tuple[str, ...] = ONE_WAY
    known_measurands: tuple[str, ...] = KNOWN

    def initial_settings(self) -> list[Setting]:
        station = self.station
        known, told = ",".join(self.known_measurands), ",".join(self.measurands)
        return [
            _setting("AlignedDataCtrlr", "Interval", 0, read_only=True),
            _setting("AuthCtrlr", "Enabled", "true", "boolean", read_only=True),
            _setting("AuthCtrlr", "OfflineTxForUnknownIdEnabled", "true", "boolean", read_only=True),
            _setting("ChargingStation", "Available", "true", "boolean", read_only=True),
            _setting("ChargingStation", "Model", station.world.model, "string", read_only=True),
            _setting("ChargingStation", "VendorName", station.world.vendor, "string", read_only=True),
            _setting("OCPPCommCtrlr", "HeartbeatInterval", 300),
            _setting("OCPPCommCtrlr", "NetworkConfigurationPriority", "1", "string"),
            _setting("OCPPCommCtrlr", "WebSocketPingInterval", 20, read_only=True),
            _setting("SampledDataCtrlr", "TxEndedMeasurands", told, "MemberList", read_only=True),
            _setting("SampledDataCtrlr", "TxStartedMeasurands", told, "MemberList", read_only=True),
            _setting("SampledDataCtrlr", "TxUpdatedInterval", round(station.sample_interval_s)),
            _setting("SampledDataCtrlr", "TxUpdatedMeasurands", told, "MemberList", choices=known),
            _setting("SecurityCtrlr", "BasicAuthPassword", "", "string", secret=True),
            _setting("SecurityCtrlr", "Identity", station.identity, "string", read_only=True),
            _setting("SecurityCtrlr", "SecurityProfile", self.security_profile, read_only=True),
            _setting("LocalAuthListCtrlr", "Enabled", "true", "boolean", read_only=True),
            _setting("LocalAuthListCtrlr", "ItemsPerMessage", 1000, read_only=True),
            _setting("ReservationCtrlr", "Enabled", "true", "boolean", read_only=True),
            _setting("SmartChargingCtrlr", "Enabled", "true", "boolean", read_only=True),
            _setting("SmartChargingCtrlr", "Entries", station.profiles.max_installed, read_only=True),
            _setting("SmartChargingCtrlr", "PeriodsPerSchedule", station.profiles.max_periods, read_only=True),
            _setting("SmartChargingCtrlr", "ProfileStackLevel", station.profiles.max_stack_level, read_only=True),
            _setting("SmartChargingCtrlr", "RateUnit", "A,W", "MemberList", read_only=True),
            _setting("TxCtrlr", "EVConnectionTimeOut", 60, read_only=True),
            _setting("TxCtrlr", "StopTxOnEVSideDisconnect", "true", "boolean", read_only=True),
            _setting("TxCtrlr", "StopTxOnInvalidId", "true", "boolean", read_only=True),
            _setting("TxCtrlr", "TxStartPoint", "Authorized", "MemberList", read_only=True),
            _setting("TxCtrlr", "TxStopPoint", "EVConnected,Authorized", "MemberList", read_only=True),
        ]

    def calls(self) -> dict[str, Callable[[dict], dict]]:
        return {**Calls201(self).table(), **self.common_calls()}

    def common_calls(self) -> dict[str, Callable[[dict], dict]]:
        """The calls that are the same in every version of 2.x."""
        self.device_model = DeviceModelCalls(self)
        # what the display says of each transaction
        self.shown_cost: dict[str, float] = {}
        return {
            **self.security.table(),
            **self.files.table_2x(),
            **self.service.table_2x(),
            **self.device_model.table(),
        }

    def before_setting_change(self, setting: Setting, value: str) -> None:
        super().before_setting_change(setting, value)
        if setting.name == "NetworkConfigurationPriority":
            slots = [int(slot) for slot in value.split(",") if slot.strip().isdecimal()]
            if not slots or slots[0] not in self.network_profiles:
                raise SettingRefused("there is no connection in that slot")
        self.device_model.watch(setting, value)

    def setting_changed(self, setting: Setting) -> None:
        super().setting_changed(setting)
        if setting.name == "NetworkConfigurationPriority":
            profile = self.network_profiles[int(setting.value.split(",")[0])]
            self.security_profile = profile["securityProfile"]
            told = self.settings.get("SecurityProfile", "SecurityCtrlr")
            assert told is not None
            told.value = str(self.security_profile)

    def monitor_kind(self) -> dict:
        """What 2.1 tells of a monitor besides."""
        return {}

    def reservation_over(self, reservation_id: int) -> Message | None:
        return "ReservationStatusUpdate", {"reservationId": reservation_id, "reservationUpdateStatus": "Expired"}

    def boot(self, reason: str) -> dict:
        world = self.station.world
        return {
            "reason": reason,
            "chargingStation": {
                "vendorName": world.vendor,
                "model": world.model,
                "serialNumber": (world.serial_number or world.identity)[:25],
                "firmwareVersion": self.firmware_version,
            },
        }

    def status(self, evse: SimulatedEvse) -> dict:
        detail = evse.status
        occupied = evse.car is not None and detail not in ("Faulted", "Unavailable")
        return {
            "timestamp": write_instant(self.station.own_time(self.now())),
            "connectorStatus": "Occupied" if occupied or detail == "Preparing" else detail,
            "evseId": evse.number,
            "connectorId": 1,
        }

    def authorize(self, id_token: str) -> dict:
        return {"idToken": {"idToken": id_token, "type": TOKEN_TYPE}}

    def authorisation(self, answer: dict) -> Authorisation:
        return Authorisation(accepted=answer["idTokenInfo"]["status"] == "Accepted")

    def transaction_message(self, event: TransactionEvent) -> Message | None:
        transaction = event.transaction
        info: dict = {
            "transactionId": transaction.wire_id,
            "chargingState": "Idle" if event.stop_reason == "EVDisconnected" else event.charging_state,
        }
        if event.kind == "ended":
            info["stoppedReason"] = event.stop_reason if event.stop_reason in STOP_REASONS else "Other"
        if transaction.remote_start_id is not None and event.kind == "started":
            info["remoteStartId"] = transaction.remote_start_id
        message: dict = {
            "eventType": event.kind.capitalize(),
            "timestamp": write_instant(event.at),
            "triggerReason": event.trigger,
            "seqNo": event.sequence_number,
            "offline": event.offline,
            "transactionInfo": info,
            "evse": {"id": transaction.evse_number, "connectorId": 1},
            "meterValue": [self.meter_value(event.reading, context_of(event))],
        }
        if event.kind == "started" and transaction.reservation_id is not None:
            message["reservationId"] = transaction.reservation_id
        if event.kind == "started":
            message["idToken"] = {"idToken": transaction.id_token, "type": TOKEN_TYPE}
        return "TransactionEvent", message

    def transaction_answered(self, event: TransactionEvent, answer: dict) -> bool:
        if "totalCost" in answer:
            self.shown_cost[event.transaction.wire_id] = answer["totalCost"]
        info = answer.get("idTokenInfo")
        return info is None or info["status"] == "Accepted"

    def meter_value(self, reading: MeterReading, context: str) -> dict:
        """One reading."""
        measurands = self.settings.get("TxUpdatedMeasurands", "SampledDataCtrlr")
        assert measurands is not None
        return {
            "timestamp": write_instant(reading.measured_at),
            "sampledValue": [
                {
                    "value": value,
                    "context": context,
                    "measurand": measurand,
                    "location": "EV" if measurand == "SoC" else "Outlet",
                    "unitOfMeasure": {"unit": unit},
                }
                for measurand, value, unit in sampled(reading, measurands.value.split(","))
            ],
        }

    def idle_reading(self, evse: SimulatedEvse) -> Message:
        reading = evse.read(self.station.own_time(self.now()))
        return "MeterValues", {"evseId": evse.number, "meterValue": [self.meter_value(reading, "Trigger")]}

    def profile_for_start(self, wire: dict, evse: SimulatedEvse) -> ChargingProfile:
        if wire["chargingProfilePurpose"] != "TxProfile" or "transactionId" in wire:
            raise ProfileRefused("InvalidProfile", "a TxProfile without transactionId comes with a start")
        profile = read_profile(
            wire,
            evse_number=evse.number,
            phases=evse.limits.phases,
            received_at=self.station.own_time(self.now()),
        )
        for period in profile.periods:
            self.station.check_period(period, evse.number)
        return profile

    def limit_from_outside(self, limit_kw: float | None) -> None:
        """The site's energy manager limits the whole station, or no longer; the central system is told."""
        profiles, source = self.station.profiles, "EMS"
        profiles.clear(purpose=EXTERNAL)
        if limit_kw is None:
            self.requested.append(("ClearedChargingLimit", {"chargingLimitSource": source}))
        else:
            own = self.station.own_time(self.now())
            schedule = {
                "id": 1,
                "chargingRateUnit": "W",
                "startSchedule": write_instant(own),
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": round(kw_to_watts(limit_kw), 1)}],
            }
            wire = {
                "id": 1,
                "stackLevel": 0,
                "chargingProfilePurpose": EXTERNAL,
                "chargingProfileKind": "Absolute",
                "chargingSchedule": [schedule],
            }
            profiles.install(read_profile(wire, evse_number=0, phases=3, received_at=own), replace_same_level=True)
            limit = {"chargingLimitSource": source, "isGridCritical": False}
            self.requested.append(("NotifyChargingLimit", {"chargingLimit": limit, "chargingSchedule": [schedule]}))
        self.station.on_work()

    def departure_at(self, car: SimulatedCar) -> datetime:
        """When a car leaves, on the station's own clock."""
        real_s = car.departure_in_s / self.clock.speed
        return self.station.own_time(self.clock.started_at + timedelta(seconds=real_s))

    def charging_needs(self, evse: SimulatedEvse, transaction: Transaction) -> Message | None:
        car = evse.car
        if car is None:
            return None
        return "NotifyEVChargingNeeds", {"evseId": evse.number, "chargingNeeds": self.one_way_needs(evse, car)}

    def one_way_needs(self, evse: SimulatedEvse, car: SimulatedCar) -> dict:
        """What a car that only charges asks for, as in ISO 15118-2."""
        phases = evse.limits.phases
        current_a = kw_to_amperes(car.max_charge_kw, voltage_v=VOLTAGE_V, phases=phases)
        return {
            "requestedEnergyTransfer": f"AC_{('single', 'two', 'three')[phases - 1]}_phase",
            "departureTime": write_instant(self.departure_at(car)),
            "acChargingParameters": {
                "energyAmount": max(round(kwh_to_wh(car.energy_to_kwh(car.target_soc_fraction))), 0),
                "evMinCurrent": LEAST_CURRENT_A,
                "evMaxCurrent": max(round(current_a), LEAST_CURRENT_A),
                "evMaxVoltage": round(VOLTAGE_V),
            },
        }


def _setting(
    component: str,
    name: str,
    value: object,
    data_type: DataType = "integer",
    *,
    read_only: bool = False,
    secret: bool = False,
    choices: str = "",
) -> Setting:
    return Setting(name, str(value), data_type, component, read_only=read_only, secret=secret, choices=choices)
