"""Planning: read what is known, solve, keep the plan, queue what changed. One region at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from time import perf_counter

import numpy as np
from django.conf import settings
from django.db import transaction

from aggregator.core.dispatch import DispatchPlan, MissKind, plan_in_full
from aggregator.core.fairness import at_true_cost, in_fair_order
from aggregator.core.plan import is_news, joined_steps, practicable_kw
from aggregator.models import Plan, PlannedSchedule
from aggregator.operations.fairness import fair_discounts
from aggregator.operations.hub_sharing import share_among_packs
from aggregator.operations.plan_inputs import PlanInputs
from aggregator.operations.region_facts import RegionFacts, read_facts, within_band
from aggregator.operations.use_contracts import binding_contracts
from aggregator.queries.portfolios import standing_band
from common.errors import Conflict
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.queries.assets import FlexibleAsset
from fleet.queries.commands import standing_schedules
from grid.operations.events import mark_planned
from grid.queries import emission_factors, event

# A schedule is sent this far ahead; a platform that falls silent leaves devices on it, then on their fail-safe power.
SCHEDULE_VALID = timedelta(hours=1)
# A schedule that still holds this long and says the same is not sent again.
RENEW_BEFORE = timedelta(minutes=20)
# A region of up to so many assets is planned exactly, in about a second; a larger one to a proven gap, in about as long.
MOST_EXACT_ASSETS = 500
REGION_GAP = 5e-4


class PlanOvertaken(Conflict):
    """A plan made from newer facts was kept first; this one is not."""

    code = "plan_overtaken"


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """What planning did."""

    plan_id: int
    status: str
    gap: float
    assets: int
    schedules_queued: int
    missed: int
    solve_s: float


def plan_event(*, event_id: int, now: datetime) -> PlanOutcome:
    """Plan the region of a grid event, with the event in it."""
    view = event(event_id)
    return plan_region(region_id=view.region_id, trigger="event", now=now, grid_event_id=event_id)


def plan_region(*, region_id: int, trigger: str, now: datetime, grid_event_id: int | None = None) -> PlanOutcome:
    """Make and keep a new plan of a region and queue the schedules that changed materially.

    A region of a portfolio stays within the part that the portfolio's last plan allotted to it.

    Raises:
        PlanOvertaken: a plan from newer facts was kept while this one was solved.
        SolverFailed, PlanCheckFailed: no plan could be made or trusted; the devices stay on the last one.
    """
    started = perf_counter()
    facts = read_facts(region_id=region_id, now=now)
    band = standing_band(region_id=region_id, horizon=facts.inputs.problem.horizon, now=now)
    if band is not None:
        facts = within_band(facts, band)
    plan = make_plan(facts)
    decided_at = now + timedelta(seconds=perf_counter() - started)
    return keep_plan(facts=facts, plan=plan, trigger=trigger, decided_at=decided_at, grid_event_id=grid_event_id)


def make_plan(facts: RegionFacts) -> DispatchPlan:
    """Solve, calling owners in fair order: exactly where that is quick, to a proven gap otherwise."""
    inputs = facts.inputs
    problem = inputs.problem
    discounts = fair_discounts(region_id=facts.region_id, assets=inputs.steered, price_per_kwh=problem.price_per_kwh)
    ordered = in_fair_order(problem, discounts)
    plan = at_true_cost(plan_in_full(ordered, gap=REGION_GAP, most_exact_assets=MOST_EXACT_ASSETS), discounts)
    return share_among_packs(inputs, plan, steps=_shown_steps(plan))


def keep_plan(
    *, facts: RegionFacts, plan: DispatchPlan, trigger: str, decided_at: datetime, grid_event_id: int | None = None
) -> PlanOutcome:
    """Keep a plan and queue the schedules that changed materially, in one transaction.

    Raises PlanOvertaken: a plan from newer facts was kept meanwhile.
    """
    inputs, now = facts.inputs, facts.read_at
    co2_kg = _plan_co2_kg(plan, facts.region_id)
    schedules = _planned_schedules(inputs, plan) + _override_schedules(facts.assets, now)
    with transaction.atomic():
        record = _keep(inputs, plan, facts.region_id, trigger, now, grid_event_id, co2_kg)
        standing = standing_schedules([schedule.asset_id for schedule in schedules])
        changed = [
            schedule
            for schedule in schedules
            if is_news(schedule, standing.get(schedule.asset_id), now=decided_at, renew_before=RENEW_BEFORE)
        ]
        queued = queue_schedules(
            schedules=changed, now=decided_at, plan_id=record.pk, grid_event_id=_current_event(inputs, now)
        )
        for item in inputs.events:
            mark_planned(
                event_id=item.event.event_id,
                participants=list(item.participants),
                baseline_kw=item.baseline_kw,
                now=decided_at,
            )
    return PlanOutcome(record.pk, plan.status, plan.gap, len(inputs.steered), queued, len(plan.missed), plan.wall_s)


def _current_event(inputs: PlanInputs, now: datetime) -> int | None:
    """The event that the schedules' first entries serve, if there is one soon."""
    soon = [item.event for item in inputs.events if item.event.starts_at <= now + SCHEDULE_VALID]
    return soon[0].event_id if soon else None


