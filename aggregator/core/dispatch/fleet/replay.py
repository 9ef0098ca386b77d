"""The independent check of a fleet's plan: replay every asset against every constraint, in plain numpy.

Shares nothing with the decomposition: it starts from the problem as it was given and the set-points as they would be sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.check import (
    RELATIVE_COST_TOLERANCE,
    TOLERANCE_KW,
    TOLERANCE_KWH,
    PlanCheckFailed,
    power_at_energy,
)
from aggregator.core.dispatch.fleet.population import on_threads
from aggregator.core.dispatch.preparation import play_out_fixed_power
from aggregator.core.dispatch.problem import DispatchProblem, SiteLimits
from fleet.core.flexibility import FlexibleAssets, most_reachable_kwh

Numbers = NDArray[np.float64]
SLICE = 1_024  # assets at a time: what a processor's own cache holds
MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class Replay:
    """What set-points do, asset by asset.

    Attributes:
        energy_at_departure_kwh: at the end of each asset's window.
        floor_short_kwh: most that its energy lies below its floor or a milestone while plugged in.
        floor_short_step: the step at whose end that is.
        early_short_kwh: most that is missing of its need in steps from which on it must be ready, before departure.
        early_short_step: the step at whose end that is.
        total_kw: sum of all set-points.
        energy_cost: at the steps' prices.
        wear_cost: of what is discharged.
        findings: what may not be; empty for a sound plan.
    """

    energy_at_departure_kwh: Numbers  # [asset]
    floor_short_kwh: Numbers  # [asset]
    floor_short_step: NDArray[np.int64]  # [asset]
    early_short_kwh: Numbers  # [asset]
    early_short_step: NDArray[np.int64]  # [asset]
    total_kw: Numbers  # [step]
    energy_cost: float
    wear_cost: float
    findings: list[str]


def replay(
    problem: DispatchProblem, power_kw: NDArray[np.float32], given_way: NDArray[np.bool_] | None = None
) -> Replay:
    """Replay all set-points: windows, power limits, energy balance, capacity, needs and floors.

    A need or a floor may be missed by no more than physics take: what charging flat out from arrival on would miss too.
    Where an asset has `given_way` to its site's safety limit, what it misses is told and is no fault.
    """
    excused = np.zeros(len(problem.assets), dtype=np.bool_) if given_way is None else given_way
    count, steps = len(problem.assets), problem.horizon.steps
    if power_kw.shape != (count, steps):
        nothing, never = np.zeros(count), np.zeros(count, dtype=np.int64)
        return Replay(
            nothing,
            nothing,
            never,
            nothing,
            never,
            np.zeros(steps),
            0.0,
            0.0,
            [f"set-points have shape {power_kw.shape}, not {(count, steps)}"],
        )
    parts = [
        part
        for share in on_threads(lambda first, end: _share(problem, power_kw, excused, first, end), count)
        for part in share
    ]  # fmt: skip
    findings = [finding for part in parts for finding in part.findings]
    return Replay(
        np.concatenate([part.energy_at_departure_kwh for part in parts]),
        np.concatenate([part.floor_short_kwh for part in parts]),
        np.concatenate([part.floor_short_step for part in parts]),
        np.concatenate([part.early_short_kwh for part in parts]),
        np.concatenate([part.early_short_step for part in parts]),
        np.sum([part.total_kw for part in parts], axis=0),
        float(sum(part.energy_cost for part in parts)),
        float(sum(part.wear_cost for part in parts)),
        findings,
    )


def _share(
    problem: DispatchProblem, power_kw: NDArray[np.float32], excused: NDArray[np.bool_], first: int, end: int
) -> list[Replay]:
    starts = range(first, end, SLICE) if end > first else [first]
    return [_slice(problem, power_kw, excused, start, min(start + SLICE, end)) for start in starts]


def _slice(
    problem: DispatchProblem, power_kw: NDArray[np.float32], excused: NDArray[np.bool_], start: int, end: int
) -> Replay:
    assets, here, step_h = problem.assets, slice(start, end), problem.horizon.step_h
    power = power_kw[here].astype(np.float64)  # [asset, step]
    plugged = _plugged(assets, here, step_h.size)
    usable: NDArray[Any] = plugged if assets.availability is None else plugged * assets.availability[here]
    at_arrival_kwh, floor_kwh = assets.energy_kwh[here], assets.floor_kwh[here, None]
    if assets.milestone_kwh is not None:
        floor_kwh = np.fmax(floor_kwh, assets.milestone_kwh[here])
    gain, loss = assets.charge_efficiency[here], 1.0 / assets.discharge_efficiency[here]
    given = np.maximum(-power, 0.0)
    change_kwh = (gain[:, None] * (power + given) - loss[:, None] * given) * step_h
    energy_kwh = np.cumsum(change_kwh, axis=1, out=change_kwh)  # at the end of each step
    energy_kwh += at_arrival_kwh[:, None]
    at_departure_kwh = energy_kwh[:, -1].copy()
    ceiling_kwh = np.maximum(assets.capacity_kwh[here], at_arrival_kwh)
    most_kw = assets.charge_kw[here]
    reach_kwh = np.minimum(ceiling_kwh, at_arrival_kwh + gain * most_kw * (usable @ step_h))
    flat_out_kwh = _flat_out_kwh(problem, here, energy_kwh)
    if flat_out_kwh is not None:
        reach_kwh = flat_out_kwh[:, -1]
    needed_kwh = np.minimum(assets.required_kwh[here], reach_kwh)
    least_kwh = energy_kwh.min(axis=1)
    low = np.flatnonzero(np.minimum(least_kwh, at_arrival_kwh) < floor_kwh.max(axis=1))
    reached_kwh = None if flat_out_kwh is None else flat_out_kwh[low]
    if reached_kwh is None:
        gain_kwh = (gain * most_kw)[low, None] * usable[low] * step_h
        reached_kwh = np.minimum(at_arrival_kwh[low, None] + np.cumsum(gain_kwh, axis=1), ceiling_kwh[low, None])
    short_kwh, short_step, fault = _below_floor(energy_kwh, floor_kwh, plugged, low, reached_kwh)
    early_kwh, early_step, late = _early_needs(assets, here, energy_kwh, usable * step_h, flat_out_kwh)
    findings: list[str] = [] if np.all(np.isfinite(power)) else ["a set-point is not a number"]
    room_kw = most_kw[:, None] * usable - power
    give_kw = assets.discharge_kw[here][:, None] * (usable * assets.allowed_part(here)) + power
    for bad, what in (
        *_beyond_curves(assets, here, power, energy_kwh, usable),
        (room_kw.min(axis=1) < -TOLERANCE_KW, "charges beyond its limit or outside its window"),
        (give_kw.min(axis=1) < -TOLERANCE_KW, "discharges beyond its limit or outside its window"),
        (energy_kwh.max(axis=1) > ceiling_kwh + TOLERANCE_KWH, "is charged beyond its capacity"),
        (least_kwh < -TOLERANCE_KWH, "is discharged below empty"),
        (
            (at_departure_kwh < needed_kwh - TOLERANCE_KWH) & ~excused[here],
            "leaves with less than it needs and could have had",
        ),
        (fault & ~excused[here], "falls below its floor, or reaches it later than it could"),
        (late & ~excused[here], "is ready for an early departure later than it could be"),
    ):
        findings.extend(
            f"asset {assets.asset_id[start + row]} {what}" for row in np.flatnonzero(bad)[:MOST_NAMED].tolist()
        )
    total_kw = power.sum(axis=0)
    energy_cost = float(problem.price_per_kwh * step_h @ total_kw)
    wear_cost = float(assets.wear_per_kwh[here] @ given @ step_h)
    shorts = at_departure_kwh, short_kwh, short_step, early_kwh, early_step
    return Replay(*shorts, total_kw, energy_cost, wear_cost, findings)


def _below_floor(
    energy_kwh: Numbers,  # [asset, step]
    floor_kwh: Numbers,  # [asset, step], or [asset, 1]
    plugged: NDArray[np.bool_],  # [asset, step]
    low: NDArray[np.int64],  # the assets that are ever below
    reached_kwh: Numbers,  # [low asset, step], when charging flat out
) -> tuple[Numbers, NDArray[np.int64], NDArray[np.bool_]]:  # [asset] each
    """What is missing to the floors, at most and when; and where more was possible."""
    count = energy_kwh.shape[0]
    short_kwh, short_step, fault = np.zeros(count), np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
    if low.size:
        below_kwh = np.where(plugged[low], floor_kwh[low] - energy_kwh[low], 0.0)
        could_kwh = np.minimum(reached_kwh, floor_kwh[low])
        fault[low] = (np.where(plugged[low], could_kwh - energy_kwh[low], 0.0) > TOLERANCE_KWH).any(axis=1)
        short_step[low] = below_kwh.argmax(axis=1)
        short_kwh[low] = np.maximum(below_kwh.max(axis=1), 0.0)
    return short_kwh, short_step, fault


def _early_needs(
    assets: FlexibleAssets, here: slice, energy_kwh: Numbers, usable_h: Numbers, flat_out_kwh: Numbers | None
) -> tuple[Numbers, NDArray[np.int64], NDArray[np.bool_]]:  # [asset] each
    """What is missing, at most and when, where the need must be met before departure; and where more was possible."""
    count = energy_kwh.shape[0]
    short_kwh, short_step, late = np.zeros(count), np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
    if assets.ready_step is None:
        return short_kwh, short_step, late
    early = np.flatnonzero(assets.ready_step[here] < assets.departure_step[here])
    rows = early + (here.start or 0)
    gain_kw, needed_kwh = assets.charge_efficiency[rows] * assets.charge_kw[rows], assets.required_kwh[rows]
    reach_kwh = assets.energy_kwh[rows, None] + np.cumsum(gain_kw[:, None] * usable_h[early], axis=1)
    reach_kwh = np.minimum(reach_kwh, np.maximum(assets.capacity_kwh, assets.energy_kwh)[rows, None])
    if flat_out_kwh is not None:
        reach_kwh = flat_out_kwh[early]
    due = assets.select(rows).ready(energy_kwh.shape[1])
    missing_kwh = np.where(due, needed_kwh[:, None] - energy_kwh[early], 0.0)
    short_kwh[early], short_step[early] = np.maximum(missing_kwh.max(axis=1), 0.0), missing_kwh.argmax(axis=1)
    excess_kwh = np.where(due, np.minimum(needed_kwh[:, None], reach_kwh) - energy_kwh[early], 0.0)
    late[early] = (excess_kwh > TOLERANCE_KWH).any(axis=1)
    return short_kwh, short_step, late


def _beyond_curves(
    assets: FlexibleAssets, here: slice, power_kw: Numbers, energy_kwh: Numbers, usable: NDArray[Any]
) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Which assets take or give more than their curves allow at the energy that each step ends with."""
    for points, signed_kw, what in (
        (assets.charge_curve, power_kw, "charges beyond what its battery takes when so full"),
        (assets.discharge_curve, -power_kw, "discharges beyond what its battery gives when so empty"),
    ):
        if points is not None:
            allowed_kw = power_at_energy(points[here], energy_kwh) * usable
            yield np.logical_or.reduce(signed_kw > allowed_kw + TOLERANCE_KW, axis=1), what


