"""What an owner's pages show: each car's state with its sentence, its plan, and what it has earned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.core.blocks import PlanBlock, PlanStep, plan_blocks, plan_steps, sentence_blocks
from aggregator.core.sentences import (
    CarState,
    EmergencyCall,
    Sentence,
    SiteSqueeze,
    UnansweredCommand,
    describe_car,
)
from aggregator.models import PlannedSchedule
from fleet.core.goals import hours_to_charge, hours_until, reachable_soc_fraction
from fleet.queries.portfolio import OwnedCar, SentCommand, newest_power_commands, owned_car, owned_cars, site_loads_kw
from fleet.queries.state import AssetState, latest_states

# A gateway sends an unanswered command again after so long (fleet.operations.commands.requeue_unanswered).
NEXT_TRY_AFTER = timedelta(seconds=10)
# A site this close to its limit holds its car back.
SQUEEZED_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class CarPlan:
    """The newest plan that a car has a part in."""

    plan_id: int
    made_at: datetime
    steps: tuple[PlanStep, ...]
    blocks: tuple[PlanBlock, ...]


@dataclass(frozen=True, slots=True)
class CarNow:
    """One car at one instant. `soc_fraction` is the best that is known, `heard_at` when it was heard."""

    car: OwnedCar
    soc_fraction: float | None
    heard_at: datetime | None
    power_kw: float | None
    sentence: Sentence
    plan: CarPlan | None
    command: SentCommand | None

    @property
    def range_km(self) -> float | None:
        """How far it goes on what it holds."""
        if self.soc_fraction is None:
            return None
        return self.soc_fraction * self.car.battery_capacity_kwh * self.car.km_per_kwh


def cars_now(*, owner_id: int, now: datetime) -> list[CarNow]:
    """Every car of an owner. A constant number of queries, however many cars."""
    return _with_state(owned_cars(owner_id=owner_id, now=now), now)


def car_now(*, owner_id: int, vehicle_id: int, now: datetime) -> CarNow | None:
    """One car, if it is this owner's."""
    car = owned_car(owner_id=owner_id, vehicle_id=vehicle_id, now=now)
    return None if car is None else _with_state([car], now)[0]


def _with_state(cars: Sequence[OwnedCar], now: datetime) -> list[CarNow]:
    stays = [car.stay for car in cars if car.stay is not None]
    asset_ids = [stay.asset_id for stay in stays]
    states = latest_states(asset_ids)
    commands = newest_power_commands(asset_ids) if asset_ids else {}
    plans = _newest_plans(asset_ids) if asset_ids else {}
    loads_kw = site_loads_kw({stay.site_id for stay in stays}) if stays else {}
    return [
        _car_now(car, None, None, None, None, now)
        if car.stay is None
        else _car_now(
            car,
            states.get(car.stay.asset_id),
            commands.get(car.stay.asset_id),
            plans.get(car.stay.asset_id),
            loads_kw.get(car.stay.site_id),
            now,
        )
        for car in cars
    ]


def _car_now(
    car: OwnedCar,
    state: AssetState | None,
    command: SentCommand | None,
    schedule: PlannedSchedule | None,
    site_load_kw: float | None,
    now: datetime,
) -> CarNow:
    soc, heard_at = _soc(car, state)
    plan = None if schedule is None else _car_plan(schedule, car, now)
    power_kw = state.power_kw if state is not None else None
    described = describe_car(_car_state(car, soc, heard_at, power_kw, command, plan, site_load_kw, now))
    return CarNow(car, soc, heard_at, power_kw, described, plan, command)


def _soc(car: OwnedCar, state: AssetState | None) -> tuple[float | None, datetime | None]:
    """The level the charger last reported in this stay, else the car's own last known; and when something was heard."""
    if car.stay is not None and state is not None and state.measured_at >= car.stay.started_at:
        soc = state.soc_fraction if state.soc_fraction is not None else car.soc_fraction
        return soc, state.measured_at
    return car.soc_fraction, car.soc_measured_at


