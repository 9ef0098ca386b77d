"""Between two plans: move as few set-points as it takes to bring the delivered power back to its target.

A closed form: one sort, no solver, so that it can run every few seconds. It corrects on what the assets will draw once
the commands already on their way have taken effect, not on a meter that has not seen them yet; so a late meter is never
corrected for twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet.core.battery import power_for_energy_change

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
SIZE_CLASSES = 1024


@dataclass(frozen=True, slots=True)
class TrackingRules:
    """When to act, and on whom.

    Attributes:
        deadband_kw: the portfolio's error is left alone up to this.
        least_change_kw: no set-point is moved by less than this.
        response_s: time after which a command shows in the meter.
        stale_after_s: a reading older than this says nothing; the asset is taken to follow its command and is not moved.
        rest_s: least time between two commands to the same asset.
        mismatch_kw, mismatch_fraction: an asset follows its command if it is within either of them.
        not_responding_after_s: time of not following after which an asset is left out until it follows again.
        urgent_below_h: cars with less laxity than this are reduced last.
        most_change_kw: largest change of the total per call; infinite for none.
    """

    deadband_kw: float = 1.0
    least_change_kw: float = 0.5
    response_s: float = 5.0
    stale_after_s: float = 60.0
    rest_s: float = 10.0
    mismatch_kw: float = 0.5
    mismatch_fraction: float = 0.1
    not_responding_after_s: float = 30.0
    urgent_below_h: float = 0.5
    most_change_kw: float = float("inf")


@dataclass(frozen=True, eq=False)
class TrackedAssets:
    """What is known of the assets that take part, at this moment.

    Attributes:
        planned_kw: the plan's set-point for now.
        commanded_kw: the set-point in force, after corrections.
        commanded_age_s: time since it was confirmed; infinite for ever.
        measured_kw: the last reading, NaN if there is none.
        measured_age_s: time since that reading was taken at the meter.
        mismatch_s: for how long the asset has not followed its command, as `track` returned it last; zero at first.
        lower_kw, upper_kw: how far the set-point may go until the next plan, see `power_range`.
        laxity_h: how long the driver's need can still wait; infinite for packs.
    """

    planned_kw: Numbers  # [asset]
    commanded_kw: Numbers  # [asset]
    commanded_age_s: Numbers  # [asset]
    measured_kw: Numbers  # [asset]
    measured_age_s: Numbers  # [asset]
    mismatch_s: Numbers  # [asset]
    lower_kw: Numbers  # [asset]
    upper_kw: Numbers  # [asset]
    laxity_h: Numbers  # [asset]


@dataclass(frozen=True, eq=False)
class Correction:
    """New set-points, and what they are expected to bring.

    Attributes:
        set_point_kw: for every asset; unchanged ones keep the command in force.
        changed: those to send.
        expected_kw: total before the correction, once everything on its way has arrived.
        error_kw: target less `expected_kw`.
        unresolved_kw: what the correction leaves of the error (nobody has room, or too little to move for).
        not_responding: assets left out because they do not follow.
        mismatch_s: to hand to the next call.
    """

    set_point_kw: Numbers  # [asset]
    changed: Flags  # [asset]
    expected_kw: float
    error_kw: float
    unresolved_kw: float
    not_responding: Flags  # [asset]
    mismatch_s: Numbers  # [asset]


def power_range(
    *,
    energy_kwh: Numbers,  # [asset]
    least_kwh: Numbers,  # [asset]
    most_kwh: Numbers,  # [asset]
    charge_kw: Numbers,  # [asset]
    discharge_kw: Numbers,  # [asset]
    charge_efficiency: Numbers,  # [asset]
    discharge_efficiency: Numbers,  # [asset]
    hours: float,
) -> tuple[Numbers, Numbers]:
    """How far each set-point may go for `hours` without leaving its limits by power or by energy.

    lower: the power that brings the battery to `least_kwh` in that time, upper: to `most_kwh`, both within the power
    limits. A battery that must gain energy to reach `least_kwh` has a lower limit above zero: it is not free to stop.

    Args:
        least_kwh: floor or emergency reserve, and the latest-charging energy at the next plan, whichever is more.
        most_kwh: capacity.
        hours: time until the next plan.

    Returns:
        lower_kw, upper_kw
    """
    physics: dict[str, Any] = {
        "step_h": hours,
        "charge_efficiency": charge_efficiency,
        "discharge_efficiency": discharge_efficiency,
    }
    to_least_kw = power_for_energy_change(least_kwh - energy_kwh, **physics)
    to_most_kw = power_for_energy_change(np.maximum(most_kwh - energy_kwh, 0.0), **physics)
    lower_kw = np.clip(to_least_kw, -discharge_kw, charge_kw)
    return lower_kw, np.maximum(np.minimum(to_most_kw, charge_kw), lower_kw)


def track(
    target_kw: float,
    assets: TrackedAssets,
    rules: TrackingRules,
    *,
    elapsed_s: float,
    other_kw: float = 0.0,
) -> Correction:
    """Correct the set-points so that the assets' total goes to its target.

    Order in which room is used: first what costs no wear (charging less, or any increase), then discharge; within that
    cars that can wait before urgent ones (when reducing; the other way round when increasing), corrections taken back
    towards the plan before new ones, and large room before small, so that few devices change. Assets that have just
    been commanded, are not heard of, or do not follow are not moved, but what they draw is counted.

    Args:
        target_kw: wanted total of the participating assets, positive = import.
        assets: the participants.
        rules: when to act.
        elapsed_s: time since the last call.
        other_kw: power that counts towards the target but is not moved here, such as computing.
    """
    reading = _read(assets, rules, elapsed_s)
    expected_kw = float(reading.settled_kw.sum()) + other_kw
    error_kw = target_kw - expected_kw
    moved_kw = np.zeros(reading.settled_kw.size)
    if abs(error_kw) > rules.deadband_kw and moved_kw.size:
        wanted_kw = float(np.clip(error_kw, -rules.most_change_kw, rules.most_change_kw))
        moved_kw = _distribute(wanted_kw, reading, assets, rules)
    changed = moved_kw != 0.0
    return Correction(
        set_point_kw=np.where(changed, reading.position_kw + moved_kw, assets.commanded_kw),
        changed=changed,
        expected_kw=expected_kw,
        error_kw=error_kw,
        unresolved_kw=error_kw - float(moved_kw.sum()),
        not_responding=reading.not_responding,
        mismatch_s=reading.mismatch_s,
    )


@dataclass(frozen=True, eq=False)
class _Reading:
    """What the readings and commands say together."""

    settled_kw: Numbers  # [asset] what it draws once commands on their way have arrived
    position_kw: Numbers  # [asset] where a change starts from
    lower_kw: Numbers  # [asset]
    upper_kw: Numbers  # [asset]
    movable: Flags  # [asset]
    not_responding: Flags  # [asset]
    mismatch_s: Numbers  # [asset]


def _read(assets: TrackedAssets, rules: TrackingRules, elapsed_s: float) -> _Reading:
    """Judge each asset by its reading, if that was taken after its last command took effect; else by the command."""
    fresh = np.isfinite(assets.measured_kw) & (assets.measured_age_s <= rules.stale_after_s)
    judged = fresh & (assets.commanded_age_s - assets.measured_age_s >= rules.response_s)
    measured_kw = np.where(fresh, assets.measured_kw, 0.0)
    off_kw = measured_kw - assets.commanded_kw
    tolerance_kw = np.maximum(rules.mismatch_kw, rules.mismatch_fraction * np.abs(assets.commanded_kw))
    differs = judged & (np.abs(off_kw) > tolerance_kw)
    mismatch_s = np.where(differs, assets.mismatch_s + elapsed_s, np.where(judged, 0.0, assets.mismatch_s))
    not_responding = mismatch_s >= rules.not_responding_after_s
    # An asset that draws less (or more) than it was told is at its limit there: it counts from where it is.
    return _Reading(
        settled_kw=np.where(judged, measured_kw, assets.commanded_kw),
        position_kw=np.where(differs, measured_kw, assets.commanded_kw),
        lower_kw=np.where(differs & (off_kw > 0), np.maximum(assets.lower_kw, measured_kw), assets.lower_kw),
        upper_kw=np.where(differs & (off_kw < 0), np.minimum(assets.upper_kw, measured_kw), assets.upper_kw),
        movable=fresh & ~not_responding & (assets.commanded_age_s >= rules.rest_s),
        not_responding=not_responding,
        mismatch_s=mismatch_s,
    )


def _distribute(wanted_kw: float, reading: _Reading, assets: TrackedAssets, rules: TrackingRules) -> Numbers:  # [asset]
    """Share a change of the total out over the assets' room, in order of preference; the signed change of each."""
    reducing, position_kw = wanted_kw < 0, reading.position_kw
    if reducing:
        free_kw = np.maximum(position_kw - np.maximum(reading.lower_kw, 0.0), 0.0)
        wearing_kw = np.maximum(np.minimum(position_kw, 0.0) - reading.lower_kw, 0.0)
    else:
        free_kw, wearing_kw = np.maximum(reading.upper_kw - position_kw, 0.0), np.zeros_like(position_kw)
    free_kw = np.where(reading.movable, free_kw, 0.0)
    wearing_kw = np.where(reading.movable, wearing_kw, 0.0)
    enough = free_kw + wearing_kw >= rules.least_change_kw
    room_kw = np.concatenate([np.where(enough, free_kw, 0.0), np.where(enough, wearing_kw, 0.0)])
    urgent = (assets.laxity_h < rules.urgent_below_h) == reducing
    off_plan = (assets.planned_kw >= position_kw) if reducing else (assets.planned_kw <= position_kw)
    tier = 2 * urgent.astype(np.int8) + off_plan
    taken_kw = take_by_tier(room_kw, np.concatenate([tier, tier + np.int8(4)]), abs(wanted_kw))
    share_kw = taken_kw[: position_kw.size] + taken_kw[position_kw.size :]
    share_kw = np.where(share_kw >= rules.least_change_kw, share_kw, 0.0)
    return -share_kw if reducing else share_kw


