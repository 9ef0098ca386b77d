"""OCPP 2.1 on the side of a station: 2.0.1 and what bidirectional charging adds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from common.units import kw_to_watts, kwh_to_wh, watts_to_kw
from fleet.twin.car import SimulatedCar
from fleet.twin.evse import SimulatedEvse
from fleet.twin.ocpp.calls_21 import Calls21
from fleet.twin.ocpp.dialect import Authorisation, Message
from fleet.twin.ocpp.dialect_201 import Dialect201
from fleet.twin.ocpp.event_streams import EventStreams
from fleet.twin.ocpp.profile_wire import write_instant
from fleet.twin.ocpp.samples import KNOWN, SETPOINT, TWO_WAY
from fleet.twin.ocpp.settings import Setting
from fleet.twin.profiles import MODES, PRIORITY
from fleet.twin.transactions import Transaction, TransactionEvent

BIDIRECTIONAL = "AC_BPT"
TRANSFER_MODES = "AC_single_phase,AC_three_phase,AC_BPT"
# variable/instance
BALANCE_BETWEEN = ("LocalLoadBalancing/LowerThreshold", "LocalLoadBalancing/UpperThreshold")


class Dialect21(Dialect201):
    """OCPP 2.1. A car gives energy back only where the central system has allowed it: see `allowed_both_ways`."""

    protocol = "ocpp2.1"
    measurands = (*TWO_WAY, SETPOINT)
    known_measurands = (*KNOWN, SETPOINT)

    def initial_settings(self) -> list[Setting]:
        two_way = any(evse.limits.max_discharge_kw > 0 for evse in self.station.evses.values())
        modes = ",".join(MODES) if two_way else "ChargingOnly,Idle"
        return [
            *super().initial_settings(),
            Setting("Available", str(two_way).lower(), "boolean", "V2XChargingCtrlr", read_only=True),
            Setting("Enabled", str(two_way).lower(), "boolean", "V2XChargingCtrlr", read_only=True),
            Setting("SupportedOperationModes", modes, "MemberList", "V2XChargingCtrlr", read_only=True),
            Setting("SupportedEnergyTransferModes", TRANSFER_MODES, "MemberList", "V2XChargingCtrlr", read_only=True),
            *(Setting(name, "0", "decimal", "V2XChargingCtrlr", unit="W") for name in BALANCE_BETWEEN),
            Setting("SupportsDynamicProfiles", "true", "boolean", "SmartChargingCtrlr", read_only=True),
            Setting("SupportedAdditionalPurposes", PRIORITY, "MemberList", "SmartChargingCtrlr", read_only=True),
            Setting("SupportsMaxOfflineDuration", "true", "boolean", "SmartChargingCtrlr", read_only=True),
            Setting("SupportsEvseSleep", "true", "boolean", "SmartChargingCtrlr", read_only=True),
        ]

    def setting_changed(self, setting: Setting) -> None:
        super().setting_changed(setting)
        if setting.name in BALANCE_BETWEEN:
            lowest, highest = (self.settings.number(name, "V2XChargingCtrlr") for name in BALANCE_BETWEEN)
            surroundings = self.station.surroundings
            surroundings.balance_from_kw, surroundings.balance_to_kw = watts_to_kw(lowest), watts_to_kw(highest)

    def calls(self) -> dict[str, Callable[[dict], dict]]:
        self._calls = Calls21(self)
        common = self.common_calls()
        self.event_streams = EventStreams(self, self.device_model)
        return {**self._calls.table(), **common, **self.event_streams.table()}

    def told(self, message: Message, answer: dict | None) -> None:
        self.event_streams.told(message, answer)

    def monitor_kind(self) -> dict:
        return {"eventNotificationType": "CustomMonitor"}

    def press_priority(self, evse: SimulatedEvse, wanted: bool) -> None:
        """The driver asks at the station to be served before all others, or takes it back."""
        transaction = evse.transaction
        if transaction is not None and self.station.set_priority(evse, wanted, self.now()):
            told = {"transactionId": transaction.wire_id, "activated": wanted}
            self.requested.append(("NotifyPriorityCharging", told))
            self.station.on_work()

    def der_start_stop(self, control_id: str, started: bool, at: datetime) -> Message:
        told = {"controlId": control_id, "started": started, "timestamp": write_instant(at)}
        return "NotifyDERStartStop", told

    def raise_der_alarm(self, control_type: str, fault: str, ended: bool) -> None:
        """A control acts on a fault of the grid, or no longer."""
        at = write_instant(self.station.own_time(self.now()))
        alarm = {"controlType": control_type, "gridEventFault": fault, "alarmEnded": ended, "timestamp": at}
        self.requested.append(("NotifyDERAlarm", alarm))
        self.station.on_work()

    def pulled(self, profile_id: int, answer: dict) -> None:
        if answer["status"] == "Accepted" and "scheduleUpdate" in answer:
            self._calls.take_update(profile_id, answer["scheduleUpdate"])

    def authorisation(self, answer: dict) -> Authorisation:
        return Authorisation(
            accepted=answer["idTokenInfo"]["status"] == "Accepted",
            bidirectional=allowed_both_ways(answer.get("allowedEnergyTransfer", [])),
        )

    def transaction_message(self, event: TransactionEvent) -> Message | None:
        message = super().transaction_message(event)
        if message is not None:
            message[1]["transactionInfo"]["operationMode"] = event.reading.operation_mode
        return message

    def charging_needs(self, evse: SimulatedEvse, transaction: Transaction) -> Message | None:
        car = evse.car
        if car is None:
            return None
        needs = self.one_way_needs(evse, car)
        if evse.can_discharge:
            needs["availableEnergyTransfer"] = [needs["requestedEnergyTransfer"], BIDIRECTIONAL]
        if transaction.bidirectional:
            del needs["acChargingParameters"]
            needs |= {
                "requestedEnergyTransfer": BIDIRECTIONAL,
                "controlMode": "DynamicControl",
                "mobilityNeedsMode": "EVCC",
                "v2xChargingParameters": two_way_parameters(evse, car),
            }
        at = self.station.own_time(self.now())
        return "NotifyEVChargingNeeds", {
            "evseId": evse.number,
            "timestamp": write_instant(at),
            "chargingNeeds": needs,
        }


def allowed_both_ways(modes: list[str]) -> bool:
    """Whether the modes of energy transfer that are allowed include giving back; without any, charging alone is."""
    return any("BPT" in mode for mode in modes)


def two_way_parameters(evse: SimulatedEvse, car: SimulatedCar) -> dict:
    """What car and EVSE can do both ways, and the energy to the edges of what the driver allows, as in ISO 15118-20."""
    limits = evse.limits
    target_wh = round(kwh_to_wh(car.energy_to_kwh(car.target_soc_fraction)))
    floor_wh = round(kwh_to_wh(car.energy_to_kwh(car.floor_soc_fraction)))
    full_wh = round(kwh_to_wh(car.energy_to_kwh(1.0)))
    return {
        "minChargePower": round(kw_to_watts(limits.min_charge_kw)),
        "maxChargePower": round(kw_to_watts(min(limits.max_charge_kw, car.max_charge_kw))),
        "minDischargePower": 0,
        "maxDischargePower": round(kw_to_watts(min(limits.max_discharge_kw, car.max_discharge_kw))),
        "evTargetEnergyRequest": target_wh,
        "evMinEnergyRequest": floor_wh,
        "evMaxEnergyRequest": full_wh,
        "evMinV2XEnergyRequest": floor_wh,
        "evMaxV2XEnergyRequest": full_wh,
        "targetSoC": round(100 * car.target_soc_fraction),
    }
