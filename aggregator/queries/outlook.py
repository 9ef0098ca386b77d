"""What a wish means before it is kept: how far, how long, whether it can be met; and what charging now would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from aggregator.core.blocks import PlanStep
from aggregator.core.sentences import MET_FRACTION
from aggregator.queries.portal import CarNow, reachable
from fleet.core.goals import hours_to_charge, next_ready_at
from fleet.operations.goals import Wish

FULL = 1.0
STEP_OF_READY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class GoalOutlook:
    """A wish in the owner's terms. `later` and `lower` are the same wish made possible; `flat_out_until` is when
    charging flat out from now reaches it."""

    ready_at: datetime | None
    target_km: float
    floor_km: float
    needed_kwh: float | None
    needed_hours: float | None
    possible: bool
    reachable_soc_fraction: float | None
    later: Wish
    later_at: datetime | None
    lower: Wish
    flat_out_until: datetime | None


@dataclass(frozen=True, slots=True)
class ChargeNowOption:
    """One way to charge now. `extra_cost` is against charging the same energy when it was planned, None if unknown."""

    name: str
    until: datetime
    energy_kwh: float
    extra_cost: float | None


def charge_power_kw(car: CarNow) -> float:
    """The most the car can take where it stands, or by itself if it is away."""
    return car.car.stay.charge_kw if car.car.stay is not None else car.car.charge_kw


def _hours(car: CarNow, target: float) -> float | None:
    if car.soc_fraction is None:
        return None
    return hours_to_charge(
        soc_fraction=car.soc_fraction,
        target_soc_fraction=target,
        battery_capacity_kwh=car.car.battery_capacity_kwh,
        charge_kw=charge_power_kw(car),
        charge_efficiency=car.car.charge_efficiency,
    )


def goal_outlook(*, car: CarNow, wish: Wish, now: datetime) -> GoalOutlook:
    """Whether charging flat out from now meets the wish at its next time, and what would make it possible."""
    owned = car.car
    ready_at = next_ready_at(
        kind=wish.kind,
        weekdays=wish.weekdays,
        ready_by=wish.ready_by,
        ready_at=wish.ready_at,
        time_zone=owned.time_zone,
        now=now,
    )
    best = reachable(owned, car.soc_fraction, charge_power_kw(car), ready_at, now)
    hours = _hours(car, wish.target_soc_fraction)
    possible = best is None or best >= wish.target_soc_fraction - MET_FRACTION
    done_at = None if hours is None else now + timedelta(hours=hours)
    later_at = None if done_at is None else _next_ten_minutes(done_at)
    km_per_percent = owned.battery_capacity_kwh * owned.km_per_kwh
    lower_target = wish.target_soc_fraction if best is None else max(int(100 * best) / 100, wish.floor_soc_fraction)
    return GoalOutlook(
        ready_at=ready_at,
        target_km=wish.target_soc_fraction * km_per_percent,
        floor_km=wish.floor_soc_fraction * km_per_percent,
        needed_kwh=None if hours is None else hours * charge_power_kw(car),
        needed_hours=hours,
        possible=possible,
        reachable_soc_fraction=best,
        later=_at_later_time(wish, later_at, car),
        later_at=later_at,
        lower=replace(wish, target_soc_fraction=lower_target),
        flat_out_until=min(done_at, now + timedelta(hours=24)) if done_at is not None and hours else None,
    )


def _next_ten_minutes(at: datetime) -> datetime:
    step_s = STEP_OF_READY.total_seconds()
    return at + timedelta(seconds=-at.timestamp() % step_s)


def _at_later_time(wish: Wish, later_at: datetime | None, car: CarNow) -> Wish:
    """The wish moved to when it can be met; a weekly one keeps its days and is moved for good, which the page says."""
    if later_at is None:
        return wish
    local = later_at.astimezone(ZoneInfo(car.car.time_zone))
    if wish.kind == "weekly":
        days = tuple(sorted({*wish.weekdays, local.weekday()}))
        return replace(wish, ready_by=local.time().replace(second=0, microsecond=0), weekdays=days)
    return replace(wish, ready_at=later_at)


def charge_now_options(*, car: CarNow, now: datetime) -> tuple[ChargeNowOption, ...]:
    """Until the goal, until full, for one hour: those that make sense; none for a car that is away."""
    if car.car.stay is None:
        return ()
    wanted: list[tuple[str, float | None]] = [
        ("goal", _hours(car, car.car.goal.target_soc_fraction)),
        ("full", _hours(car, FULL)),
        ("hour", 1.0),
    ]
    options = []
    for name, hours in wanted:
        if not hours or hours > 24:
            continue
        energy_kwh = hours * charge_power_kw(car)
        steps = car.plan.steps if car.plan is not None else ()
        extra = _extra_cost(steps, hours, energy_kwh)
        options.append(ChargeNowOption(name, now + timedelta(hours=hours), energy_kwh, extra))
    return tuple(options)


def _extra_cost(steps: Sequence[PlanStep], hours: float, energy_kwh: float) -> float | None:
    """Energy times (price from now on less the plan's own mean charging price), never below zero; None without a plan."""
    planned = [(step.power_kw * step.hours, step.price_per_kwh) for step in steps if step.power_kw > 0]
    planned_kwh = sum(energy for energy, _ in planned)
    if not planned_kwh:
        return None
    planned_price = sum(energy * price for energy, price in planned) / planned_kwh
    left, paid = hours, 0.0
    for step in steps:
        part = min(left, step.hours)
        paid += part * step.price_per_kwh
        left -= part
        if left <= 0:
            break
    now_price = paid / (hours - left) if hours > left else planned_price
    return max(0.0, energy_kwh * (now_price - planned_price))
