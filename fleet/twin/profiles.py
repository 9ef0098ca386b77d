"""Charging profiles as a station keeps and obeys them: purposes, stacks, validity, and what holds at an instant.

The words are OCPP's; the rules are those that 1.6, 2.0.1 and 2.1 share (smart charging: 1.6 §3.13, 2.x block K).
Protocols translate their wire form into these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

STATION_MAX = "ChargingStationMaxProfile"
EXTERNAL = "ChargingStationExternalConstraints"
TX_DEFAULT = "TxDefaultProfile"
TX = "TxProfile"
PRIORITY = "PriorityCharging"
RECURRENCE_S = {"Daily": 86_400.0, "Weekly": 604_800.0}
SETPOINT_MODES = ("CentralSetpoint", "CentralFrequency")
LOCAL_MODES = ("LocalFrequency", "LocalLoadBalancing", "ExternalSetpoint")
MODES = ("ChargingOnly", "Idle", *SETPOINT_MODES, *LOCAL_MODES)

Curve = tuple[tuple[float, float], ...]


class ProfileRefused(Exception):
    """A station does not take a profile. `reason_code` is of OCPP 2.x's list of standard reason codes."""

    def __init__(self, reason_code: str, message: str) -> None:
        super().__init__(message)
        self.reason_code = reason_code
        self.message = message


@dataclass(frozen=True, slots=True)
class Period:
    """A period of a schedule. Limits are never negative; set-point, baseline and curves are positive into the car."""

    offset_s: float
    limit_kw: float | None = None
    discharge_limit_kw: float | None = None
    setpoint_kw: float | None = None
    operation_mode: str = "ChargingOnly"
    baseline_kw: float = 0.0
    frequency_watt: Curve = ()
    signal_watt: Curve = ()


@dataclass(slots=True)
class Surroundings:
    """What a station measures or is told beside its profiles.

    Attributes:
        frequency_hz: of the grid.
        site_load_kw: what the site takes besides this station's cars; negative if it feeds in.
        balance_from_kw, balance_to_kw: between these, local load balancing leaves the site alone.
        external_kw: the set-point of an energy management system on site, if there is one.
        signal: the last aFRR signal, if one has come.
    """

    frequency_hz: float = 50.0
    site_load_kw: float = 0.0
    balance_from_kw: float = 0.0
    balance_to_kw: float = 0.0
    external_kw: float | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class ChargingProfile:
    """A charging profile; `evse_number` 0 is the whole station. `wire` is the form it was received in."""

    profile_id: int
    evse_number: int
    stack_level: int
    purpose: str
    kind: str
    periods: tuple[Period, ...]
    received_at: datetime
    recurrency: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    starts_at: datetime | None = None
    duration_s: float | None = None
    transaction_id: str | None = None
    max_offline_s: float | None = None
    invalid_after_offline: bool = False
    update_interval_s: float | None = None
    wire: dict | None = None

    def starts(self, now: datetime, transaction_started_at: datetime | None) -> datetime | None:
        """When the run of the schedule that matters at `now` begins; none if it cannot begin without a transaction."""
        if self.kind == "Dynamic":
            return self.received_at
        if self.kind == "Relative" or self.starts_at is None:
            return transaction_started_at
        if self.kind == "Recurring":
            cycle_s = RECURRENCE_S[self.recurrency]
            cycles = ((now - self.starts_at).total_seconds()) // cycle_s
            return self.starts_at + timedelta(seconds=max(cycles, 0) * cycle_s)
        return self.starts_at

    def valid(self, now: datetime, offline_s: float) -> bool:
        """Whether it may be obeyed at `now`, the station having been offline for so long."""
        if self.max_offline_s is not None and offline_s > self.max_offline_s:
            return False
        return (self.valid_from is None or self.valid_from <= now) and (self.valid_to is None or now < self.valid_to)

    def period_at(self, now: datetime, transaction_started_at: datetime | None, offline_s: float) -> Period | None:
        """The period that holds at `now`; none if the profile does not."""
        if not self.valid(now, offline_s):
            return None
        start = self.starts(now, transaction_started_at)
        if start is None:
            return None
        since_s = (now - start).total_seconds()
        if since_s < 0 or (self.duration_s is not None and since_s >= self.duration_s):
            return None
        held = [period for period in self.periods if period.offset_s <= since_s]
        return held[-1] if held else None

    def changes(self, now: datetime, until: datetime, transaction_started_at: datetime | None) -> list[datetime]:
        """Instants within (now, until) at which it may begin, change or end."""
        instants = [self.valid_from, self.valid_to]
        start = self.starts(now, transaction_started_at)
        cycle_s = RECURRENCE_S.get(self.recurrency, 0.0) if self.kind == "Recurring" else 0.0
        while start is not None and start < until:
            ends = [self.duration_s] if self.duration_s is not None else []
            instants += [start + timedelta(seconds=s) for s in [period.offset_s for period in self.periods] + ends]
            start = start + timedelta(seconds=cycle_s) if cycle_s else None
        return [instant for instant in instants if instant is not None and now < instant < until]


