"""A power schedule in kW -> the charging profile that a station of each version can follow.

1.6 and 2.0.1 know limits of charging only: what would discharge becomes 0. 2.1 follows a signed set-point
(operationMode CentralSetpoint, + into the car) within a limit and a discharge limit. Every profile ends by itself at
`valid_until`: its last period is the fail-safe power, its `validTo` is that instant, and a fall-back profile of the
lowest stack level waits below, so that a platform that falls silent leaves every station safe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from common.units import kw_to_amperes, kw_to_watts
from fleet.devices.ocpp.instants import write_instant
from fleet.devices.ocpp.wire import V16, V21

WATTS, AMPERES = "W", "A"
FALLBACK_STACK_LEVEL, COMMAND_STACK_LEVEL = 0, 1
# One identifier per purpose and EVSE: a newer profile replaces the older one instead of piling up.
FALLBACK_ID, DEFAULT_ID, TRANSACTION_ID = 1000, 2000, 3000
DEFAULT_MAX_PERIODS = 24

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

    @property
    def signed(self) -> bool:
        """Whether the profile carries a signed set-point."""
        return self.version == V21 and self.bidirectional and self.max_discharge_kw > 0


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
    dynamic = terms.signed and terms.dynamic and len(segments) == 2
    if dynamic:
        # one set-point that the platform keeps changing; it ends with validTo
        schedule: dict[str, Any] = {"periods": [_period(0, segments[0][1], terms)]}
    else:
        *live, safe = segments
        schedule = {
            "periods": [*(_period(start, power, terms) for start, power in live), _safe_period(*safe, terms)],
            "start": base,
        }
    profile = _profile(
        terms,
        purpose="TxProfile" if _transaction(terms) is not None else "TxDefaultProfile",
        kind="Dynamic" if dynamic else "Absolute",
        stack_level=COMMAND_STACK_LEVEL,
        schedule=schedule,
    )
    profile["validTo"] = write_instant(valid_until)
    return _request(terms, profile)


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


def _profile(
    terms: ProfileTerms, *, purpose: str, kind: str, stack_level: int, schedule: dict[str, Any]
) -> dict[str, Any]:
    first_id = {"TxProfile": TRANSACTION_ID}.get(purpose, DEFAULT_ID if stack_level else FALLBACK_ID)
    number = first_id + terms.evse_number
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
    if terms.signed:
        return {
            "startPeriod": start_s,
            "operationMode": "CentralSetpoint",
            "setpoint": round(kw_to_watts(power_kw), 1),
            "limit": round(kw_to_watts(terms.max_charge_kw), 1),
            "dischargeLimit": -round(kw_to_watts(terms.max_discharge_kw), 1),
        }
    return _safe_period(start_s, power_kw, terms)


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
