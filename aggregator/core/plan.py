"""From arrays to what is sent: an event's target, power that a device can hold, and which schedules are news."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MATERIAL_KW = 0.05
MATERIAL_FRACTION = 0.01


class EventKind(StrEnum):
    """What the grid operator asks for."""

    REDUCE = "reduce"  # draw less than the baseline by so many kW
    INCREASE = "increase"  # draw more than the baseline by so many kW
    LEVEL = "level"  # bring the total to so many kW


class Schedule(Protocol):
    """Power over time: `power_kw[i]` (+ into the asset) from `starts_at + offset_s[i]` on, until `valid_until`."""

    @property
    def starts_at(self) -> datetime: ...
    @property
    def valid_until(self) -> datetime: ...
    @property
    def offset_s(self) -> Sequence[float]: ...
    @property
    def power_kw(self) -> Sequence[float]: ...


def target_power_kw(kind: EventKind, requested_kw: Numbers, baseline_kw: Numbers) -> Numbers:  # [step]
    """The total that an event wants from its participants: baseline − reduction, baseline + increase, or the level.

    Args:
        kind: what is asked for.
        requested_kw: never negative for a reduction or increase; NaN outside the event.
        baseline_kw: what the participants would draw without the event.
    """
    if kind is EventKind.LEVEL:
        return np.asarray(requested_kw, dtype=np.float64).copy()
    sign = -1.0 if kind is EventKind.REDUCE else 1.0
    return np.asarray(baseline_kw, dtype=np.float64) + sign * np.asarray(requested_kw, dtype=np.float64)


def practicable_kw(power_kw: float, min_charge_kw: float) -> float:
    """The power that a station can really hold: between nothing and its least charging power there is nothing."""
    if 0.0 < power_kw < min_charge_kw:
        return min_charge_kw if power_kw >= min_charge_kw / 2 else 0.0
    return power_kw


def joined_steps(power_kw: Sequence[float]) -> list[int]:
    """The steps at which the power changes, the first one included: what a device must be told."""
    return [step for step in range(len(power_kw)) if step == 0 or power_kw[step] != power_kw[step - 1]]


def power_at(schedule: Schedule, at: datetime) -> float:
    """What a schedule says for an instant (its first value before it starts)."""
    after_s = (at - schedule.starts_at).total_seconds()
    index = max(0, int(np.searchsorted(schedule.offset_s, after_s, side="right")) - 1)
    return schedule.power_kw[index]


def is_news(new: Schedule, standing: Schedule | None, *, now: datetime, renew_before: timedelta) -> bool:
    """Whether a device would do something else by a new schedule than by the one that it has.

    It is left alone if what it has holds for `renew_before` at least and differs, at every instant from now on at which
    either schedule changes, by no more than 50 W or 1 % of its power.
    """
    if standing is None or standing.valid_until < now + renew_before:
        return True
    until = min(new.valid_until, standing.valid_until)
    changes = [schedule.starts_at + timedelta(seconds=s) for schedule in (new, standing) for s in schedule.offset_s]
    for at in [now, *changes]:
        if now <= at < until:
            held_kw = power_at(standing, at)
            if abs(power_at(new, at) - held_kw) > max(MATERIAL_KW, MATERIAL_FRACTION * abs(held_kw)):
                return True
    return False
