"""From what is known of the fleet, the prices and the events to one dispatch problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from aggregator.core.dispatch import ComputingLoad, DispatchProblem, EventTarget, SiteLimits, TargetDirection
from aggregator.core.margin import with_margin_kw
from aggregator.operations.baselines import event_baseline, target_power_kw
from aggregator.operations.departures import Departure, presence_of, ready_steps
from aggregator.operations.presence import presence_deviation
from aggregator.operations.rebound import events_that_rebound, rebound_targets
from aggregator.operations.use_contracts import ContractLimits, allow_by_contract, without_events_left
from common.clock import Interval
from common.horizon import FineRange, Horizon, build_horizon
from compute_market.queries import compute_value
from fleet.core.flexibility import FlexibleAssets
from fleet.core.power_curves import curve_points
from fleet.queries.assets import FleetSnapshot, FlexibleAsset
from grid.queries import EventView, PriceSlot

HORIZON_H = 24.0
BASE_STEP_S = 1800.0
# A car whose departure has passed, and is still here, is planned as if it left this much later.
OVERDUE_STAY = timedelta(minutes=30)
# Among hours of equal price the sooner one is taken: a car may leave early, and a plan made again from the same facts
# should come out the same. Far below any price difference that matters, above the solver's tolerance.
SOONER_PER_KWH_AND_HOUR = 2e-6


@dataclass(frozen=True)
class EventPlanInput:
    """An event as planning sees it: who takes part, from which baseline, towards which total."""

    event: EventView
    participants: tuple[int, ...]
    baseline_kw: float
    target_kw: float


@dataclass(frozen=True, slots=True)
class EventMargin:
    """Most power that is planned in a step of an event beyond its target, because cars may leave; never negative."""

    event_id: int
    target_kw: float
    margin_kw: float


@dataclass(frozen=True, eq=False)
class PlanInputs:
    """A dispatch problem and whose rows it has; `departure_basis` counts cars by what their departure was learnt from."""

    problem: DispatchProblem
    steered: tuple[FlexibleAsset, ...]
    events: tuple[EventPlanInput, ...]
    margins: tuple[EventMargin, ...] = ()
    departure_basis: Mapping[str, int] = field(default_factory=dict)
    contracts: ContractLimits = field(default_factory=ContractLimits)


def choose_participants(
    events: Sequence[EventView], assets: Sequence[FlexibleAsset], now: datetime
) -> tuple[EventPlanInput, ...]:
    """Who takes part in which event; an asset serves one event at a time.

    The choice is open until the event's baseline begins to be measured; from then on it stays, so that the baseline and
    the delivery are those of the same assets.
    """
    chosen: list[EventPlanInput] = []
    for event in sorted(events, key=lambda event: (event.starts_at, event.event_id)):
        measured_from = event.starts_at - timedelta(seconds=event.baseline_window_s)
        if event.participants and now >= measured_from:
            ids = tuple(event.participants)
        else:
            interval = Interval(event.starts_at, event.ends_at)
            taken = {
                asset_id
                for other in chosen
                if interval.overlaps(Interval(other.event.starts_at, other.event.ends_at))
                for asset_id in other.participants
            }
            ids = tuple(a.asset_id for a in assets if not a.left_out_because and a.asset_id not in taken)
        baseline_kw = event_baseline(event=event, participants=ids, now=now).power_kw
        target_kw = target_power_kw(event=event, baseline_kw=baseline_kw)
        chosen.append(EventPlanInput(event, ids, baseline_kw, target_kw))
    return tuple(chosen)


def lay_horizon(now: datetime, events: Sequence[EventView]) -> Horizon:
    """Half-hours from now, and inside events the slots that the programme settles by."""
    return build_horizon(
        now,
        hours=HORIZON_H,
        base_step_s=BASE_STEP_S,
        fine=[
            FineRange(max(event.starts_at, now), event.ends_at, float(event.slot_s))
            for event in events
            if event.ends_at > now
        ],
    )


def price_per_step(horizon: Horizon, slots: Sequence[PriceSlot]) -> NDArray[np.float64]:  # [step]
    """Price of each step; where none is known yet, the mean of those that are (a day-ahead price ends at midnight)."""
    sooner = SOONER_PER_KWH_AND_HOUR * horizon.offset_s[:-1] / 3600.0
    if not slots:
        return sooner
    prices = horizon.mean_of_series(
        [slot.starts_at for slot in slots],
        [(slot.ends_at - slot.starts_at).total_seconds() for slot in slots],
        [float(slot.price_per_kwh) for slot in slots],
    )
    if np.isnan(prices).all():
        return sooner + float(np.mean([float(slot.price_per_kwh) for slot in slots]))
    return sooner + np.where(np.isnan(prices), np.nanmean(prices), prices)


def asset_arrays(
    assets: Sequence[FlexibleAsset],
    horizon: Horizon,
    site_row: dict[int, int],
    node_row: dict[int, int],
    hold: NDArray[np.bool_],
    departures: Mapping[int, Departure],
) -> FlexibleAssets:
    """Rows of the problem for the assets that planning may steer, all present from step 0.

    Args:
        hold: [asset, step] where an asset keeps the power that it has now, because a baseline is being measured.
        departures: by session, when each car may leave.
    """
    count, steps = len(assets), horizon.steps
    departure_step = np.full(count, steps)
    availability = np.ones((count, steps))
    for row, asset in enumerate(assets):
        if asset.departure_at is None:
            continue
        leaves_at = max(asset.departure_at, horizon.starts_at + OVERDUE_STAY)
        if leaves_at >= horizon.ends_at:
            continue
        departure_step[row] = horizon.step_at(leaves_at) + 1
        availability[row] = horizon.overlap_fraction(horizon.starts_at, leaves_at)

    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(asset, name) for asset in assets], dtype=np.float64)

    charge_kw, discharge_kw = column("charge_kw"), column("discharge_kw")
    power_kw = np.clip(column("power_kw"), -discharge_kw, charge_kw)
    return FlexibleAssets(
        asset_id=np.array([asset.asset_id for asset in assets], dtype=np.int64),
        site_index=np.array([site_row[asset.site_id] for asset in assets], dtype=np.int64),
        node_index=np.array([node_row[asset.node_id] for asset in assets], dtype=np.int64),
        arrival_step=np.zeros(count, dtype=np.int64),
        departure_step=departure_step,
        energy_kwh=column("energy_kwh"),
        required_kwh=np.minimum(column("required_kwh"), column("capacity_kwh")),
        capacity_kwh=column("capacity_kwh"),
        floor_kwh=column("floor_kwh"),
        charge_kw=charge_kw,
        discharge_kw=discharge_kw,
        charge_efficiency=column("charge_efficiency"),
        discharge_efficiency=column("discharge_efficiency"),
        wear_per_kwh=column("wear_per_kwh"),
        availability=availability,
        fixed_power_kw=np.where(hold, power_kw[:, None], np.nan) if hold.any() else None,
        holds_reserve=np.array([asset.kind == "pack" for asset in assets], dtype=bool),
        ready_step=ready_steps(assets, departures, horizon, departure_step),
        charge_curve=curve_points([asset.charge_curve for asset in assets]),
    )


def baseline_hold(
    assets: Sequence[FlexibleAsset], horizon: Horizon, events: Sequence[EventPlanInput], now: datetime
) -> NDArray[np.bool_]:  # [asset, step]
    """Where assets keep their power: the participants of an event while its baseline window runs.

    A plan that moved them then would be paid for its own move.
    """
    hold = np.zeros((len(assets), horizon.steps), dtype=bool)
    starts = np.array([horizon.step_starts_at(step).timestamp() for step in range(horizon.steps)])
    for item in events:
        event = item.event
        measured_before = event.baseline_method in ("meter_before", "meter_before_after")
        window_starts_at = event.starts_at - timedelta(seconds=event.baseline_window_s)
        if not measured_before or not window_starts_at <= now < event.starts_at:
            continue
        members = np.isin([asset.asset_id for asset in assets], item.participants)
        hold |= members[:, None] & (starts < event.starts_at.timestamp())[None, :]
    return hold


def _event_targets(
    events: Sequence[EventPlanInput], snapshot: FleetSnapshot, steered: Sequence[FlexibleAsset], horizon: Horizon
) -> tuple[EventTarget, ...]:
    steered_ids = np.array([asset.asset_id for asset in steered], dtype=np.int64)
    power_of = {asset.asset_id: asset.power_kw for asset in snapshot.assets}
    targets = []
    for item in events:
        inside = horizon.overlap_fraction(item.event.starts_at, item.event.ends_at) > 0.5
        # what participants draw that can no longer be steered is part of the total all the same
        unsteered_kw = sum(
            power_of.get(asset_id, 0.0) for asset_id in set(item.participants) - set(steered_ids.tolist())
        )
        targets.append(
            EventTarget(
                event_id=item.event.event_id,
                target_power_kw=np.where(inside, item.target_kw - unsteered_kw, np.nan),
                direction=TargetDirection.EXACTLY,
                missed_price_per_kwh=float(item.event.missed_price_per_kwh),
                participates=np.isin(steered_ids, item.participants),
                includes_computing=False,
            )
        )
    return tuple(targets)


def _rebound_targets(
    events: Sequence[EventPlanInput],
    snapshot: FleetSnapshot,
    steered: Sequence[FlexibleAsset],
    horizon: Horizon,
    price_per_kwh: NDArray[np.float64],  # [step]
    where_and_when: tuple[int, datetime],
) -> tuple[EventTarget, ...]:
    region_id, now = where_and_when
    planned = [(item.event, item.participants, item.baseline_kw) for item in events]
    return rebound_targets(
        events_that_rebound(region_id=region_id, planned=planned, now=now),
        steered=steered,
        power_of={asset.asset_id: asset.power_kw for asset in snapshot.assets},
        busy=[(item.event.starts_at, item.event.ends_at) for item in events],
        horizon=horizon,
        price_per_kwh=price_per_kwh,
    )


def _with_margins(
    targets: Sequence[EventTarget],
    events: Sequence[EventPlanInput],
    assets: FlexibleAssets,
    presence: NDArray[np.float64],  # [asset, step]
    deviation: NDArray[np.float64],  # [step]
) -> tuple[tuple[EventTarget, ...], tuple[EventMargin, ...]]:
    """Targets that hold although cars may leave: where participants must feed in (or draw) together, they plan for more.

    A car that leaves takes its discharge away from a reduction, and its charging from an increase; its charging missing
    in a reduction only helps. Steps that begin now need no margin: everybody is there, and tracking sees who goes.
    """
    planned, margins = [], []
    steps = presence.shape[1]
    for target, item in zip(targets, events, strict=True):
        reduces, wanted_kw = item.event.direction == "reduce", target.target_power_kw
        limit_kw = assets.discharge_limit_kw(steps) if reduces else assets.charge_limit_kw(steps)
        members = np.flatnonzero(np.asarray(target.participates))
        sign = -1.0 if reduces else 1.0
        asked_kw = sign * wanted_kw
        can_kw, there = limit_kw[members], presence[members]
        more_kw = with_margin_kw(asked_kw, can_kw, there, settings.PLAN_PROBABILITY, deviation)
        needed_kw = np.where(asked_kw > 0.0, more_kw, asked_kw)
        planned.append(replace(target, target_power_kw=sign * needed_kw))
        margin_kw = float(np.nanmax(needed_kw - asked_kw, initial=0.0))
        margins.append(EventMargin(item.event.event_id, item.target_kw, margin_kw))
    return tuple(planned), tuple(margins)


def _computing(
    region_id: int, now: datetime, assets: Sequence[FlexibleAsset], horizon: Horizon, rows: tuple[dict[int, int], ...]
) -> ComputingLoad | None:
    """The computers of plugged-in cars, each as long as its car stays."""
    site_row, node_row = rows
    of_vehicle = {asset.vehicle_id: asset for asset in assets if asset.vehicle_id is not None}
    loads = [load for load in compute_value(region_id=region_id, now=now) if load.vehicle_id in of_vehicle]
    if not loads:
        return None
    cars = [of_vehicle[load.vehicle_id] for load in loads]
    return ComputingLoad(
        computer_id=np.array([load.computer_id for load in loads]),
        site_index=np.array([site_row[car.site_id] for car in cars]),
        node_index=np.array([node_row[car.node_id] for car in cars]),
        power_kw=np.array([load.active_power_kw for load in loads]),
        value_per_kwh=np.repeat(np.array([[float(load.value_per_kwh)] for load in loads]), horizon.steps, axis=1),
        availability=np.array(
            [horizon.overlap_fraction(horizon.starts_at, car.departure_at or horizon.ends_at) for car in cars]
        ),
    )


def build_plan_inputs(
    *,
    snapshot: FleetSnapshot,
    events: Sequence[EventView],
    prices: Sequence[PriceSlot],
    region_id: int,
    now: datetime,
    departures: Mapping[int, Departure] | None = None,
    horizon: Horizon | None = None,
) -> PlanInputs:
    """State everything that is known at `now` as one dispatch problem.

    Args:
        departures: by session, when each car may leave; None: all leave when their drivers said.
        horizon: steps that the region shares with others; None: those that its own events need.
    """
    departures = departures or {}
    steered = tuple(asset for asset in snapshot.assets if not asset.left_out_because and not asset.charge_now)
    horizon = horizon or lay_horizon(now, events)
    no_more_events = without_events_left(steered, region_id=region_id, now=now)
    served = {binding.asset_id for binding in no_more_events}
    chosen = choose_participants(events, [asset for asset in steered if asset.asset_id not in served], now)
    site_row = {site.site_id: row for row, site in enumerate(snapshot.sites)}
    node_row = {node.node_id: row for row, node in enumerate(snapshot.nodes)}
    base_load_kw = np.array([site.base_load_kw for site in snapshot.sites], dtype=np.float64)
    for asset in snapshot.assets:
        if asset.charge_now and not asset.left_out_because:
            base_load_kw[site_row[asset.site_id]] += asset.charge_kw
    hold = baseline_hold(steered, horizon, chosen, now)
    assets = asset_arrays(steered, horizon, site_row, node_row, hold, departures)
    price_now = price_per_step(horizon, prices)
    margins: tuple[EventMargin, ...] = ()
    targets = _event_targets(chosen, snapshot, steered, horizon)
    assets, cut = allow_by_contract(assets, steered, horizon, price_per_kwh=price_now, targets=targets)
    if departures and targets:
        presence = presence_of(steered, departures, horizon)
        deviation = presence_deviation(region_id=region_id, horizon=horizon, probability=settings.PLAN_PROBABILITY)
        targets, margins = _with_margins(targets, chosen, assets, presence, deviation)
    targets += _rebound_targets(chosen, snapshot, steered, horizon, price_now, (region_id, now))
    problem = DispatchProblem(
        assets=assets,
        horizon=horizon,
        price_per_kwh=price_now,
        sites=SiteLimits.constant(
            [site.site_id for site in snapshot.sites],
            steps=horizon.steps,
            import_limit_kw=[site.import_limit_kw for site in snapshot.sites],
            export_limit_kw=[site.export_limit_kw for site in snapshot.sites],
            base_load_kw=base_load_kw,
            emergency_reserve_kwh=[site.emergency_reserve_kwh for site in snapshot.sites],
        ),
        nodes=SiteLimits.constant(
            [node.node_id for node in snapshot.nodes],
            steps=horizon.steps,
            import_limit_kw=[node.import_limit_kw for node in snapshot.nodes],
            export_limit_kw=[node.export_limit_kw for node in snapshot.nodes],
            base_load_kw=_node_base_load_kw(snapshot, base_load_kw, node_row),
        ),
        targets=targets,
        computing=_computing(region_id, now, steered, horizon, (site_row, node_row)),
    )
    learnt = [
        departures[a.session_id].basis for a in steered if a.session_id is not None and a.session_id in departures
    ]
    return PlanInputs(problem, steered, chosen, margins, dict(Counter(learnt)), ContractLimits(no_more_events, cut))


def _node_base_load_kw(
    snapshot: FleetSnapshot, site_base_load_kw: NDArray[np.float64], node_row: dict[int, int]
) -> NDArray[np.float64]:  # [node]
    total_kw = np.zeros(len(node_row))
    for site, load_kw in zip(snapshot.sites, site_base_load_kw, strict=True):
        total_kw[node_row[site.node_id]] += load_kw
    return total_kw
