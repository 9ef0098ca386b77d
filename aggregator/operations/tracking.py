"""Between plans: look at what an event delivers, and move a few set-points so that it delivers what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from aggregator.core.plan import power_at, practicable_kw
from aggregator.core.tracking import Correction, TrackedAssets, TrackingRules, power_range, track
from aggregator.models import DeliverySample, PlannedSchedule
from aggregator.operations.baselines import Baseline, event_baseline, target_power_kw
from aggregator.operations.plans import SCHEDULE_VALID
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.queries.assets import FleetSnapshot, FlexibleAsset, fleet_snapshot
from fleet.queries.commands import StandingSchedule, standing_schedules
from fleet.queries.contracts import within_contracts
from fleet.queries.state import AssetState, latest_states
from grid.queries import EventView

Numbers = NDArray[np.float64]

# Energy must last at least so long at the corrected power; a plan is never further away than that.
NEXT_PLAN_WITHIN_H = 0.1
# Part of the target below which the error is left alone.
DEADBAND_FRACTION = 0.003


@dataclass
class TrackingMemory:
    """What the loop remembers from one look to the next; losing it costs a few seconds of judging who follows."""

    looked_at: datetime | None = None
    mismatch_s: dict[int, float] = field(default_factory=dict)
    baseline: Baseline | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One look at an event. `delivered_kw` is positive in the direction asked for."""

    target_kw: float
    baseline_kw: float
    measured_kw: float
    delivered_kw: float
    corrected_assets: int
    not_responding: tuple[int, ...]


def correct_delivery(*, event: EventView, memory: TrackingMemory, now: datetime) -> Delivery:
    """Measure a running event, correct its participants' set-points, and keep the sample."""
    ids = list(event.participants)
    if memory.baseline is None or not memory.baseline.final:
        memory.baseline = event_baseline(event=event, participants=ids, now=now)
    baseline_kw = memory.baseline.power_kw
    states = latest_states(ids)
    measured_kw = sum(state.power_kw or 0.0 for state in states.values())
    wanted_kw = target_power_kw(event=event, baseline_kw=baseline_kw)
    correction, schedules = _correct(event, ids, states, wanted_kw, memory, now)
    queue_schedules(schedules=schedules, now=now, grid_event_id=event.event_id)
    sign = 1.0 if event.direction == "reduce" else -1.0
    sample = DeliverySample(
        grid_event_id=event.event_id,
        at=now,
        target_kw=event.target_kw,
        baseline_kw=baseline_kw,
        measured_kw=measured_kw,
        delivered_kw=sign * (baseline_kw - measured_kw),
        corrected_assets=len(schedules),
    )
    DeliverySample.objects.bulk_create([sample], ignore_conflicts=True)
    lost = (
        tuple(ids[row] for row in np.flatnonzero(correction.not_responding).tolist()) if correction is not None else ()
    )
    return Delivery(event.target_kw, baseline_kw, measured_kw, sample.delivered_kw, len(schedules), lost)


def _correct(
    event: EventView,
    ids: Sequence[int],
    states: Mapping[int, AssetState],
    wanted_kw: float,
    memory: TrackingMemory,
    now: datetime,
) -> tuple[Correction | None, list[PowerSchedule]]:
    if not ids:
        return None, []
    snapshot = within_contracts(fleet_snapshot(region_id=event.region_id, now=now), now)
    standing = standing_schedules(ids)
    tracked = _tracked_assets(event, ids, snapshot, states, standing, memory, now)
    elapsed_s = (now - memory.looked_at).total_seconds() if memory.looked_at is not None else 0.0
    rules = TrackingRules(
        deadband_kw=max(0.5, DEADBAND_FRACTION * event.target_kw),
        least_change_kw=0.2,
        response_s=4.0,
        stale_after_s=30.0,
        rest_s=5.0,
    )
    correction = track(wanted_kw, tracked, rules, elapsed_s=elapsed_s)
    memory.looked_at = now
    memory.mismatch_s = dict(zip(ids, correction.mismatch_s.tolist(), strict=True))
    set_point_kw = keep_site_limits(ids, correction, snapshot)
    assets = {asset.asset_id: asset for asset in snapshot.assets}
    changed = [
        _corrected_schedule(event, assets[ids[row]], float(set_point_kw[row]), standing.get(ids[row]), now)
        for row in np.flatnonzero(correction.changed).tolist()
        if ids[row] in assets
    ]
    return correction, changed


