"""What contracts allow, step by step: hours in which discharge is allowed, and energy that may still be discharged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from common.horizon import Horizon

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UseAllowance:
    """What a contract leaves of one asset's use at one moment; energies at the meter, infinite where it sets no limit.

    Attributes:
        left_today_kwh, left_this_month_kwh: what may still be discharged.
        per_day_kwh, per_month_kwh: the same from the next local day and month on.
        max_events_per_month: events of a local month in which it takes part at most; None for any number.
        stands: where what it is about stood since the local month began: asset, from, until.
    """

    contract_id: int
    time_zone: str
    left_today_kwh: float
    left_this_month_kwh: float
    per_day_kwh: float
    per_month_kwh: float
    discharge_from: time | None
    discharge_until: time | None
    max_events_per_month: int | None
    stands: tuple[tuple[int, datetime, datetime], ...] = ()

    def may_discharge_at(self, at: datetime) -> bool:
        """Whether the contract allows any discharge at an instant, as far as is known now."""
        if min(self.left_today_kwh, self.left_this_month_kwh) <= 0.0:
            return False
        return _in_hours(at.astimezone(ZoneInfo(self.time_zone)).time(), self.discharge_from, self.discharge_until)


def _in_hours(at: time, first: time | None, until: time | None) -> bool:
    if first is None or until is None or first == until:
        return True
    return first <= at < until if first < until else at >= first or at < until


def month_of(day: date) -> tuple[int, int]:
    """Year and month."""
    return day.year, day.month


def discharge_parts(
    allowance: UseAllowance,
    horizon: Horizon,
    *,
    discharge_kw: float,
    worth_per_kwh: Numbers,  # [step]
) -> tuple[Numbers, NDArray[np.bool_]]:  # [step] each
    """The part of the discharging power that the contract allows in every step, and where energy is what it allows less for.

    Steps that do not lie wholly within the allowed hours are left out. The energy that is left of each local day, and of
    its month, is given to the day's steps in the order of their worth, so that what a plan discharges can never add up to
    more:  Σ_day step_h · part · discharge_kw ≤ min(left of the day, left of the month).
    """
    zone = ZoneInfo(allowance.time_zone)
    starts = [horizon.step_starts_at(step).astimezone(zone) for step in range(horizon.steps)]
    ends = [horizon.step_ends_at(step).astimezone(zone) for step in range(horizon.steps)]
    inside = [_step_in_hours(at, until, allowance) for at, until in zip(starts, ends, strict=True)]
    part = np.array(inside, dtype=np.float64)
    cut = np.zeros(horizon.steps, dtype=np.bool_)
    if discharge_kw <= 0.0:
        return part, cut
    days = [at.date() for at in starts]
    month_left = {month_of(days[0]): allowance.left_this_month_kwh}
    for day in sorted(set(days)):
        left_kwh = allowance.left_today_kwh if day == days[0] else allowance.per_day_kwh
        in_month_kwh = month_left.setdefault(month_of(day), allowance.per_month_kwh)
        left_kwh = max(0.0, min(left_kwh, in_month_kwh))
        if not np.isfinite(left_kwh):
            continue
        of_day = np.array([k for k, one in enumerate(days) if one == day and part[k] > 0.0], dtype=np.int64)
        full_kwh = discharge_kw * horizon.step_h[of_day]
        order = np.argsort(-worth_per_kwh[of_day], kind="stable")
        before_kwh = np.cumsum(full_kwh[order]) - full_kwh[order]
        given = np.clip((left_kwh - before_kwh) / full_kwh[order], 0.0, 1.0)
        part[of_day[order]], cut[of_day[order]] = given, given < 1.0
        month_left[month_of(day)] = in_month_kwh - float((given * full_kwh[order]).sum())
    return part, cut


def _step_in_hours(starts_at: datetime, ends_at: datetime, allowance: UseAllowance) -> bool:
    first, until = allowance.discharge_from, allowance.discharge_until
    if first is None or until is None or first == until:
        return True
    if not _in_hours(starts_at.time(), first, until) or ends_at - starts_at >= timedelta(days=1):
        return False
    ends = datetime.combine(starts_at.date(), until, tzinfo=starts_at.tzinfo)
    if ends <= starts_at:
        ends = datetime.combine(starts_at.date() + timedelta(days=1), until, tzinfo=starts_at.tzinfo)
    return ends_at <= ends
