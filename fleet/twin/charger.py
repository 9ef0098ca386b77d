"""A charging station without a protocol: cars come and go, transactions run, profiles are obeyed, meters count.

What has to be told to a central system is kept here until a protocol's client has delivered it: transaction events in
a queue, everything else as flags. All instants in events are of the station's own clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

from fleet.twin.car import NOTHING, PowerOffer, SimulatedCar
from fleet.twin.evse import RemoteStart, SimulatedEvse
from fleet.twin.faults import Fault, StationFaults
from fleet.twin.meter import RESOLUTION_WH, EnergyMeter
from fleet.twin.notices import Notices
from fleet.twin.profiles import (
    MODES,
    STATION_MAX,
    TX,
    Allowance,
    ChargingProfile,
    Moment,
    Period,
    ProfileRefused,
    ProfileStore,
    Surroundings,
    sum_allowances,
)
from fleet.twin.transactions import EventKind, EventQueue, Transaction, TransactionEvent
from fleet.twin.world import WorldCharger

# without an answer for so long after plugging in, a station starts on its own and tells later
START_OFFLINE_AFTER_S = 5.0
REMOTE_START_WAITS_S = 60.0


class SimulatedStation:
    """A charging station. `on_work` is called when there is something new to tell."""

    def __init__(self, world: WorldCharger, *, seed: int) -> None:
        self.world = world
        self.identity = world.identity
        self.random = random.Random(f"{seed}/{world.identity}")
        # a transaction of 1.6 begins and ends at whole Wh: a finer meter would seem to run backwards there
        resolution_wh = 1.0 if world.protocol == "ocpp1.6" else RESOLUTION_WH
        self.evses = {evse.number: SimulatedEvse(evse, EnergyMeter(resolution_wh)) for evse in world.evses}
        self.profiles = ProfileStore()
        self.surroundings = Surroundings()
        self.faults = StationFaults()
        self.queue = EventQueue()
        self.status_due: set[int] = set()
        self.notices = Notices(self)
        self.sample_interval_s = world.meter_interval_s
        self.start_offline_after_s = START_OFFLINE_AFTER_S
        self.on_work: Callable[[], None] = lambda: None
        self.online = False
        self._offline_since: datetime | None = None
        self._next_sample_at: datetime | None = None

    def own_time(self, now: datetime) -> datetime:
        """The station's own clock."""
        return now + timedelta(seconds=self.faults.skew_s(now))

    def evse_of(self, wire_id: str) -> SimulatedEvse | None:
        """The EVSE on which a transaction runs."""
        for evse in self.evses.values():
            if evse.transaction is not None and evse.transaction.wire_id == wire_id:
                return evse
        return None

    # the connection

    def connect(self, now: datetime) -> None:
        """The central system has accepted the station: it is told how every connector stands."""
        self.profiles.forget_offline(offline_s=self.offline_s(now))
        self.online, self._offline_since = True, None
        self.status_due.update(self.evses)
        self.on_work()

    def disconnect(self, now: datetime) -> None:
        """The connection is lost."""
        if self.online or self._offline_since is None:
            self._offline_since = now
        self.online = False

    def offline_s(self, now: datetime) -> float:
        """How long it has been without its central system; 0 while connected."""
        return 0.0 if self._offline_since is None else (now - self._offline_since).total_seconds()

    # cars

    def plug_in(self, evse_number: int, car: SimulatedCar, now: datetime) -> None:
        """A car is connected. Nothing happens if the EVSE is taken."""
        evse = self.evses[evse_number]
        if evse.car is not None:
            return
        evse.car, evse.plugged_at = car, now
        evse.served = False
        evse.wants_authorisation = evse.operative and not evse.faulted
        self.tell_status(evse)
        if evse.remote_start is not None:
            self.start_remotely(evse, evse.remote_start, now)

    def unplug(self, evse_number: int, now: datetime) -> SimulatedCar | None:
        """A car leaves; its transaction ends."""
        evse = self.evses[evse_number]
        car = evse.car
        if car is None:
            return None
        self.stop_transaction(evse, now, trigger="EVCommunicationLost", stop_reason="EVDisconnected")
        car.power_kw = 0.0
        evse.car, evse.plugged_at, evse.offer = None, None, NOTHING
        evse.wants_authorisation = evse.served = False
        self.tell_status(evse)
        return car

    # transactions

    def start_transaction(
        self,
        evse: SimulatedEvse,
        *,
        id_token: str,
        now: datetime,
        trigger: str = "Authorized",
        authorised: bool = True,
        bidirectional: bool = False,
        remote_start_id: int | None = None,
    ) -> Transaction:
        """Begin to serve the car that is plugged in."""
        # not from the seed: a station that starts again must not use an identifier twice
        key = str(uuid4())
        transaction = Transaction(
            key=key,
            evse_number=evse.number,
            id_token=id_token,
            started_at=self.own_time(now),
            wire_id=key,
            remote_start_id=remote_start_id,
            authorised=authorised,
            bidirectional=bidirectional and evse.can_discharge,
            needs_due=True,
        )
        evse.transaction, evse.wants_authorisation, evse.remote_start = transaction, False, None
        transaction.reservation_id, evse.hold = evse.reservation_id, None
        self._tell(evse, "started", trigger, now)
        self.tell_status(evse)
        return transaction

    def start_remotely(self, evse: SimulatedEvse, order: RemoteStart, now: datetime) -> Transaction | None:
        """Begin the transaction that the central system asked for, or wait for a car."""
        if evse.car is None:
            evse.remote_start = order
            self.tell_status(evse)
            return None
        transaction = self.start_transaction(
            evse, id_token=order.id_token, now=now, trigger="RemoteStart", remote_start_id=order.remote_start_id
        )
        if order.profile is not None:
            self.profiles.install(order.profile, replace_same_level=True)
        return transaction

    def stop_transaction(self, evse: SimulatedEvse, now: datetime, *, trigger: str, stop_reason: str) -> bool:
        """End the transaction of an EVSE; the car may stay plugged in. Returns whether there was one."""
        transaction = evse.transaction
        if transaction is None:
            return False
        if evse.car is not None:
            evse.car.power_kw = 0.0
        evse.offer, evse.setpoint_kw = NOTHING, None
        self._tell(evse, "ended", trigger, now, stop_reason=stop_reason)
        transaction.ended, transaction.needs_due = True, False
        evse.transaction, evse.served = None, True
        self.profiles.clear(evse_number=evse.number, purpose=TX)
        if evse.operative_later is not None:
            evse.operative, evse.operative_later = evse.operative_later, None
        self.tell_status(evse)
        return True

    def set_operative(self, evse: SimulatedEvse, operative: bool) -> bool:
        """Put an EVSE in or out of service; returns False where that waits for the end of a transaction."""
        if evse.transaction is not None and not operative:
            evse.operative_later = False
            return False
        evse.operative, evse.operative_later = operative, None
        if operative and evse.car is not None and evse.transaction is None and not evse.served:
            evse.wants_authorisation = True
        self.tell_status(evse)
        return True

    # profiles

    def install_profile(self, profile: ChargingProfile, *, now: datetime, replace_same_level: bool) -> None:
        """Take a charging profile.

        Raises:
            ProfileRefused: with a reason code of OCPP 2.x.
        """
        self.check_profile(profile, now)
        self.profiles.install(profile, replace_same_level=replace_same_level)

    def check_profile(self, profile: ChargingProfile, now: datetime) -> None:
        """Whether a profile suits this station; see `install_profile`."""
        if self.faults.active(Fault.REFUSE_PROFILES, now):
            raise ProfileRefused("InternalError", "the station refuses profiles")
        if profile.evse_number and profile.evse_number not in self.evses:
            raise ProfileRefused("UnknownEvse", f"there is no EVSE {profile.evse_number}")
        if profile.purpose == STATION_MAX and profile.evse_number:
            raise ProfileRefused("InvalidProfile", "a limit of the station is set on EVSE 0")
        if profile.purpose == TX:
            evse = self.evses.get(profile.evse_number)
            transaction = evse.transaction if evse is not None else None
            if transaction is None or profile.transaction_id not in (None, transaction.wire_id):
                raise ProfileRefused("TxNotFound", "there is no such transaction on this EVSE")
        for period in profile.periods:
            self.check_period(period, profile.evse_number)

    def check_period(self, period: Period, evse_number: int) -> None:
        """Whether the EVSE can do what a period asks; see `install_profile`."""
        if period.operation_mode not in MODES:
            raise ProfileRefused("UnsupportedParam", f"operation mode {period.operation_mode} is not supported")
        if period.limit_kw is not None and period.limit_kw < 0:
            raise ProfileRefused("InvalidSchedule", "limit must not be negative")
        evse = self.evses.get(evse_number)
        if period.setpoint_kw is not None and period.setpoint_kw < 0 and (evse is None or evse.discharge_kw <= 0):
            raise ProfileRefused("InvalidSchedule", "discharging is not possible or not allowed here")

    def composite(self, evse_number: int, now: datetime, duration_s: float) -> list[tuple[float, Allowance]]:
        """What an EVSE (0: all together) will be allowed from now on: offsets in seconds, and what holds from there."""
        own = self.own_time(now)
        until = own + timedelta(seconds=duration_s)
        evses = [self.evses[evse_number]] if evse_number else list(self.evses.values())
        cuts = sorted(
            {own, *(cut for evse in evses for cut in self.profiles.changes(self._moment(evse, own, 0.0), until))}
        )
        steps: list[tuple[float, Allowance]] = []
        for cut in cuts:
            each = [self._allowance(evse, self._moment(evse, cut, 0.0)) for evse in evses]
            total = each[0] if evse_number else sum_allowances(each)
            if not steps or steps[-1][1] != total:
                steps.append(((cut - own).total_seconds(), total))
        return steps

    # the passing of time

    def decide(self, now: datetime) -> None:
        """Set what each EVSE offers to its car now."""
        own, offline_s = self.own_time(now), self.offline_s(now)
        for evse in self.evses.values():
            evse.discharge_fraction = self.notices.discharge_fraction()
            if evse.transaction is None or evse.car is None:
                evse.offer, evse.setpoint_kw, evse.operation_mode = NOTHING, None, "ChargingOnly"
                continue
            if self.faults.active(Fault.IGNORE_PROFILES, now):
                allowed = Allowance(evse.limits.max_charge_kw, evse.limits.max_charge_kw, 0.0)
            else:
                allowed = self._allowance(evse, self._moment(evse, own, offline_s))
            evse.setpoint_kw = allowed.wanted_kw if allowed.by_setpoint else None
            if evse.operation_mode != allowed.mode:
                evse.operation_mode = allowed.mode
                self._tell(evse, "updated", "OperationModeChanged", now)
            evse.offer = PowerOffer(
                allowed.wanted_kw, allowed.charge_kw, allowed.discharge_kw, least_charge_kw=evse.limits.min_charge_kw
            )

    def observe(self, now: datetime, step_s: float) -> None:
        """Count the energy of the step that has passed, and note all that has to be told."""
        self._follow_faults(now)
        self.notices.look(self.own_time(now))
        sample = self._sample_now(now)
        for evse in self.evses.values():
            evse.meter.count(evse.power_kw, step_s)
            if evse.end_hold(now):
                self.tell_status(evse)
            if evse.remote_start is not None and now >= evse.remote_start.until:
                evse.remote_start = None
                self.tell_status(evse)
            if evse.transaction is not None:
                state = evse.settled_state(now)
                if state != evse.transaction.charging_state:
                    evse.transaction.charging_state = state
                    self._tell(evse, "updated", "ChargingStateChanged", now)
                    self.tell_status(evse)
                if sample:
                    self._tell(evse, "updated", "MeterValuePeriodic", now)
            elif evse.wants_authorisation and not self.online:
                self._start_offline(evse, now)

    def period_now(self, evse: SimulatedEvse, now: datetime) -> Period | None:
        """The period of a profile that an EVSE follows now; none if no profile holds."""
        return self.profiles.holding(evse.number, self._moment(evse, self.own_time(now), self.offline_s(now)))

    def set_priority(self, evse: SimulatedEvse, wanted: bool, now: datetime) -> bool:
        """Serve the car before all others, or no longer; False if no profile says what that means."""
        if evse.transaction is None:
            return False
        if wanted and self.profiles.priority(evse.number, self._moment(evse, self.own_time(now), 0.0)) is None:
            return False
        evse.transaction.priority = wanted
        return True

    def trigger_reading(self, evse: SimulatedEvse, now: datetime) -> None:
        """Tell what the meter shows, because somebody asked."""
        if evse.transaction is not None:
            self._tell(evse, "updated", "Trigger", now)

    def tell_status(self, evse: SimulatedEvse) -> None:
        """The status of a connector has to be told."""
        self.status_due.add(evse.number)
        self.on_work()

    def _start_offline(self, evse: SimulatedEvse, now: datetime) -> None:
        if evse.car is None or evse.plugged_at is None:
            return
        if (now - evse.plugged_at).total_seconds() >= self.start_offline_after_s:
            self.start_transaction(evse, id_token=evse.car.id_token, now=now, authorised=False)

    def _sample_now(self, now: datetime) -> bool:
        interval = timedelta(seconds=self.sample_interval_s)
        if self.sample_interval_s <= 0:
            return False
        if self._next_sample_at is None:
            # stations are not in step with each other
            self._next_sample_at = now + interval * self.random.random()
        if now < self._next_sample_at:
            return False
        missed = (now - self._next_sample_at) // interval
        self._next_sample_at += interval * (missed + 1)
        return True

    def _tell(self, evse: SimulatedEvse, kind: EventKind, trigger: str, now: datetime, stop_reason: str = "") -> None:
        transaction = evse.transaction
        assert transaction is not None
        at = self.own_time(now)
        self.queue.put(
            TransactionEvent(
                kind=kind,
                transaction=transaction,
                at=at,
                sequence_number=transaction.next_sequence_number(),
                trigger=trigger,
                offline=not self.online,
                reading=evse.read(at),
                charging_state=transaction.charging_state,
                stop_reason=stop_reason,
            )
        )
        self.on_work()

    def _follow_faults(self, now: datetime) -> None:
        faulted = self.faults.active(Fault.FAULTED_CONNECTOR, now)
        stuck = self.faults.active(Fault.STUCK_METER, now)
        for evse in self.evses.values():
            if stuck:
                evse.meter.stick(evse.power_kw)
            else:
                evse.meter.release()
            if faulted != evse.faulted:
                evse.faulted = faulted
                self.stop_transaction(evse, now, trigger="AbnormalCondition", stop_reason="Other")
                evse.wants_authorisation = not faulted and evse.car is not None and evse.operative
                evse.served = evse.served and faulted
                self.tell_status(evse)

    def _moment(self, evse: SimulatedEvse, own: datetime, offline_s: float) -> Moment:
        transaction = evse.transaction
        return Moment(
            now=own,
            transaction_id=transaction.wire_id if transaction is not None else "",
            transaction_started_at=transaction.started_at if transaction is not None else None,
            offline_s=offline_s,
            sharers=sum(each.transaction is not None for each in self.evses.values()),
            surroundings=self.surroundings,
            priority=transaction is not None and transaction.priority,
        )

    def _allowance(self, evse: SimulatedEvse, moment: Moment) -> Allowance:
        return self.profiles.allowance(
            evse.number,
            moment,
            charge_kw=evse.limits.max_charge_kw,
            discharge_kw=evse.discharge_kw,
            fail_safe_kw=evse.fail_safe_kw,
        )