@dataclass(frozen=True, slots=True)
class Moment:
    """What the evaluation of profiles depends on.

    Attributes:
        now: the station's own time.
        transaction_id, transaction_started_at: of the transaction on the EVSE; empty and none without one.
        offline_s: how long the station has been without its central system; 0 while connected.
        sharers: EVSEs among which a limit of the whole station is shared.
        surroundings: for the modes in which the station decides by itself.
        priority: whether the driver has asked to charge before all others.
    """

    now: datetime
    transaction_id: str = ""
    transaction_started_at: datetime | None = None
    offline_s: float = 0.0
    sharers: int = 1
    surroundings: Surroundings = field(default_factory=Surroundings)
    priority: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the profiles together say: follow `wanted_kw` within [-discharge_kw, charge_kw]."""

    wanted_kw: float
    charge_kw: float
    discharge_kw: float
    by_setpoint: bool = False
    mode: str = "ChargingOnly"


class ProfileStore:
    """The profiles installed in a station."""

    def __init__(self, *, max_installed: int = 50, max_stack_level: int = 50, max_periods: int = 100) -> None:
        self.max_installed = max_installed
        self.max_stack_level = max_stack_level
        self.max_periods = max_periods
        self._profiles: dict[int, ChargingProfile] = {}

    def __iter__(self) -> Iterator[ChargingProfile]:
        return iter(list(self._profiles.values()))

    def __len__(self) -> int:
        return len(self._profiles)

    def get(self, profile_id: int) -> ChargingProfile | None:
        """The profile of that id, if installed."""
        return self._profiles.get(profile_id)

    def install(self, profile: ChargingProfile, *, replace_same_level: bool) -> None:
        """Take a profile; one of the same id is replaced.

        Args:
            replace_same_level: whether one of the same purpose, level and EVSE gives way too, as 1.6 wants, or is a
                reason to refuse, as 2.x does where their validity overlaps.

        Raises:
            ProfileRefused: the profile is malformed, too long, too high, clashes, or is one too many.
        """
        self._check(profile)
        clashing = [other for other in self._profiles.values() if _same_level(profile, other)]
        if clashing and not replace_same_level:
            raise ProfileRefused(
                "DuplicateProfile", f"profile {clashing[0].profile_id} has this purpose and stack level"
            )
        for other in clashing:
            del self._profiles[other.profile_id]
        if profile.profile_id not in self._profiles and len(self._profiles) >= self.max_installed:
            raise ProfileRefused("TooManyElements", f"{self.max_installed} profiles are installed already")
        self._profiles[profile.profile_id] = profile

    def _check(self, profile: ChargingProfile) -> None:
        offsets = [period.offset_s for period in profile.periods]
        if not offsets or offsets[0] != 0 or any(first >= second for first, second in pairwise(offsets)):
            raise ProfileRefused("InvalidSchedule", "periods must begin at 0 and ascend")
        if len(offsets) > self.max_periods:
            raise ProfileRefused("TooManyElements", f"a schedule has at most {self.max_periods} periods")
        if not 0 <= profile.stack_level <= self.max_stack_level:
            raise ProfileRefused("InvalidStackLevel", f"stack levels end at {self.max_stack_level}")
        if profile.kind == "Recurring" and (profile.recurrency not in RECURRENCE_S or profile.starts_at is None):
            raise ProfileRefused("InvalidProfile", "a recurring profile needs its recurrency and its start")
        if profile.kind == "Dynamic" and len(profile.periods) != 1:
            raise ProfileRefused("InvalidSchedule", "a dynamic profile has one period")
        if profile.valid_from and profile.valid_to and profile.valid_to <= profile.valid_from:
            raise ProfileRefused("InvalidProfile", "validTo must lie after validFrom")

    def clear(
        self,
        *,
        profile_id: int | None = None,
        evse_number: int | None = None,
        purpose: str | None = None,
        stack_level: int | None = None,
        transaction_id: str | None = None,
    ) -> int:
        """Remove what matches all that is given; return how many."""
        gone = [
            profile
            for profile in self._profiles.values()
            if (profile_id is None or profile.profile_id == profile_id)
            and (evse_number is None or profile.evse_number == evse_number)
            and (purpose is None or profile.purpose == purpose)
            and (stack_level is None or profile.stack_level == stack_level)
            and (transaction_id is None or profile.transaction_id == transaction_id)
        ]
        for profile in gone:
            del self._profiles[profile.profile_id]
        return len(gone)

    def forget_offline(self, *, offline_s: float) -> None:
        """Drop for good the profiles that do not survive having been offline for so long."""
        for profile in list(self._profiles.values()):
            too_long = profile.max_offline_s is not None and offline_s > profile.max_offline_s
            if profile.invalid_after_offline and too_long:
                del self._profiles[profile.profile_id]

    def leading(self, purpose: str, evse_number: int, moment: Moment) -> Period | None:
        """The period that holds for a purpose: of the highest stack level whose schedule covers the moment."""
        for profile in sorted(self._profiles.values(), key=lambda each: -each.stack_level):
            if profile.purpose != purpose or profile.evse_number != evse_number:
                continue
            if profile.transaction_id is not None and profile.transaction_id != moment.transaction_id:
                continue
            period = profile.period_at(moment.now, moment.transaction_started_at, moment.offline_s)
            if period is not None:
                return period
        return None

    def allowance(
        self, evse_number: int, moment: Moment, *, charge_kw: float, discharge_kw: float, fail_safe_kw: float
    ) -> Allowance:
        """What an EVSE may and should do.

        The transaction's profile leads, then the default of the EVSE, then that of the station, then the fail-safe
        power; limits of the station and of others cut what they say.

        Args:
            charge_kw, discharge_kw: what the EVSE can do each way.
            fail_safe_kw: what it takes when no profile holds.
        """
        if not self._profiles:
            return Allowance(fail_safe_kw, min(fail_safe_kw, charge_kw), 0.0)
        period = self.holding(evse_number, moment) or Period(0.0, limit_kw=fail_safe_kw)
        allowed = _of_period(period, moment.surroundings, charge_kw=charge_kw, discharge_kw=discharge_kw)
        for purpose in (STATION_MAX, EXTERNAL):
            for number, sharers in ((0, max(moment.sharers, 1)), (evse_number, 1)):
                cap = self.leading(purpose, number, moment)
                if cap is not None and cap.limit_kw is not None:
                    allowed = replace(allowed, charge_kw=min(allowed.charge_kw, cap.limit_kw / sharers))
        wanted_kw = min(max(allowed.wanted_kw, -allowed.discharge_kw), allowed.charge_kw)
        return replace(allowed, wanted_kw=wanted_kw)

    def holding(self, evse_number: int, moment: Moment) -> Period | None:
        """The period that an EVSE follows; none if no profile covers the moment."""
        first = self.priority(evse_number, moment) if moment.priority else None
        return (
            first
            or self.leading(TX, evse_number, moment)
            or self.leading(TX_DEFAULT, evse_number, moment)
            or self.leading(TX_DEFAULT, 0, moment)
        )

    def priority(self, evse_number: int, moment: Moment) -> Period | None:
        """What holds for a car that is served before all others; none if no profile says."""
        return self.leading(PRIORITY, evse_number, moment) or self.leading(PRIORITY, 0, moment)

    def changes(self, moment: Moment, until: datetime) -> list[datetime]:
        """Instants after the moment and before `until` at which the allowance may change."""
        instants = {
            instant
            for profile in self._profiles.values()
            for instant in profile.changes(moment.now, until, moment.transaction_started_at)
        }
        return sorted(instants)


def _same_level(profile: ChargingProfile, other: ChargingProfile) -> bool:
    if profile.profile_id == other.profile_id:
        return False
    same = (profile.purpose, profile.stack_level, profile.evse_number, profile.transaction_id) == (
        other.purpose,
        other.stack_level,
        other.evse_number,
        other.transaction_id,
    )
    apart = (
        profile.valid_to is not None and other.valid_from is not None and profile.valid_to <= other.valid_from
    ) or (other.valid_to is not None and profile.valid_from is not None and other.valid_to <= profile.valid_from)
    return same and not apart


def _of_period(period: Period, surroundings: Surroundings, *, charge_kw: float, discharge_kw: float) -> Allowance:
    most_in = charge_kw if period.limit_kw is None else min(period.limit_kw, charge_kw)
    most_out = discharge_kw if period.discharge_limit_kw is None else min(period.discharge_limit_kw, discharge_kw)
    if period.operation_mode == "Idle":
        return Allowance(0.0, 0.0, 0.0, mode="Idle")
    mode = period.operation_mode
    if mode in SETPOINT_MODES and period.setpoint_kw is not None:
        return Allowance(period.setpoint_kw, most_in, most_out, by_setpoint=True, mode=mode)
    if mode in LOCAL_MODES:
        return Allowance(_local_kw(period, surroundings), most_in, most_out, by_setpoint=True, mode=mode)
    return Allowance(most_in, most_in, 0.0)


def _local_kw(period: Period, surroundings: Surroundings) -> float:
    """What the station itself arrives at, by what it measures and is told."""
    if period.operation_mode == "LocalFrequency":
        added = curve_at(period.frequency_watt, surroundings.frequency_hz)
        if surroundings.signal is not None:
            added += curve_at(period.signal_watt, surroundings.signal)
        return period.baseline_kw + added
    if period.operation_mode == "LocalLoadBalancing":
        load = surroundings.site_load_kw
        return min(max(load, surroundings.balance_from_kw), surroundings.balance_to_kw) - load
    return surroundings.external_kw or 0.0


def curve_at(curve: Curve, x: float) -> float:
    """A curve of ascending points, straight between them and flat beyond; 0 without points."""
    if not curve:
        return 0.0
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return curve[0][1] if x < curve[0][0] else curve[-1][1]


def sum_allowances(allowances: list[Allowance]) -> Allowance:
    """What several EVSEs may do together."""
    return Allowance(
        wanted_kw=sum(each.wanted_kw for each in allowances),
        charge_kw=sum(each.charge_kw for each in allowances),
        discharge_kw=sum(each.discharge_kw for each in allowances),
    )
