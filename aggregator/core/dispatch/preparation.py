"""Before any optimising: play out what is fixed, and clamp every need to what the asset's own physics allow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.problem import DispatchProblem, SiteLimits
from common.horizon import Horizon
from fleet.core.battery import deliverable_power_kw, energy_after_step
from fleet.core.flexibility import FlexibleAssets, most_reachable_kwh
from fleet.core.power_curves import most_held_kw

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HardLimits:
    """What the model may not cross. Recovery widens it where it contradicts itself, netting narrows it.

    Attributes:
        charge_kw, discharge_kw: power limits, zero outside the window.
        least_kwh, most_kwh: bounds of the energy at the end of each step.
        site_import_kw, site_export_kw, node_import_kw, node_export_kw: limits of the groups' totals.
        emergency_reserve_kwh: least sum of the energies that a site's reserve assets hold.
    """

    charge_kw: Numbers  # [asset, step]
    discharge_kw: Numbers  # [asset, step]
    least_kwh: Numbers  # [asset, step]
    most_kwh: Numbers  # [asset, step]
    site_import_kw: Numbers  # [site, step]
    site_export_kw: Numbers  # [site, step]
    node_import_kw: Numbers  # [node, step]
    node_export_kw: Numbers  # [node, step]
    emergency_reserve_kwh: Numbers  # [site, step]


@dataclass(frozen=True, eq=False)
class PreparedProblem:
    """A problem whose fixed steps have been played out.

    Attributes:
        original: the problem as it was given.
        free: the same problem with windows that start after the fixed steps, and the fixed power in the base loads.
        fixed_power_kw: what the assets do in their fixed steps; zero elsewhere.
        limits: what the model may not cross.
    """

    original: DispatchProblem
    free: DispatchProblem
    fixed_power_kw: Numbers  # [asset, step]
    limits: HardLimits


def prepare(problem: DispatchProblem) -> PreparedProblem:
    """Play out the fixed steps and clamp the needs."""
    assets, fixed_power_kw = play_out_fixed_power(problem.assets, problem.horizon)
    free = replace(
        problem,
        assets=assets,
        base_load_kw=problem.base_load_kw + fixed_power_kw.sum(axis=0),
        sites=_add_to_base(problem.sites, assets.site_index, fixed_power_kw),
        nodes=_add_to_base(problem.nodes, assets.node_index, fixed_power_kw),
        targets=tuple(
            replace(
                target,
                target_power_kw=target.target_power_kw
                - fixed_power_kw[_everyone(target.participates, len(assets))].sum(axis=0),
            )
            for target in problem.targets
        ),
    )
    return PreparedProblem(problem, free, fixed_power_kw, _hard_limits(free))


def play_out_fixed_power(assets: FlexibleAssets, horizon: Horizon) -> tuple[FlexibleAssets, Numbers]:
    """Simulate the fixed steps at the head of each window.

    Returns:
        The assets with windows that start where they become free, at the energy they have by then; and the power they
        really take or give in the fixed steps, [asset, step].
    """
    power_kw = np.zeros((len(assets), horizon.steps))
    if assets.fixed_power_kw is None:
        return assets, power_kw
    fixed = ~np.isnan(assets.fixed_power_kw) & assets.plugged(horizon.steps)
    lines, usable = assets.charging_lines(), assets.usable_part(horizon.steps)
    giving_lines = assets.discharging_lines()
    energy_kwh = assets.energy_kwh.copy()
    for step in np.flatnonzero(fixed.any(axis=0)):
        part, hours = usable[:, step], usable[:, step] * horizon.step_h[step]
        held_kw = most_held_kw(lines, energy_kwh, hours * assets.charge_efficiency)
        given_kw = most_held_kw(giving_lines, energy_kwh, -hours / assets.discharge_efficiency)
        efficiencies = {
            "step_h": horizon.step_h[step],
            "charge_efficiency": assets.charge_efficiency,
            "discharge_efficiency": assets.discharge_efficiency,
        }
        # A device that does not answer may draw on below the owner's floor: only an empty battery stops it.
        power_kw[:, step] = deliverable_power_kw(
            np.where(fixed[:, step], np.nan_to_num(assets.fixed_power_kw[:, step]), 0.0),
            energy_kwh=energy_kwh,
            capacity_kwh=assets.capacity_kwh,
            floor_kwh=0.0,
            charge_kw=part * np.minimum(assets.charge_kw, held_kw),
            discharge_kw=part * np.minimum(assets.discharge_kw, given_kw),
            **efficiencies,
        )
        energy_kwh = energy_after_step(energy_kwh, power_kw[:, step], **efficiencies)
    arrival_step = assets.arrival_step + fixed.sum(axis=1)
    free = replace(assets, energy_kwh=energy_kwh, arrival_step=arrival_step, fixed_power_kw=None)
    return free, power_kw


def clamped_least_kwh(assets: FlexibleAssets, horizon: Horizon) -> Numbers:  # [asset, step]
    """Least energy at the end of every step that the driver wants and the physics allow.

    least_t = min(max(floor, milestone_t), most reachable by t) while plugged in; from the step on by which the asset must
    be ready, and at the last step of the window, at least min(required, most reachable by t). A battery that arrives
    below its floor is thereby charged at once.
    """
    reachable_kwh = most_reachable_kwh(assets, horizon)
    wanted_kwh = np.repeat(assets.floor_kwh[:, None], horizon.steps, axis=1)
    if assets.milestone_kwh is not None:
        wanted_kwh = np.fmax(wanted_kwh, assets.milestone_kwh)
    if assets.ready_step is not None:
        needed_kwh = np.where(assets.ready(horizon.steps), assets.required_kwh[:, None], 0.0)
        wanted_kwh = np.maximum(wanted_kwh, needed_kwh)
    least_kwh = np.where(assets.plugged(horizon.steps), np.minimum(wanted_kwh, reachable_kwh), 0.0)
    stays = np.flatnonzero(assets.departure_step > assets.arrival_step)
    last = assets.departure_step[stays] - 1
    need_kwh = np.minimum(assets.required_kwh[stays], reachable_kwh[stays, last])
    least_kwh[stays, last] = np.maximum(least_kwh[stays, last], need_kwh)
    return least_kwh


def _hard_limits(problem: DispatchProblem) -> HardLimits:
    assets, horizon = problem.assets, problem.horizon
    ceiling_kwh = np.maximum(assets.capacity_kwh, assets.energy_kwh)
    nothing = np.zeros((0, horizon.steps))

    def side(limits: SiteLimits | None, name: str) -> Numbers:
        return nothing if limits is None else getattr(limits, name)

    return HardLimits(
        charge_kw=assets.charge_limit_kw(horizon.steps),
        discharge_kw=assets.discharge_limit_kw(horizon.steps),
        least_kwh=clamped_least_kwh(assets, horizon),
        most_kwh=np.repeat(ceiling_kwh[:, None], horizon.steps, axis=1),
        site_import_kw=side(problem.sites, "import_limit_kw"),
        site_export_kw=side(problem.sites, "export_limit_kw"),
        node_import_kw=side(problem.nodes, "import_limit_kw"),
        node_export_kw=side(problem.nodes, "export_limit_kw"),
        emergency_reserve_kwh=_reachable_reserve(problem),
    )


def _reachable_reserve(problem: DispatchProblem) -> Numbers:  # [site, step]
    """The emergency reserve of every site, clamped to what its assets could hold by each step."""
    sites, assets, steps = problem.sites, problem.assets, problem.horizon.steps
    if sites is None:
        return np.zeros((0, steps))
    if sites.emergency_reserve_kwh is None or assets.holds_reserve is None:
        return np.zeros((len(sites.site_id), steps))
    held_kwh = most_reachable_kwh(assets, problem.horizon) * assets.plugged(steps) * assets.holds_reserve[:, None]
    at_site = sum_by_group(held_kwh, assets.site_index, len(sites.site_id))
    return np.minimum(sites.emergency_reserve_kwh[:, None], at_site)


def sum_by_group(
    values: Numbers,  # [member, step]
    index: NDArray[np.int64],  # [member]
    groups: int,
) -> Numbers:  # [group, step]
    """Sum of the members' rows by group; members with index −1 belong to none."""
    totals = np.zeros((groups, values.shape[1]))
    inside = index >= 0
    np.add.at(totals, index[inside], values[inside])
    return totals


def _add_to_base(limits: SiteLimits | None, index: NDArray[np.int64], power_kw: Numbers) -> SiteLimits | None:
    if limits is None:
        return None
    return replace(limits, base_load_kw=limits.base_load_kw + sum_by_group(power_kw, index, len(limits.site_id)))


def _everyone(chosen: NDArray[np.bool_] | None, count: int) -> NDArray[np.bool_]:
    return np.ones(count, dtype=np.bool_) if chosen is None else np.asarray(chosen, dtype=np.bool_)
