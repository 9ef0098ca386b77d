"""OCPP 2.1 on the side of a station: what it does when it is called, beyond 2.0.1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fleet.twin.faults import Fault
from fleet.twin.ocpp.calls_201 import ACCEPTED, Calls201, rejected
from fleet.twin.ocpp.profile_wire import read_period
from fleet.twin.profiles import ChargingProfile, ProfileRefused


class Calls21(Calls201):
    """The calls that 2.1 adds for bidirectional charging."""

    def table(self) -> dict[str, Callable[[dict], dict]]:
        """The handlers by action."""
        return {
            **super().table(),
            "NotifyAllowedEnergyTransfer": self.notify_allowed_energy_transfer,
            "UpdateDynamicSchedule": self.update_dynamic_schedule,
            "UsePriorityCharging": lambda payload: {"status": "NoProfile"},
        }

    def check_form(self, profile: ChargingProfile) -> None:
        """A dynamic profile that wants to be pulled would go stale here: better to say so."""
        super().check_form(profile)
        if profile.update_interval_s:
            raise ProfileRefused("UnsupportedParam", "dynUpdateInterval is not supported; updates must be sent")

    def notify_allowed_energy_transfer(self, payload: dict) -> dict:
        """Which ways energy may go in a transaction; the car negotiates anew."""
        evse = self.station.evse_of(payload["transactionId"])
        if evse is None or evse.transaction is None:
            return rejected("TxNotFound")
        both_ways = any("BPT" in mode for mode in payload["allowedEnergyTransfer"])
        evse.transaction.bidirectional = both_ways and evse.can_discharge
        evse.transaction.authorised = evse.transaction.needs_due = True
        return ACCEPTED

    def update_dynamic_schedule(self, payload: dict) -> dict:
        """New limits or set-point for a dynamic profile; what is not given stays."""
        now = self.dialect.now()
        profile = self.station.profiles.get(payload["chargingProfileId"])
        if profile is None or profile.kind != "Dynamic" or profile.wire is None:
            return rejected("InvalidProfile", f"there is no dynamic profile {payload['chargingProfileId']}")
        if self.station.faults.active(Fault.REFUSE_PROFILES, now):
            return rejected("InternalError", "the station refuses profiles")
        schedule = profile.wire["chargingSchedule"][0]
        period = {**schedule["chargingSchedulePeriod"][0], **payload["scheduleUpdate"]}
        try:
            read = read_period(period, unit=schedule["chargingRateUnit"], phases=self.phases(profile.evse_number))
            self.station.check_period(read, profile.evse_number)
        except ProfileRefused as refused:
            return rejected(refused.reason_code, refused.message)
        wire = {**profile.wire, "chargingSchedule": [{**schedule, "chargingSchedulePeriod": [period]}]}
        own = self.station.own_time(now)
        updated = replace(profile, periods=(read,), received_at=own, wire=wire)
        self.station.profiles.install(updated, replace_same_level=True)
        return ACCEPTED
