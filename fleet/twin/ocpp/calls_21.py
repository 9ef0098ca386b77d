"""OCPP 2.1 on the side of a station: what it does when it is called, beyond 2.0.1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fleet.twin.faults import Fault
from fleet.twin.ocpp.calls_201 import ACCEPTED, Calls201, rejected
from fleet.twin.ocpp.der_calls import DerCalls
from fleet.twin.ocpp.profile_wire import read_period, write_instant
from fleet.twin.profiles import PRIORITY, ChargingProfile, ProfileRefused


class Calls21(Calls201):
    """The calls that 2.1 adds for bidirectional charging."""

    def table(self) -> dict[str, Callable[[dict], dict]]:
        """The handlers by action."""
        return {
            **super().table(),
            "NotifyAllowedEnergyTransfer": self.notify_allowed_energy_transfer,
            "UpdateDynamicSchedule": self.update_dynamic_schedule,
            "AFRRSignal": self.afrr_signal,
            **DerCalls(self.dialect).table(),
            "UsePriorityCharging": self.use_priority_charging,
        }

    def check_form(self, profile: ChargingProfile) -> None:
        """Only a dynamic profile is updated, and priority is to charge."""
        super().check_form(profile)
        if profile.purpose == PRIORITY and any(p.operation_mode != "ChargingOnly" for p in profile.periods):
            raise ProfileRefused("InvalidSchedule", "priority charging is ChargingOnly")
        if profile.update_interval_s is not None and profile.kind != "Dynamic":
            raise ProfileRefused("InvalidProfile", "dynUpdateInterval is for dynamic profiles")

    def notify_allowed_energy_transfer(self, payload: dict) -> dict:
        """Which ways energy may go in a transaction; the car negotiates anew."""
        evse = self.station.evse_of(payload["transactionId"])
        if evse is None or evse.transaction is None:
            return rejected("TxNotFound")
        both_ways = any("BPT" in mode for mode in payload["allowedEnergyTransfer"])
        evse.transaction.bidirectional = both_ways and evse.can_discharge
        evse.transaction.authorised = evse.transaction.needs_due = True
        return ACCEPTED

    def use_priority_charging(self, payload: dict) -> dict:
        """Serve a transaction before all others, or no longer."""
        evse = self.station.evse_of(payload["transactionId"])
        if evse is None:
            return rejected("TxNotFound")
        done = self.station.set_priority(evse, payload["activate"], self.dialect.now())
        return ACCEPTED if done else {"status": "NoProfile"}

    def afrr_signal(self, payload: dict) -> dict:
        """The grid operator's signal, for the cars that follow one now."""
        now, own = self.dialect.now(), self.station.own_time(self.dialect.now())
        following = [
            evse
            for evse in self.station.evses.values()
            if (period := self.station.period_now(evse, now)) is not None and period.signal_watt
        ]
        if not following:
            return rejected("NotEnabled", f"nobody follows a signal at {write_instant(own)}")
        self.station.surroundings.signal = payload["signal"]
        return ACCEPTED

    def update_dynamic_schedule(self, payload: dict) -> dict:
        """New limits or set-point for a dynamic profile; what is not given stays."""
        return self.take_update(payload["chargingProfileId"], payload["scheduleUpdate"])

    def take_update(self, profile_id: int, update: dict) -> dict:
        """Put an update into a dynamic profile, sent or fetched."""
        now = self.dialect.now()
        profile = self.station.profiles.get(profile_id)
        if profile is None or profile.kind != "Dynamic" or profile.wire is None:
            return rejected("InvalidProfile", f"there is no dynamic profile {profile_id}")
        if self.station.faults.active(Fault.REFUSE_PROFILES, now):
            return rejected("InternalError", "the station refuses profiles")
        schedule = profile.wire["chargingSchedule"][0]
        period = {**schedule["chargingSchedulePeriod"][0], **update}
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