def _flat_out_kwh(problem: DispatchProblem, here: slice, energy_kwh: Numbers) -> Numbers | None:  # [asset, step]
    """Energies when charging as hard as the battery takes, after the fixed steps; None where neither is of any account."""
    assets, horizon = problem.assets, problem.horizon
    if assets.charge_curve is None and assets.fixed_power_kw is None:
        return None
    free, _ = play_out_fixed_power(assets.select(np.arange(here.start, here.stop)), horizon)
    is_fixed = np.arange(horizon.steps) < free.arrival_step[:, None]
    return np.where(is_fixed, energy_kwh, most_reachable_kwh(free, horizon))


def _plugged(assets: FlexibleAssets, here: slice, steps: int) -> NDArray[np.bool_]:  # [asset, step]
    step = np.arange(steps)
    return (step >= assets.arrival_step[here, None]) & (step < assets.departure_step[here, None])


def check_first_step(problem: DispatchProblem, power_kw: Numbers) -> None:  # [asset]
    """Check one step alone: limits and window, capacity and empty, and that the need can still be met afterwards.

    Raises:
        PlanCheckFailed: with the first findings.
    """
    assets, step_h = problem.assets, problem.horizon.step_h
    plugged = (assets.arrival_step == 0) & (assets.departure_step > 0)
    usable = plugged if assets.availability is None else plugged * assets.availability[:, 0]
    change_kw = np.where(
        power_kw > 0, power_kw * assets.charge_efficiency, power_kw / assets.discharge_efficiency
    )  # fmt: skip
    energy_kwh = assets.energy_kwh + step_h[0] * change_kw
    ceiling_kwh = np.maximum(assets.capacity_kwh, assets.energy_kwh)
    passed_h = np.concatenate([[0.0], np.cumsum(step_h)])
    later_h = np.maximum(passed_h[assets.departure_step] - np.maximum(passed_h[assets.arrival_step], passed_h[1]), 0.0)
    gain_kw = assets.charge_efficiency * assets.charge_kw
    could_kwh = np.minimum(assets.energy_kwh + gain_kw * (later_h + step_h[0] * usable), assets.required_kwh)
    taken_kw = power_at_energy(assets.charge_curve, energy_kwh) * usable
    given_kw = power_at_energy(assets.discharge_curve, energy_kwh) * usable
    # a curve lets an asset reach less later on: the check of all steps, which follows, reckons with it
    has_curve = np.isfinite(assets.charging_lines()[:, :, 0]).any(axis=1)
    findings = []
    for bad, what in (
        (~np.isfinite(power_kw), "has a set-point that is not a number"),
        (power_kw > taken_kw + TOLERANCE_KW, "charges beyond what its battery takes when so full"),
        (-power_kw > given_kw + TOLERANCE_KW, "discharges beyond what its battery gives when so empty"),
        (power_kw > assets.charge_kw * usable + TOLERANCE_KW, "charges beyond its limit or outside its window"),
        (power_kw < -assets.discharge_kw * usable - TOLERANCE_KW, "discharges beyond its limit or outside its window"),
        (energy_kwh > ceiling_kwh + TOLERANCE_KWH, "is charged beyond its capacity"),
        (energy_kwh < -TOLERANCE_KWH, "is discharged below empty"),
        (
            (energy_kwh + gain_kw * later_h < np.minimum(could_kwh, ceiling_kwh) - TOLERANCE_KWH)
            & plugged
            & ~has_curve,
            "could no longer reach its need",
        ),
    ):
        findings += [
            f"asset {assets.asset_id[row]} {what} in step 0" for row in np.flatnonzero(bad)[:MOST_NAMED].tolist()
        ]
    if findings:
        raise PlanCheckFailed(findings)