def _tracked_assets(
    event: EventView,
    ids: Sequence[int],
    snapshot: FleetSnapshot,
    states: Mapping[int, AssetState],
    standing: Mapping[int, StandingSchedule],
    memory: TrackingMemory,
    now: datetime,
) -> TrackedAssets:
    """The participants as arrays in the order of `ids`. One that cannot be steered stays where it is."""
    steered = {a.asset_id: a for a in snapshot.assets if not a.left_out_because and not a.charge_now}
    count = len(ids)
    measured_kw, measured_age_s = np.full(count, np.nan), np.full(count, np.inf)
    commanded_kw, commanded_age_s = np.zeros(count), np.full(count, np.inf)
    lower_kw, upper_kw, laxity_h = np.zeros(count), np.zeros(count), np.full(count, np.inf)
    least_kwh = least_energies_kwh(snapshot, now)
    for row, asset_id in enumerate(ids):
        state = states.get(asset_id)
        if state is not None and state.power_kw is not None:
            measured_kw[row] = state.power_kw
            measured_age_s[row] = max(0.0, (now - state.measured_at).total_seconds())
        if asset_id in standing:
            commanded_kw[row], commanded_age_s[row] = _command_in_force(standing[asset_id], now)
        elif np.isfinite(measured_kw[row]):
            commanded_kw[row] = measured_kw[row]
        asset = steered.get(asset_id)
        if asset is None:
            # whatever it was told, what it draws is what counts
            commanded_kw[row] = 0.0 if np.isnan(measured_kw[row]) else measured_kw[row]
            lower_kw[row] = upper_kw[row] = commanded_kw[row]
        else:
            lower_kw[row], upper_kw[row] = _range_kw(asset, least_kwh[asset_id])
            laxity_h[row] = _laxity_h(asset, now)
    return TrackedAssets(
        planned_kw=_planned_kw(ids, commanded_kw, now),
        commanded_kw=commanded_kw,
        commanded_age_s=commanded_age_s,
        measured_kw=measured_kw,
        measured_age_s=measured_age_s,
        mismatch_s=np.array([memory.mismatch_s.get(asset_id, 0.0) for asset_id in ids]),
        lower_kw=lower_kw,
        upper_kw=upper_kw,
        laxity_h=laxity_h,
    )


def _command_in_force(schedule: StandingSchedule, now: datetime) -> tuple[float, float]:
    """Power that a schedule orders now, and for how many seconds it has ordered it."""
    power_kw = power_at(schedule, now)
    begun = [schedule.starts_at + timedelta(seconds=offset) for offset in schedule.offset_s]
    entry_at = max([at for at in begun if at <= now], default=schedule.starts_at)
    since = max(entry_at, schedule.effective_at)
    age_s = (now - since).total_seconds()
    return power_kw, max(0.0, age_s) if schedule.state == "confirmed" else 0.0


def least_energies_kwh(snapshot: FleetSnapshot, now: datetime) -> dict[int, float]:
    """Energy that each asset must keep: floor, what still allows its driver's need, its share of the site's reserve.

    A site's emergency reserve is shared among its packs in proportion to their capacity, which is stricter than the
    plan's (it may be held by any of them) and needs no solver.
    """
    capacity_kwh: dict[int, float] = {}
    for asset in snapshot.assets:
        if asset.kind == "pack":
            capacity_kwh[asset.site_id] = capacity_kwh.get(asset.site_id, 0.0) + asset.capacity_kwh
    reserve_kwh = {site.site_id: site.emergency_reserve_kwh for site in snapshot.sites}
    least = {}
    for asset in snapshot.assets:
        if asset.kind == "pack":
            share = asset.capacity_kwh / capacity_kwh[asset.site_id]
            need_kwh = reserve_kwh.get(asset.site_id, 0.0) * share
        elif asset.departure_at is None:
            need_kwh = asset.floor_kwh
        else:
            hours_left = max(0.0, (asset.departure_at - now).total_seconds() / 3600.0 - NEXT_PLAN_WITHIN_H)
            need_kwh = asset.required_kwh - asset.charge_efficiency * asset.charge_kw * hours_left
        least[asset.asset_id] = max(asset.floor_kwh, min(need_kwh, asset.capacity_kwh))
    return least


def _range_kw(asset: FlexibleAsset, least_kwh: float) -> tuple[float, float]:
    lower_kw, upper_kw = power_range(
        energy_kwh=np.array([asset.energy_kwh]),
        least_kwh=np.array([least_kwh]),
        most_kwh=np.array([asset.capacity_kwh]),
        charge_kw=np.array([asset.charge_kw]),
        discharge_kw=np.array([asset.discharge_kw]),
        charge_efficiency=np.array([asset.charge_efficiency]),
        discharge_efficiency=np.array([asset.discharge_efficiency]),
        hours=NEXT_PLAN_WITHIN_H,
    )
    return float(lower_kw[0]), float(upper_kw[0])