def _car_state(
    car: OwnedCar,
    soc: float | None,
    heard_at: datetime | None,
    power_kw: float | None,
    command: SentCommand | None,
    plan: CarPlan | None,
    site_load_kw: float | None,
    now: datetime,
) -> CarState:
    stay, goal = car.stay, car.goal
    ready_at = (stay.departure_at if stay is not None else None) or goal.ready_at
    if ready_at is not None and ready_at <= now:
        ready_at = None
    charge_kw = stay.charge_kw if stay is not None else car.charge_kw
    return CarState(
        now=now,
        plugged_in=stay is not None,
        soc_fraction=soc,
        heard_at=heard_at,
        power_kw=power_kw,
        goal_soc_fraction=goal.target_soc_fraction,
        floor_soc_fraction=goal.floor_soc_fraction,
        ready_at=ready_at,
        battery_capacity_kwh=car.battery_capacity_kwh,
        reachable_soc_fraction=reachable(car, soc, charge_kw, ready_at, now),
        latest_plug_in_at=_latest_plug_in(car, soc, charge_kw, ready_at),
        charge_now_until=goal.charge_now_until,
        charger_lost_at=None if stay is None or stay.connected else stay.last_seen_at or now,
        plan_valid_until=command.valid_until if command is not None else None,
        unanswered=_unanswered(command, now),
        emergency=_emergency(car, soc, command),
        squeeze=_squeeze(car, power_kw, site_load_kw),
        blocks=sentence_blocks(plan.blocks) if plan is not None else (),
    )


def reachable(
    car: OwnedCar, soc: float | None, charge_kw: float, ready_at: datetime | None, now: datetime
) -> float | None:
    """The level that charging flat out from now gives by `ready_at`; None where either is unknown."""
    if soc is None or ready_at is None:
        return None
    return reachable_soc_fraction(
        soc_fraction=soc,
        hours=hours_until(ready_at, now),
        battery_capacity_kwh=car.battery_capacity_kwh,
        charge_kw=charge_kw,
        charge_efficiency=car.charge_efficiency,
    )


def _latest_plug_in(car: OwnedCar, soc: float | None, charge_kw: float, ready_at: datetime | None) -> datetime | None:
    if soc is None or ready_at is None:
        return None
    hours = hours_to_charge(
        soc_fraction=soc,
        target_soc_fraction=car.goal.target_soc_fraction,
        battery_capacity_kwh=car.battery_capacity_kwh,
        charge_kw=charge_kw,
        charge_efficiency=car.charge_efficiency,
    )
    return ready_at - timedelta(hours=hours)


def _unanswered(command: SentCommand | None, now: datetime) -> UnansweredCommand | None:
    if command is None or command.state not in {"sent", "timed_out"} or command.sent_at is None:
        return None
    return UnansweredCommand(command.sent_at, now + NEXT_TRY_AFTER)


def _emergency(car: OwnedCar, soc: float | None, command: SentCommand | None) -> EmergencyCall | None:
    if car.stay is None or not car.stay.site_emergency or "emergency" not in car.consents:
        return None
    if command is None or soc is None:
        return None
    above_floor_kwh = max(0.0, soc - car.goal.floor_soc_fraction) * car.battery_capacity_kwh
    return EmergencyCall(command.valid_until, above_floor_kwh)


def _squeeze(car: OwnedCar, power_kw: float | None, site_load_kw: float | None) -> SiteSqueeze | None:
    """The site's own load and this car together fill the connection, and the car could take more."""
    if car.stay is None or power_kw is None or site_load_kw is None or power_kw <= 0:
        return None
    limit_kw = car.stay.site_import_limit_kw
    fills = site_load_kw + power_kw >= SQUEEZED_SHARE * limit_kw
    if not fills or power_kw >= SQUEEZED_SHARE * car.stay.charge_kw:
        return None
    return SiteSqueeze(site_load_kw, limit_kw)


def _newest_plans(asset_ids: Iterable[int]) -> dict[int, PlannedSchedule]:
    rows = (
        PlannedSchedule.objects.filter(asset_id__in=list(asset_ids))
        .order_by("asset_id", "-plan_id")
        .distinct("asset_id")
        .select_related("plan")
    )
    return {row.asset_id: row for row in rows}


def _car_plan(schedule: PlannedSchedule, car: OwnedCar, now: datetime) -> CarPlan | None:
    """The plan from now to where the car leaves, or to its end; None if it has run out."""
    plan = schedule.plan
    steps = plan_steps(
        starts_at=plan.starts_at,
        step_h=plan.step_h,
        power_kw=schedule.power_kw,
        energy_kwh=schedule.energy_kwh,
        price_per_kwh=plan.price_per_kwh,
        target_kw=plan.target_kw,
    )
    ready_at = (car.stay.departure_at if car.stay is not None else None) or car.goal.ready_at
    ahead = [step for step in steps if step.ends_at > now and (ready_at is None or step.starts_at < ready_at)]
    if not ahead:
        return None
    floor_kwh = car.goal.floor_soc_fraction * car.battery_capacity_kwh
    blocks = plan_blocks(ahead, ready_at=ready_at, floor_kwh=floor_kwh)
    return CarPlan(plan.pk, plan.made_at, tuple(ahead), tuple(blocks))
