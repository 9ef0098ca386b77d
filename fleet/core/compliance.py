"""Whether a device does what it was told: its meter against its schedule, over long enough to be sure.

A limit is kept by whatever lies below it: cars take less when they are full. A signed set-point is kept by what lies
between it and nothing, for a car that is almost full takes less, but one that gives less than it was told to does not
keep a promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

TOLERANCE_FRACTION = 0.10
TOLERANCE_KW = 0.5
# Cars need a moment to follow, and a pilot signal moves in steps.
SETTLE_S = 15.0
DEPARTS_AFTER_S = 45.0
RETURNS_AFTER_S = 60.0
LEAST_READINGS = 3


class Verdict(StrEnum):
    """What a row of readings says."""

    FOLLOWS = "follows"
    DEPARTS = "departs"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Judged:
    """One reading beside what held at its instant. Powers in kW, + into the asset.

    Attributes:
        signed: whether the device was told a set-point rather than a limit.
        settled: whether what it was told had held for long enough to be followed.
    """

    measured_at: datetime
    power_kw: float
    told_kw: float
    signed: bool
    settled: bool


def tolerance_kw(told_kw: float) -> float:
    """What a meter may differ from what was told, in kW."""
    return max(TOLERANCE_KW, TOLERANCE_FRACTION * abs(told_kw))


def departs(power_kw: float, told_kw: float, *, signed: bool) -> bool:
    """Whether a power is not what was told: above a limit, beyond a set-point, or less discharging than one."""
    tolerance = tolerance_kw(told_kw)
    if not signed:
        return power_kw > max(told_kw, 0.0) + tolerance
    if told_kw < 0:
        return abs(power_kw - told_kw) > tolerance
    return power_kw > told_kw + tolerance or power_kw < -tolerance


def judge(
    readings: Sequence[Judged],
    *,
    departs_after_s: float = DEPARTS_AFTER_S,
    returns_after_s: float = RETURNS_AFTER_S,
) -> Verdict:
    """What the latest readings (in order) say: for so long, without exception, one or the other. Else it is unclear."""
    settled = [reading for reading in readings if reading.settled]
    if not settled:
        return Verdict.UNCLEAR
    last_departs = _departs(settled[-1])
    row = 0
    while row < len(settled) and _departs(settled[-1 - row]) == last_departs:
        row += 1
    lasting_s = (settled[-1].measured_at - settled[-row].measured_at).total_seconds()
    needed_s = departs_after_s if last_departs else returns_after_s
    if row < LEAST_READINGS or lasting_s < needed_s:
        return Verdict.UNCLEAR
    return Verdict.DEPARTS if last_departs else Verdict.FOLLOWS


def _departs(reading: Judged) -> bool:
    return departs(reading.power_kw, reading.told_kw, signed=reading.signed)
