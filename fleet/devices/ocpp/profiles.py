"""A power schedule in kW -> the charging profile that a station of each version can follow.

1.6 and 2.0.1 know limits of charging only: what would discharge becomes 0. 2.1 follows a signed set-point
(operationMode CentralSetpoint, + into the car) within a limit and a discharge limit, or a rule of its own around it
(`fleet.core.local_control`). Which fields a period of each mode has is the table "Limits and setpoints per operation
mode" of OCPP 2.1. Every profile ends by itself at
`valid_until`: its last period is the fail-safe power, its `validTo` is that instant, and a fall-back profile of the
lowest stack level waits below, so that a platform that falls silent leaves every station safe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from common.units import kw_to_amperes, kw_to_watts
from fleet.core.local_control import LocalControl, V2XMode
from fleet.devices.ocpp.instants import write_instant
from fleet.devices.ocpp.wire import V16, V21

WATTS, AMPERES = "W", "A"
FALLBACK_STACK_LEVEL, COMMAND_STACK_LEVEL = 0, 1
# One identifier per purpose and EVSE: a newer profile replaces the older one instead of piling up.
FALLBACK_ID, DEFAULT_ID, TRANSACTION_ID, PRIORITY_ID = 1000, 2000, 3000, 4000
DEFAULT_MAX_PERIODS = 24
# A pause this long is worth letting the car's and the station's electronics sleep.
LONGEST_AWAKE_S = 900
# How often a station asks for the set-point of a Dynamic profile that it has not been sent.
PULL_EVERY_S = 60

BY_SETPOINT = LocalControl()

Segment = tuple[int, float]  # seconds after the start of the schedule, kW


@dataclass(frozen=True, slots=True)
class ProfileTerms:
    """What a profile has to respect. Powers in kW, never negative but for `fail_safe_kw`.

    Attributes:
        transaction_id: of the open transaction; empty before one has begun.
        bidirectional: whether car and station have agreed on discharging.
        rate_unit: "W" or "A", whichever the station understands.
        max_periods: how many periods it takes.
        dynamic: whether a 2.1 station may be given a profile of kind Dynamic.
        pulls: whether it asks for the present set-point of such a profile by itself.
        control: how the station arrives at its power in a bidirectional session.
        modes: the modes of operation that it says it has; empty if it does not say.
        sleeps: whether it can let its electronics sleep while idle.
        max_offline_s: after so long without its central system the profile no longer holds; None if it cannot do that.
        max_stack_level: the highest level that it takes.
        first_id: identifiers up to this one are the station's own.
    """

    version: str
    evse_number: int
    transaction_id: str
    phases: int
    max_charge_kw: float
    max_discharge_kw: float
    min_charge_kw: float
    fail_safe_kw: float
    bidirectional: bool
    rate_unit: str = WATTS
    max_periods: int = DEFAULT_MAX_PERIODS
    dynamic: bool = True
    pulls: bool = False
    control: LocalControl = BY_SETPOINT
    modes: frozenset[str] = frozenset()
    sleeps: bool = False
    max_offline_s: int | None = None
    max_stack_level: int = COMMAND_STACK_LEVEL
    first_id: int = 0

    @property
    def signed(self) -> bool:
        """Whether the profile may make the car discharge: both have agreed, and the station knows how."""
        return (
            self.version == V21
            and self.bidirectional
            and self.max_discharge_kw > 0
            and (not self.modes or self.control.mode in self.modes)
        )


def settable_kw(power_kw: float, terms: ProfileTerms) -> float:
    """What the station can be told, nearest below: within its limits, and a pause below the least charging power."""
    lowest = -terms.max_discharge_kw if terms.signed else 0.0
    power = min(max(power_kw, lowest), terms.max_charge_kw)
    return 0.0 if 0 < power < terms.min_charge_kw - 1e-9 else power


def schedule_segments(
    *,
    starts_at: datetime,
    offset_s: Sequence[float],
    power_kw: Sequence[float],
    valid_until: datetime,
    now: datetime,
    terms: ProfileTerms,
    held_kw: float | None = None,
) -> tuple[datetime, list[Segment]]:
    """A schedule in whole seconds: the instant of its start and what holds from when, the last being the fail-safe power.

    What is over is left out. For a schedule that is yet to begin, `held_kw` holds until then, because a new profile
    ends the one before it at once.
    """
    end_s = (valid_until - starts_at).total_seconds()
    steps = [
        (max(0.0, offset), settable_kw(power, terms))
        for offset, power in zip(offset_s, power_kw, strict=True)
        if offset < end_s
    ]
    begins_at = starts_at
    elapsed_s = (now - starts_at).total_seconds()
    if elapsed_s < 0 and held_kw is not None:
        begins_at = now
        steps = [(0.0, settable_kw(held_kw, terms)), *((offset - elapsed_s, power) for offset, power in steps)]
    elif elapsed_s > 0:
        while len(steps) > 1 and steps[1][0] <= elapsed_s:
            steps.pop(0)
    base = begins_at.replace(microsecond=0)
    late_s = (begins_at - base).total_seconds()
    if steps[0][0] > 0:
        # a period that began while others before it were over: count from there
        base += timedelta(seconds=round(steps[0][0] + late_s))
    moved_s = (base - begins_at).total_seconds()
    # the first period begins with the schedule, whatever rounding would make of its fraction of a second
    rounded = {(max(0, round(offset - moved_s)) if index else 0): power for index, (offset, power) in enumerate(steps)}
    safe_from_s = max(1, round((valid_until - base).total_seconds()))
    segments = _merge_equal(sorted(item for item in rounded.items() if item[0] < safe_from_s))
    segments = _limit_segments(segments, safe_from_s, max(1, terms.max_periods - 1))
    # averaging may have made what no car accepts
    segments = _merge_equal([(start_s, settable_kw(power, terms)) for start_s, power in segments])
    return base, [*segments, (safe_from_s, min(max(terms.fail_safe_kw, 0.0), terms.max_charge_kw))]


def _merge_equal(segments: Sequence[Segment]) -> list[Segment]:
    merged: list[Segment] = []
    for start_s, power in segments:
        if not merged or abs(merged[-1][1] - power) > 1e-6:
            merged.append((start_s, power))
    return merged


def _limit_segments(segments: list[Segment], end_s: int, most: int) -> list[Segment]:
    """At most so many, by joining neighbours where that distorts least; energy is kept, and the first is joined last."""
    segments = list(segments)
    while len(segments) > most:
        ends = [start for start, _ in segments[1:]] + [end_s]

        def distortion_kwh(index: int, ends: list[int] = ends) -> float:
            (start_s, power), (middle_s, following) = segments[index], segments[index + 1]
            shorter_s = min(middle_s - start_s, ends[index + 1] - middle_s)
            return abs(power - following) * shorter_s / 3600

        first = 1 if len(segments) > 2 else 0
        index = min(range(first, len(segments) - 1), key=distortion_kwh)
        (start_s, power), (middle_s, following) = segments[index], segments[index + 1]
        end = ends[index + 1]
        mean = (power * (middle_s - start_s) + following * (end - middle_s)) / (end - start_s)
        segments[index : index + 2] = [(start_s, mean)]
    return segments


def charging_profile(
    *,
    starts_at: datetime,
    offset_s: Sequence[float],
    power_kw: Sequence[float],
    valid_until: datetime,
    now: datetime,
    terms: ProfileTerms,
    held_kw: float | None = None,
) -> dict[str, Any]:
    """The payload of SetChargingProfile for a schedule."""
    base, segments = schedule_segments(
        starts_at=starts_at,
        offset_s=offset_s,
        power_kw=power_kw,
        valid_until=valid_until,
        now=now,
        terms=terms,
        held_kw=held_kw,
    )
    dynamic = is_dynamic(segments, terms)
    if dynamic:
        # one set-point that the platform keeps changing; it ends with validTo
        schedule: dict[str, Any] = {"periods": [_period(0, segments[0][1], terms)]}
    else:
        schedule = {"periods": _periods(segments, terms), "start": base}
    profile = _profile(
        terms,
        purpose="TxProfile" if _transaction(terms) is not None else "TxDefaultProfile",
        kind="Dynamic" if dynamic else "Absolute",
        stack_level=min(COMMAND_STACK_LEVEL, terms.max_stack_level),
        schedule=schedule,
    )
    if profile["chargingProfilePurpose"] == "TxProfile" or profile["stackLevel"] != FALLBACK_STACK_LEVEL:
        # a default profile that has had to take the fall-back's place ends in the fail-safe power instead
        profile["validTo"] = write_instant(valid_until)
    if terms.max_offline_s is not None:
        # an absolute schedule still says the right thing when the station is back; a lone set-point may not
        profile |= {"maxOfflineDuration": terms.max_offline_s, "invalidAfterOfflineDuration": dynamic}
    if dynamic and terms.pulls:
        profile["dynUpdateInterval"] = PULL_EVERY_S
    return _request(terms, profile)


def is_dynamic(segments: Sequence[Segment], terms: ProfileTerms) -> bool:
    """Whether a schedule is one set-point until its end, which a Dynamic profile holds and updates change."""
    return terms.signed and terms.dynamic and terms.control.by_setpoint and len(segments) == 2


def schedule_update(power_kw: float, terms: ProfileTerms) -> dict[str, Any]:
    """The content of UpdateDynamicSchedule, and of the answer to PullDynamicScheduleUpdate: a new set-point."""
    return {"setpoint": round(kw_to_watts(settable_kw(power_kw, terms)), 1)}


def profile_id(terms: ProfileTerms) -> int:
    """The identifier under which the station holds what it was last told for this EVSE."""
    purpose = "TxProfile" if _transaction(terms) is not None else "TxDefaultProfile"
    return _profile_id(purpose, min(COMMAND_STACK_LEVEL, terms.max_stack_level), terms)


def _profile_id(purpose: str, stack_level: int, terms: ProfileTerms) -> int:
    named = {"TxProfile": TRANSACTION_ID, "PriorityCharging": PRIORITY_ID}
    first = named.get(purpose, DEFAULT_ID if stack_level else FALLBACK_ID)
    return terms.first_id + first + terms.evse_number


def _periods(segments: Sequence[Segment], terms: ProfileTerms) -> list[dict[str, Any]]:
    *live, (safe_from_s, safe_kw) = segments
    ends = [start for start, _ in live[1:]] + [safe_from_s]
    return [
        *(
            _idle_period(start, terms) if _may_sleep(power, end - start, terms) else _period(start, power, terms)
            for (start, power), end in zip(live, ends, strict=True)
        ),
        _safe_period(safe_from_s, safe_kw, terms),
    ]


def _may_sleep(power_kw: float, length_s: float, terms: ProfileTerms) -> bool:
    return (
        terms.signed
        and terms.control.by_setpoint
        and V2XMode.IDLE in terms.modes
        and power_kw == 0
        and length_s >= LONGEST_AWAKE_S
    )


def fallback_profile(terms: ProfileTerms) -> dict[str, Any]:
    """The payload that makes a station keep to its fail-safe power whenever no other profile holds."""
    safe_kw = min(max(terms.fail_safe_kw, 0.0), terms.max_charge_kw)
    profile = _profile(
        terms,
        purpose="TxDefaultProfile",
        kind="Relative",
        stack_level=FALLBACK_STACK_LEVEL,
        schedule={"periods": [_safe_period(0, safe_kw, terms)]},
    )
    return _request(terms, profile)


def priority_profile(terms: ProfileTerms) -> dict[str, Any]:
    """The payload that says what a car may take while its driver has asked for priority (2.1): all that the EVSE can."""
    plain = replace(terms, bidirectional=False)
    profile = _profile(
        plain,
        purpose="PriorityCharging",
        kind="Relative",
        stack_level=FALLBACK_STACK_LEVEL,
        schedule={"periods": [_safe_period(0, terms.max_charge_kw, plain)]},
    )
    return _request(terms, profile)


def _profile(
    terms: ProfileTerms, *, purpose: str, kind: str, stack_level: int, schedule: dict[str, Any]
) -> dict[str, Any]:
    number = _profile_id(purpose, stack_level, terms)
    wire_schedule: dict[str, Any] = {
        "chargingRateUnit": WATTS if terms.signed else terms.rate_unit,
        "chargingSchedulePeriod": schedule["periods"],
    }
    if "start" in schedule:
        wire_schedule["startSchedule"] = write_instant(schedule["start"])
    profile: dict[str, Any] = {
        "stackLevel": stack_level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": kind,
    }
    if terms.version == V16:
        profile |= {"chargingProfileId": number, "chargingSchedule": wire_schedule}
    else:
        profile |= {"id": number, "chargingSchedule": [{"id": number, **wire_schedule}]}
    if purpose == "TxProfile":
        profile["transactionId"] = _transaction(terms)
    return profile


def _request(terms: ProfileTerms, profile: dict[str, Any]) -> dict[str, Any]:
    if terms.version == V16:
        return {"connectorId": terms.evse_number, "csChargingProfiles": profile}
    return {"evseId": terms.evse_number, "chargingProfile": profile}


def _transaction(terms: ProfileTerms) -> int | str | None:
    """The transaction as the version writes it; None where there is none that the station would know."""
    if terms.version != V16:
        return terms.transaction_id or None
    return int(terms.transaction_id) if terms.transaction_id.isdecimal() else None


def _period(start_s: int, power_kw: float, terms: ProfileTerms) -> dict[str, Any]:
    if not terms.signed:
        return _safe_period(start_s, power_kw, terms)
    mode = terms.control.mode
    if mode == V2XMode.IDLE:
        return _idle_period(start_s, terms)
    period: dict[str, Any] = {"startPeriod": start_s, "operationMode": str(mode)}
    if terms.control.by_setpoint:
        period["setpoint"] = round(kw_to_watts(power_kw), 1)
    if terms.control.by_setpoint or mode == V2XMode.EXTERNAL_SETPOINT:
        period["limit"] = round(kw_to_watts(terms.max_charge_kw), 1)
        period["dischargeLimit"] = -round(kw_to_watts(terms.max_discharge_kw), 1)
    if mode == V2XMode.LOCAL_FREQUENCY:
        period["v2xBaseline"] = round(kw_to_watts(power_kw), 1)
        period["v2xFreqWattCurve"] = [
            {"frequency": hertz, "power": round(kw_to_watts(added_kw), 1)}
            for hertz, added_kw in terms.control.frequency_watt
        ]
        if terms.control.signal_watt:
            period["v2xSignalWattCurve"] = [
                {"signal": round(signal), "power": round(kw_to_watts(added_kw), 1)}
                for signal, added_kw in terms.control.signal_watt
            ]
    return period


def _idle_period(start_s: int, terms: ProfileTerms) -> dict[str, Any]:
    """No power flows, and the electronics sleep where the station can let them."""
    period: dict[str, Any] = {"startPeriod": start_s, "operationMode": str(V2XMode.IDLE)}
    return period | {"evseSleep": True} if terms.sleeps else period


def _safe_period(start_s: int, power_kw: float, terms: ProfileTerms) -> dict[str, Any]:
    """A limit of charging alone, which every version knows."""
    period: dict[str, Any] = {"startPeriod": start_s, "limit": _limit(power_kw, terms), "numberPhases": terms.phases}
    if terms.version == V21:
        period["operationMode"] = "ChargingOnly"
    return period


def _limit(power_kw: float, terms: ProfileTerms) -> float:
    """A limit in the station's unit, in tenths, which is as fine as 1.6 allows; amperes are never rounded up."""
    if terms.signed or terms.rate_unit == WATTS:
        return round(kw_to_watts(power_kw), 1)
    return math.floor(kw_to_amperes(power_kw, phases=terms.phases) * 10 + 1e-6) / 10
