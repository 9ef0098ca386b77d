"""The driver's wish as numbers: when the car is next needed, and what can be reached by then."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from common.units import SECONDS_PER_HOUR


def next_ready_at(
    *,
    kind: str,
    weekdays: Collection[int],
    ready_by: time | None,
    ready_at: datetime | None,
    time_zone: str,
    now: datetime,
) -> datetime | None:
    """The next instant by which the car must be ready; None if the wish names no time, or the only one has passed.

    A weekly wish is local time of the site: on the day of a clock change it keeps its wall-clock time.

    Args:
        kind: weekly, once or none.
        weekdays: 0 Monday to 6 Sunday; none at all means no fixed time.
        now: aware UTC.
    """
    if kind == "once":
        return ready_at if ready_at is not None and ready_at > now else None
    if kind != "weekly" or ready_by is None or not weekdays:
        return None
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    for days in range(8):
        day = today + timedelta(days=days)
        candidate = datetime.combine(day, ready_by, tzinfo=zone).astimezone(now.tzinfo)
        if day.weekday() in weekdays and candidate > now:
            return candidate
    return None


def hours_to_charge(
    *,
    soc_fraction: float,
    target_soc_fraction: float,
    battery_capacity_kwh: float,
    charge_kw: float,
    charge_efficiency: float,
) -> float:
    """Hours of charging at `charge_kw` (at the meter) from one level to another: ΔSoC · capacity / (η · P)."""
    needed_kwh = max(0.0, target_soc_fraction - soc_fraction) * battery_capacity_kwh
    return needed_kwh / (charge_kw * charge_efficiency)


def reachable_soc_fraction(
    *,
    soc_fraction: float,
    hours: float,
    battery_capacity_kwh: float,
    charge_kw: float,
    charge_efficiency: float,
) -> float:
    """The level after charging flat out for `hours`: min(1, SoC + η · P · h / capacity)."""
    gained = charge_kw * charge_efficiency * max(0.0, hours) / battery_capacity_kwh
    return min(1.0, soc_fraction + gained)


def hours_until(later: datetime, now: datetime) -> float:
    """Hours from `now` to `later`, negative if it has passed."""
    return (later - now).total_seconds() / SECONDS_PER_HOUR