def group_load_kw(
    groups: SiteLimits, group_of: NDArray[np.int64], power_kw: NDArray[np.float32]
) -> Numbers:  # [group, step]
    """Load of every site or node: its base load and its assets' set-points."""
    count = len(groups.site_id)
    inside = np.flatnonzero(group_of >= 0)
    load_kw = np.array(groups.base_load_kw, dtype=np.float64)
    for step in range(power_kw.shape[1]):
        load_kw[:, step] += np.bincount(group_of[inside], power_kw[inside, step], minlength=count)
    return load_kw


def check_totals(cost: float, lower_bound: float, replayed: Replay, missed_cost: float) -> None:
    """Compare what the plan says of itself with what its set-points do.

    Raises:
        PlanCheckFailed: with every finding, each a sentence that names the asset and the step.
    """
    findings = list(replayed.findings)
    real = replayed.energy_cost + replayed.wear_cost + missed_cost
    slack = RELATIVE_COST_TOLERANCE * max(1.0, abs(real), abs(replayed.energy_cost) + replayed.wear_cost)
    if not (np.isfinite(cost) and np.isfinite(lower_bound)):
        findings.append("the cost or its bound is not a number")
    elif abs(real - cost) > slack:
        findings.append(f"the cost is {real:.6f}, and not {cost:.6f} as the plan says")
    elif cost < lower_bound - slack:
        findings.append(f"the cost {cost:.6f} lies below its own lower bound {lower_bound:.6f}")
    if findings:
        raise PlanCheckFailed(findings)