def take_by_tier(room_kw: Numbers, tier: NDArray[np.int8], wanted_kw: float) -> Numbers:
    """Take what is wanted out of the rooms: a lower tier before a higher one, and in a tier the largest room first.

    Whole tiers are added up; only the one in which the wanted power is reached is looked into.
    """
    of_tier_kw = np.bincount(tier, weights=room_kw, minlength=1)
    up_to_kw = np.cumsum(of_tier_kw)
    taken_kw = np.where((up_to_kw <= wanted_kw)[tier], room_kw, 0.0)
    reached = int(np.searchsorted(up_to_kw, wanted_kw, side="right"))
    if reached < up_to_kw.size:
        members = np.flatnonzero(tier == reached)
        left_kw = wanted_kw - (up_to_kw[reached] - of_tier_kw[reached])
        taken_kw[members] = _largest_first(room_kw[members], left_kw)
    return taken_kw


def _largest_first(room_kw: Numbers, wanted_kw: float) -> Numbers:
    """Take the largest rooms until the wanted power is reached; of equal rooms the earlier one.

    Sorting a million rooms takes longer than everything else here, so they are first counted into classes by size: the
    larger classes are taken whole, and only the class in which the power is reached is sorted.
    """
    taken_kw = np.zeros(room_kw.size)
    largest_kw = float(room_kw.max(initial=0.0))
    if largest_kw <= 0.0:
        return taken_kw
    size = ((1.0 - room_kw / largest_kw) * SIZE_CLASSES).astype(np.int64)  # class 0 holds the largest
    of_class_kw = np.bincount(size, weights=room_kw)
    up_to_kw = np.cumsum(of_class_kw)
    reached = int(np.searchsorted(up_to_kw, wanted_kw, side="right"))
    taken_kw[size < reached] = room_kw[size < reached]
    if reached < up_to_kw.size:
        members = np.flatnonzero(size == reached)
        members = members[np.argsort(-room_kw[members], kind="stable")]
        ordered_kw = room_kw[members]
        left_kw = wanted_kw - (up_to_kw[reached] - of_class_kw[reached])
        taken_kw[members] = np.clip(left_kw - (np.cumsum(ordered_kw) - ordered_kw), 0.0, ordered_kw)
    return taken_kw