def _laxity_h(asset: FlexibleAsset, now: datetime) -> float:
    if asset.departure_at is None:
        return float("inf")
    hours_left = (asset.departure_at - now).total_seconds() / 3600.0
    needed_h = max(0.0, asset.required_kwh - asset.energy_kwh) / (asset.charge_efficiency * asset.charge_kw)
    return hours_left - needed_h


def _planned_kw(ids: Sequence[int], otherwise_kw: Numbers, now: datetime) -> Numbers:  # [asset]
    """What the newest plan of each asset says for now."""
    planned = otherwise_kw.copy()
    rows = {asset_id: row for row, asset_id in enumerate(ids)}
    schedules = (
        PlannedSchedule.objects.filter(asset_id__in=list(ids), plan__made_at__gt=now - SCHEDULE_VALID)
        .select_related("plan")
        .defer("energy_kwh", "plan__missed", "plan__price_per_kwh", "plan__target_kw", "plan__computing_kw")
        .order_by("asset_id", "-plan_id")
        .distinct("asset_id")
    )
    for schedule in schedules:
        after_h = (now - schedule.plan.starts_at).total_seconds() / 3600.0
        step = int(np.searchsorted(np.cumsum(schedule.plan.step_h), after_h, side="right"))
        planned[rows[schedule.asset_id]] = schedule.power_kw[min(step, len(schedule.power_kw) - 1)]
    return planned


def keep_site_limits(ids: Sequence[int], correction: Correction, snapshot: FleetSnapshot) -> Numbers:  # [asset]
    """The corrected set-points, taken back at sites whose limits they would break.

    base_load + Σ set-points must stay within −export_limit and import_limit of the site; where a correction would break
    one, all its changes in that direction are scaled back by the same factor.
    """
    set_point_kw = correction.set_point_kw.copy()
    site_of = {asset.asset_id: asset.site_id for asset in snapshot.assets}
    power_kw = {asset.asset_id: asset.power_kw for asset in snapshot.assets if not asset.left_out_because}
    row_of = {asset_id: row for row, asset_id in enumerate(ids)}
    for site in snapshot.sites:
        members = [asset_id for asset_id, site_id in site_of.items() if site_id == site.site_id]
        rows = np.array([row_of[asset_id] for asset_id in members if asset_id in row_of], dtype=np.int64)
        rows = rows[correction.changed[rows]] if rows.size else rows
        if not rows.size:
            continue
        now_kw = np.array([power_kw.get(ids[row], 0.0) for row in rows.tolist()])
        total_kw = site.base_load_kw + sum(power_kw.get(asset_id, 0.0) for asset_id in members)
        change_kw = set_point_kw[rows] - now_kw
        after_kw = total_kw + change_kw.sum()
        over_kw = max(after_kw - site.import_limit_kw, 0.0) - max(-site.export_limit_kw - after_kw, 0.0)
        moving = change_kw * np.sign(over_kw) > 0
        if over_kw and moving.any():
            share = max(0.0, 1.0 - abs(over_kw) / abs(change_kw[moving].sum()))
            set_point_kw[rows] = now_kw + np.where(moving, change_kw * share, change_kw)
    return set_point_kw


def _corrected_schedule(
    event: EventView, asset: FlexibleAsset, power_kw: float, standing: StandingSchedule | None, now: datetime
) -> PowerSchedule:
    """The corrected power until the event ends, then what the standing schedule said for afterwards."""
    offsets, powers = [0.0], [round(practicable_kw(power_kw, asset.min_charge_kw), 3)]
    if standing is not None and standing.valid_until > event.ends_at:
        offsets.append((event.ends_at - now).total_seconds())
        powers.append(power_at(standing, event.ends_at))
        for offset, later_kw in zip(standing.offset_s, standing.power_kw, strict=True):
            at = standing.starts_at + timedelta(seconds=offset)
            if event.ends_at < at < standing.valid_until:
                offsets.append((at - now).total_seconds())
                powers.append(later_kw)
        return PowerSchedule(asset.asset_id, now, tuple(offsets), tuple(powers), standing.valid_until)
    return PowerSchedule(asset.asset_id, now, tuple(offsets), tuple(powers), now + SCHEDULE_VALID)