def _keep(
    inputs: PlanInputs,
    plan: DispatchPlan,
    region_id: int,
    trigger: str,
    now: datetime,
    grid_event_id: int | None,
    co2_kg: float | None,
) -> Plan:
    if Plan.objects.select_for_update().filter(region_id=region_id, made_at__gt=now).exists():
        raise PlanOvertaken("a newer plan of this region was kept meanwhile", remedy="Nothing to do: it stands.")
    problem = inputs.problem
    targets = [
        [None if np.isnan(value) else float(value) for value in target.target_power_kw]
        for target in problem.targets
        if target.missed_as is MissKind.EVENT_TARGET
    ]
    record = Plan.objects.create(
        region_id=region_id,
        trigger=trigger,
        grid_event_id=grid_event_id,
        made_at=now,
        starts_at=plan.horizon.starts_at,
        step_h=plan.horizon.step_h.tolist(),
        price_per_kwh=problem.price_per_kwh.tolist(),
        target_kw=targets[0] if targets else [],
        status=str(plan.status),
        solver=plan.solver,
        cost=plan.cost,
        lower_bound=plan.lower_bound,
        gap=plan.gap,
        solve_s=plan.wall_s,
        asset_count=len(inputs.steered),
        missed=[_plain(asdict(miss)) for miss in plan.missed],
        co2_kg=co2_kg,
        probability=settings.PLAN_PROBABILITY,
        departure_basis=dict(inputs.departure_basis),
        contracts=[
            asdict(one) for one in binding_contracts(inputs.contracts, inputs.steered, inputs.problem.assets, plan)
        ],
        event_margins=[asdict(margin) for margin in inputs.margins],
        computing_kw=plan.computing_kw.sum(axis=0).tolist() if plan.computing_kw.size else [],
    )
    PlannedSchedule.objects.bulk_create(
        [
            PlannedSchedule(plan=record, asset_id=asset.asset_id, power_kw=power.tolist(), energy_kwh=energy.tolist())
            for asset, power, energy in zip(
                inputs.steered, plan.power_kw.round(4), plan.energy_kwh.round(4), strict=True
            )
        ],
        batch_size=2000,
    )
    return record


def _plain(values: dict) -> dict:
    """Numpy scalars as JSON can hold them."""
    return {key: value.item() if hasattr(value, "item") else value for key, value in values.items()}


def _plan_co2_kg(plan: DispatchPlan, region_id: int) -> float | None:
    """Emissions of the plan's net energy by the region's average factors; None where it has none.

    Σ step_h · total_power_kw · factor: an account of the plan, not the difference that it makes.
    """
    factors = emission_factors(
        region_id=region_id, kind="average", starts_at=plan.horizon.starts_at, ends_at=plan.horizon.ends_at
    )
    if not factors:
        return None
    per_step = plan.horizon.mean_of_series(
        [slot.starts_at for slot in factors],
        [(slot.ends_at - slot.starts_at).total_seconds() for slot in factors],
        [float(slot.kg_per_kwh) for slot in factors],
    )
    return float(np.nansum(plan.horizon.step_h * plan.total_power_kw * per_step))


def _shown_steps(plan: DispatchPlan) -> int:
    """How many steps of a plan are sent to the devices."""
    return int(np.searchsorted(plan.horizon.offset_s, SCHEDULE_VALID.total_seconds()))


def _planned_schedules(inputs: PlanInputs, plan: DispatchPlan) -> list[PowerSchedule]:
    """The coming hour of every steered asset, steps of equal power joined."""
    offsets, shown = plan.horizon.offset_s, _shown_steps(plan)
    starts_at = plan.horizon.starts_at
    schedules = []
    for asset, row in zip(inputs.steered, plan.set_point_kw[:, :shown], strict=True):
        power = [practicable_kw(round(float(value), 3), asset.min_charge_kw) for value in row]
        keep = joined_steps(power)
        schedules.append(
            PowerSchedule(
                asset_id=asset.asset_id,
                starts_at=starts_at,
                offset_s=tuple(float(offsets[step]) for step in keep),
                power_kw=tuple(power[step] for step in keep),
                valid_until=starts_at + SCHEDULE_VALID,
            )
        )
    return schedules


def _override_schedules(assets: Iterable[FlexibleAsset], now: datetime) -> list[PowerSchedule]:
    """Cars that planning must leave alone charge as their owners want: at full power until full."""
    free = [a for a in assets if a.kind == "evse" and (a.charge_now or a.left_out_because == "no_consent")]
    return [PowerSchedule(a.asset_id, now, (0.0,), (a.charge_kw,), now + SCHEDULE_VALID) for a in free]
