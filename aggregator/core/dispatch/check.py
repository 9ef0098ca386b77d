"""The independent check: replay every asset against every constraint before a plan may leave the worker.

Shares no code with the model: it starts from the problem as it was given and the set-points as they would be sent. A
limit may be crossed only by as much as the plan itself lists as missed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.problem import DispatchProblem, SiteLimits
from aggregator.core.dispatch.promised_reserves import oversold, undeliverable
from aggregator.core.dispatch.result import DispatchPlan, MissKind
from common.errors import PlatformError

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

TOLERANCE_KW = 2e-3
TOLERANCE_KWH = 2e-3
RELATIVE_COST_TOLERANCE = 1e-6


class PlanCheckFailed(PlatformError):
    """The plan breaks a constraint that it does not list as missed; it must not be sent."""

    code = "plan_check_failed"

    def __init__(self, findings: list[str]) -> None:
        shown = "; ".join(findings[:10]) + (f"; and {len(findings) - 10} more" if len(findings) > 10 else "")
        super().__init__(f"The plan fails its check: {shown}", remedy="Plan again; keep the last plan meanwhile.")
        self.findings = findings


def check_plan(problem: DispatchProblem, plan: DispatchPlan) -> None:
    """Replay the plan.

    Raises:
        PlanCheckFailed: with every finding, each a sentence that names the asset or site and the step.
    """
    findings = _shape_findings(problem, plan)
    if not findings:
        energy_kwh = _replay(problem, plan, findings)
        _check_needs(problem, plan, energy_kwh, findings)
        _check_groups(problem, plan, energy_kwh, findings)
        _check_portfolio(problem, plan, findings)
        _check_reserves(problem, plan, findings)
        _check_bound(plan, findings)
    if findings:
        raise PlanCheckFailed(findings)


def _shape_findings(problem: DispatchProblem, plan: DispatchPlan) -> list[str]:
    shape = len(problem.assets), problem.horizon.steps
    findings = []
    if plan.power_kw.shape != shape or plan.energy_kwh.shape != shape:
        findings.append(f"set-points have shape {plan.power_kw.shape}, not {shape}")
    elif not (np.all(np.isfinite(plan.power_kw)) and np.all(np.isfinite(plan.energy_kwh))):
        findings.append("a set-point or energy is not a number")
    if not np.all(np.isfinite(plan.computing_kw)):
        findings.append("the power of a computer is not a number")
    return findings


def _replay(problem: DispatchProblem, plan: DispatchPlan, findings: list[str]) -> Numbers:
    """Step by step: window, power limits, energy balance, capacity."""
    assets, steps = problem.assets, problem.horizon.steps
    energy = np.array(assets.energy_kwh, dtype=np.float64)
    energies = np.zeros((len(assets), steps))
    ceiling = np.maximum(assets.capacity_kwh, assets.energy_kwh)
    allowed = assets.allowed_part(slice(None))
    for step in range(steps):
        hours, power = float(problem.horizon.step_h[step]), plan.power_kw[:, step]
        usable = np.where((assets.arrival_step <= step) & (step < assets.departure_step), 1.0, 0.0)
        if assets.availability is not None:
            usable = usable * assets.availability[:, step]
        may_give = usable * np.broadcast_to(allowed, (len(assets), steps))[:, step]
        energy = energy + np.where(
            power > 0, hours * power * assets.charge_efficiency, hours * power / assets.discharge_efficiency
        )
        energies[:, step] = energy
        taken_kw, given_kw = (
            power_at_energy(assets.charge_curve, energy),
            power_at_energy(assets.discharge_curve, energy),
        )
        for bad, what in (
            (power > taken_kw * usable + TOLERANCE_KW, "charges beyond what its battery takes when so full"),
            (-power > given_kw * usable + TOLERANCE_KW, "discharges beyond what its battery gives when so empty"),
            (power > assets.charge_kw * usable + TOLERANCE_KW, "charges beyond its limit"),
            (-power > assets.discharge_kw * may_give + TOLERANCE_KW, "discharges beyond its limit"),
            (energy > ceiling + TOLERANCE_KWH, "is charged beyond its capacity"),
            (energy < -TOLERANCE_KWH, "is discharged below empty"),
            (plan.set_point_kw[:, step] > assets.charge_kw + TOLERANCE_KW, "would be sent more than it can charge"),
            (-plan.set_point_kw[:, step] > assets.discharge_kw + TOLERANCE_KW, "would be sent more than it can give"),
            (np.abs(energy - plan.energy_kwh[:, step]) > TOLERANCE_KWH, "does not hold the energy that the plan says"),
        ):
            findings.extend(f"asset {assets.asset_id[row]} {what} in step {step}" for row in np.flatnonzero(bad))
    return energies


def power_at_energy(points: Numbers | None, energy_kwh: Numbers) -> Numbers:  # [asset] or [asset, step]
    """What a curve allows at an energy: the lowest of the straight lines through its points, but not below zero."""
    energy = np.asarray(energy_kwh, dtype=np.float64)
    allowed = np.full(energy.shape, 1e12)
    if points is None:
        return allowed
    for place in range(points.shape[1] - 1):
        (from_kwh, from_kw), (to_kwh, to_kw) = points[:, place].T, points[:, place + 1].T
        with np.errstate(invalid="ignore"):
            slope = (to_kw - from_kw) / (to_kwh - from_kwh)
        if energy.ndim > 1:
            slope, from_kwh, from_kw = slope[:, None], from_kwh[:, None], from_kw[:, None]
        allowed = np.fmin(allowed, from_kw + (energy - from_kwh) * slope)  # NaN: no such point
    return np.maximum(allowed, 0.0)


def _check_needs(problem: DispatchProblem, plan: DispatchPlan, energy_kwh: Numbers, findings: list[str]) -> None:
    """Departure needs and floors, less what is listed."""
    assets = problem.assets
    need_listed = {miss.asset_id: miss.kwh for miss in plan.missed if miss.kind is MissKind.DEPARTURE_NEED}
    early_listed = {miss.asset_id: miss.kwh for miss in plan.missed if miss.kind is MissKind.EARLY_NEED}
    floor_listed = {miss.asset_id: miss.kwh for miss in plan.missed if miss.kind is MissKind.FLOOR}
    for row in range(len(assets)):
        name, first, end = assets.asset_id[row], int(assets.arrival_step[row]), int(assets.departure_step[row])
        final = energy_kwh[row, end - 1] if end > 0 else assets.energy_kwh[row]
        if final + need_listed.get(name, 0.0) < assets.required_kwh[row] - TOLERANCE_KWH:
            findings.append(f"asset {name} leaves in step {end} with less than its need, and it is not listed")
        ready = end if assets.ready_step is None else max(int(assets.ready_step[row]) - 1, first)
        early = energy_kwh[row, ready : max(end - 1, 0)]
        if early.size and early.min() + early_listed.get(name, 0.0) < assets.required_kwh[row] - TOLERANCE_KWH:
            findings.append(f"asset {name} is not ready from step {ready} on, and it is not listed")
        inside = energy_kwh[row, first:end]
        wanted = np.full(inside.size, assets.floor_kwh[row])
        if assets.milestone_kwh is not None:
            wanted = np.fmax(wanted, assets.milestone_kwh[row, first:end])
        short = wanted - inside - floor_listed.get(name, 0.0)
        if short.size and short.max() > TOLERANCE_KWH:
            step = first + int(short.argmax())
            findings.append(f"asset {name} falls below its floor in step {step}, and it is not listed")


def _check_groups(problem: DispatchProblem, plan: DispatchPlan, energy_kwh: Numbers, findings: list[str]) -> None:
    """Limits of sites and nodes, and emergency reserves, less what is listed."""
    listed: dict[tuple[MissKind, object, int], float] = {}
    for miss in plan.missed:
        if miss.kind in (MissKind.SITE_IMPORT_LIMIT, MissKind.SITE_EXPORT_LIMIT):
            listed[miss.kind, miss.site_id, miss.step] = miss.kw
    for groups, of_assets, of_computers in _groupings(problem):
        for row, (name, load) in enumerate(
            zip(groups.site_id, _group_load_kw(groups, of_assets, of_computers, plan), strict=True)
        ):
            for kind, beyond in (
                (MissKind.SITE_IMPORT_LIMIT, load - groups.import_limit_kw[row]),
                (MissKind.SITE_EXPORT_LIMIT, -groups.export_limit_kw[row] - load),
            ):
                for step in np.flatnonzero(beyond > TOLERANCE_KW):
                    if beyond[step] > listed.get((kind, name, int(step)), 0.0) + TOLERANCE_KW:
                        findings.append(f"site {name} breaks its {kind.value} in step {step}, and it is not listed")
    _check_emergency_reserves(problem, plan, energy_kwh, problem.sites, findings)


def _groupings(problem: DispatchProblem) -> list[tuple[SiteLimits, Indices, Indices | None]]:
    """Sites and nodes as far as there are any, with the row of every asset and of every computer in them."""
    computing = problem.computing
    pairs = ((problem.sites, "site_index"), (problem.nodes, "node_index"))
    return [
        (groups, getattr(problem.assets, name), None if computing is None else getattr(computing, name))
        for groups, name in pairs
        if groups is not None
    ]


def _group_load_kw(
    groups: SiteLimits, of_assets: Indices, of_computers: Indices | None, plan: DispatchPlan
) -> Numbers:  # [group, step]
    load_kw = np.array(groups.base_load_kw, dtype=np.float64)
    for row in range(load_kw.shape[0]):
        load_kw[row] += plan.power_kw[of_assets == row].sum(axis=0)
        if of_computers is not None:
            load_kw[row] += plan.computing_kw[of_computers == row].sum(axis=0)
    return load_kw


def _check_emergency_reserves(
    problem: DispatchProblem,
    plan: DispatchPlan,
    energy_kwh: Numbers,
    sites: SiteLimits | None,
    findings: list[str],
) -> None:
    assets = problem.assets
    if sites is None or sites.emergency_reserve_kwh is None:
        return
    listed = {miss.site_id: miss.kwh for miss in plan.missed if miss.kind is MissKind.EMERGENCY_RESERVE}
    holds = np.zeros(len(assets), dtype=np.bool_) if assets.holds_reserve is None else assets.holds_reserve
    for row, name in enumerate(sites.site_id):
        for step in range(problem.horizon.steps):
            here = holds & (assets.site_index == row) & (assets.arrival_step <= step) & (step < assets.departure_step)
            held = float(energy_kwh[here, step].sum()) + listed.get(name, 0.0)
            if held < sites.emergency_reserve_kwh[row] - TOLERANCE_KWH:
                findings.append(f"site {name} holds less than its emergency reserve in step {step}, not listed")
                break


def _check_portfolio(problem: DispatchProblem, plan: DispatchPlan, findings: list[str]) -> None:
    """Soft limits and targets must be listed where missed; computers and the stated cost must be possible."""
    total = plan.power_kw.sum(axis=0) + plan.computing_kw.sum(axis=0)
    missed_kw = {(miss.kind, miss.event_id, miss.step): miss.kw for miss in plan.missed}
    load = problem.base_load_kw + total
    for kind, beyond in (
        (MissKind.PORTFOLIO_IMPORT_LIMIT, load - problem.import_limit_kw),
        (MissKind.PORTFOLIO_EXPORT_LIMIT, -problem.export_limit_kw - load),
    ):
        for step in np.flatnonzero(beyond > TOLERANCE_KW):
            if abs(missed_kw.get((kind, None, int(step)), 0.0) - beyond[step]) > TOLERANCE_KW:
                findings.append(f"the {kind.value} is broken in step {step}, and it is not listed")
    if problem.computing is not None:
        most = problem.computing.power_kw[:, None] * problem.computing.availability
        bad = (plan.computing_kw > most + TOLERANCE_KW) | (plan.computing_kw < -TOLERANCE_KW)
        for row in np.flatnonzero(bad.any(axis=1)):
            findings.append(f"computer {problem.computing.computer_id[row]} draws what it cannot")
    for target in problem.targets:
        if target.direction.value != "exactly":
            continue
        taking_part = plan.power_kw if target.participates is None else plan.power_kw[target.participates]
        total = taking_part.sum(axis=0) + (plan.computing_kw.sum(axis=0) if target.includes_computing else 0.0)
        off = np.abs(np.nan_to_num(total - target.target_power_kw))
        for step in np.flatnonzero(off > TOLERANCE_KW):
            if abs(missed_kw.get((MissKind.EVENT_TARGET, target.event_id, int(step)), 0.0) - off[step]) > TOLERANCE_KW:
                findings.append(f"event {target.event_id} is off target in step {step}, and it is not listed")


def _check_reserves(problem: DispatchProblem, plan: DispatchPlan, findings: list[str]) -> None:
    """What is sold is held, and what is held can be delivered."""
    if not problem.reserves:
        return
    held_kw = np.stack([plan.held_kw[product.product] for product in problem.reserves])
    findings += undeliverable(problem, np.arange(len(problem.assets)), plan.power_kw, held_kw)
    load_kw = [
        _group_load_kw(groups, of_assets, of_computers, plan) for groups, of_assets, of_computers in _groupings(problem)
    ]
    findings += oversold(problem, load_kw, held_kw, plan.reserve_kw)


def _check_bound(plan: DispatchPlan, findings: list[str]) -> None:
    slack = RELATIVE_COST_TOLERANCE * max(1.0, abs(plan.lower_bound))
    if not (np.isfinite(plan.cost) and np.isfinite(plan.lower_bound)):
        findings.append("the cost or its bound is not a number")
    elif plan.cost < plan.lower_bound - slack:
        findings.append(f"the cost {plan.cost:.6f} lies below its own lower bound {plan.lower_bound:.6f}")
