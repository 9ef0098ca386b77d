"""What a set of set-points comes to: energies, cost, and the promises it misses, from the numbers alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.model import side_prices
from aggregator.core.dispatch.preparation import PreparedProblem, sum_by_group
from aggregator.core.dispatch.problem import DispatchProblem, EventTarget, SiteLimits
from aggregator.core.dispatch.promised_reserves import missed_reserves
from aggregator.core.dispatch.result import MissedPromise, MissKind, early_need_missed
from common.horizon import Horizon
from fleet.core.flexibility import FlexibleAssets, most_reachable_kwh

Numbers = NDArray[np.float64]

# Smaller misses are rounding, not broken promises.
NEGLIGIBLE_KW = 1e-3
NEGLIGIBLE_KWH = 1e-3


def replay_energy(assets: FlexibleAssets, horizon: Horizon, power_kw: Numbers) -> Numbers:  # [asset, step]
    """Energy at the end of every step: e + Σ step_h · (η_c · charge − discharge / η_d)."""
    gain_kw = assets.charge_efficiency[:, None] * np.maximum(power_kw, 0.0)
    loss_kw = np.maximum(-power_kw, 0.0) / assets.discharge_efficiency[:, None]
    return assets.energy_kwh[:, None] + np.cumsum(horizon.step_h * (gain_kw - loss_kw), axis=1)


def plan_cost(
    problem: DispatchProblem, power_kw: Numbers, computing_kw: Numbers, reserve_kw: dict[str, Numbers]
) -> float:
    """Energy at its price, wear, kWh beyond soft limits and targets at theirs, less computing and reserve earnings."""
    hours, total_kw = problem.horizon.step_h, power_kw.sum(axis=0) + computing_kw.sum(axis=0)
    wear = problem.assets.wear_per_kwh[:, None] * np.maximum(-power_kw, 0.0)
    cost = float(hours @ (problem.price_per_kwh * total_kw + wear.sum(axis=0)))
    above_kw, below_kw = beyond_portfolio_limits(problem, total_kw)
    cost += float((hours * problem.missed_price_per_kwh) @ (above_kw + below_kw))
    for target in problem.targets:
        over_kw, under_kw = off_target(target, power_kw, computing_kw)
        over_price, under_price = side_prices(target, problem.horizon.steps)
        cost += float(hours @ (over_price * over_kw + under_price * under_kw))
    if problem.computing is not None:
        cost -= float(hours @ (problem.computing.value_per_kwh * computing_kw).sum(axis=0))
    for product in problem.reserves:
        held_kw = reserve_kw[product.product]
        cost -= float((np.broadcast_to(product.price_per_kw, held_kw.shape) * held_kw).sum())
        if product.committed_kw is not None:
            cost += product.missed_price_per_kw * float(np.maximum(product.committed_kw - held_kw, 0.0).sum())
    return cost


def beyond_portfolio_limits(problem: DispatchProblem, total_kw: Numbers) -> tuple[Numbers, Numbers]:  # [step] each
    """Power above the portfolio's import limit, and below its export limit."""
    load_kw = problem.base_load_kw + total_kw
    above = np.maximum(load_kw - problem.import_limit_kw, 0.0)
    return above, np.maximum(-problem.export_limit_kw - load_kw, 0.0)


def off_target(target: EventTarget, power_kw: Numbers, computing_kw: Numbers) -> tuple[Numbers, Numbers]:
    """Power above and below an event's target in every step; zero outside the event."""
    taking_part = power_kw if target.participates is None else power_kw[target.participates]
    total_kw = taking_part.sum(axis=0) + (computing_kw.sum(axis=0) if target.includes_computing else 0.0)
    off_kw = np.nan_to_num(total_kw - target.target_power_kw, nan=0.0)
    return np.maximum(off_kw, 0.0), np.maximum(-off_kw, 0.0)


def group_load_kw(
    problem: DispatchProblem, groups: SiteLimits, index_name: str, power_kw: Numbers, computing_kw: Numbers
) -> Numbers:  # [group, step]
    """Load of every site or node: base load, set-points and computing."""
    load_kw = groups.base_load_kw + sum_by_group(power_kw, getattr(problem.assets, index_name), len(groups.site_id))
    if problem.computing is not None:
        load_kw = load_kw + sum_by_group(computing_kw, getattr(problem.computing, index_name), len(groups.site_id))
    return load_kw


def missed_promises(
    prepared: PreparedProblem,
    power_kw: Numbers,
    energy_kwh: Numbers,
    computing_kw: Numbers,
    reserve_kw: dict[str, Numbers],
) -> tuple[MissedPromise, ...]:
    """Every promise that the set-points do not keep: safety first, then reserves for emergencies, drivers, markets."""
    problem = prepared.original
    return (
        *_missed_group_limits(problem, power_kw, computing_kw),
        *_missed_emergency_reserves(problem, energy_kwh),
        *_missed_departure_needs(problem, energy_kwh),
        *_missed_early_needs(problem, energy_kwh),
        *_missed_floors(problem, energy_kwh),
        *_missed_portfolio_limits(problem, power_kw, computing_kw),
        *_missed_targets(problem, power_kw, computing_kw),
        *missed_reserves(problem, reserve_kw),
    )


def _missed_group_limits(problem: DispatchProblem, power_kw: Numbers, computing_kw: Numbers) -> Iterator[MissedPromise]:
    for index_name, groups in (("site_index", problem.sites), ("node_index", problem.nodes)):
        if groups is None:
            continue
        load_kw = group_load_kw(problem, groups, index_name, power_kw, computing_kw)
        for kind, beyond_kw, word in (
            (MissKind.SITE_IMPORT_LIMIT, load_kw - groups.import_limit_kw, "draws"),
            (MissKind.SITE_EXPORT_LIMIT, -groups.export_limit_kw - load_kw, "feeds in"),
        ):
            for row, step in zip(*np.nonzero(beyond_kw > NEGLIGIBLE_KW), strict=True):
                kw = float(beyond_kw[row, step])
                base_kw = float(groups.base_load_kw[row, step])
                reason = f"{word} {kw:.1f} kW beyond its limit; its load that cannot be steered is {base_kw:.1f} kW"
                yield _missed(problem, kind, int(step), kw, reason, site_id=groups.site_id[row])


def _missed_emergency_reserves(problem: DispatchProblem, energy_kwh: Numbers) -> Iterator[MissedPromise]:
    sites, assets, steps = problem.sites, problem.assets, problem.horizon.steps
    if sites is None or sites.emergency_reserve_kwh is None:
        return
    holds = np.zeros(len(assets), dtype=np.bool_) if assets.holds_reserve is None else assets.holds_reserve
    held = sum_by_group(energy_kwh * assets.plugged(steps) * holds[:, None], assets.site_index, len(sites.site_id))
    short_kwh = sites.emergency_reserve_kwh[:, None] - held
    for row in np.flatnonzero((short_kwh > NEGLIGIBLE_KWH).any(axis=1)):
        step, missing = int(short_kwh[row].argmax()), int((short_kwh[row] > NEGLIGIBLE_KWH).sum())
        yield MissedPromise(
            MissKind.EMERGENCY_RESERVE,
            step,
            0.0,
            float(short_kwh[row, step]),
            0.0,
            0.0,
            f"the packs hold less than the reserve in {missing} steps, at worst {held[row, step]:.1f} kWh of "
            f"{float(sites.emergency_reserve_kwh[row]):.1f} kWh, though they charge as hard as they may",
            site_id=sites.site_id[row],
        )


def _missed_departure_needs(problem: DispatchProblem, energy_kwh: Numbers) -> Iterator[MissedPromise]:
    assets, horizon = problem.assets, problem.horizon
    if not len(assets):
        return
    last = assets.departure_step - 1
    at_departure = np.where(last >= 0, energy_kwh[np.arange(len(assets)), np.maximum(last, 0)], assets.energy_kwh)
    reachable = most_reachable_kwh(assets, horizon)[np.arange(len(assets)), np.maximum(last, 0)]
    for row in np.flatnonzero(assets.required_kwh - at_departure > NEGLIGIBLE_KWH):
        kwh = float(assets.required_kwh[row] - at_departure[row])
        start, end = int(assets.arrival_step[row]), int(assets.departure_step[row])
        stay_h = float(horizon.step_h[start:end].sum())
        reason = "the limits of its site or node leave no more power"
        if assets.fixed_power_kw is not None and not np.isnan(assets.fixed_power_kw[row, start:end]).all():
            reason = "its power is fixed by its owner or device for part of the stay"
        elif assets.required_kwh[row] - reachable[row] > NEGLIGIBLE_KWH:
            reason = f"even charging at full power for {stay_h:.2f} h it reaches only {float(reachable[row]):.1f} kWh"
        yield MissedPromise(
            MissKind.DEPARTURE_NEED,
            max(end - 1, 0),
            kwh / stay_h if stay_h > 0 else 0.0,
            kwh,
            0.0,
            0.0,
            reason,
            asset_id=assets.asset_id[row],
        )


def _missed_early_needs(problem: DispatchProblem, energy_kwh: Numbers) -> Iterator[MissedPromise]:
    """Needs that would be short if the driver left as early as the plan's probability allows for."""
    assets, steps = problem.assets, problem.horizon.steps
    if assets.ready_step is None:
        return
    short_kwh = np.where(assets.ready(steps), assets.required_kwh[:, None] - energy_kwh, 0.0)
    for row in np.flatnonzero((short_kwh > NEGLIGIBLE_KWH).any(axis=1)):
        yield early_need_missed(assets, int(row), int(short_kwh[row].argmax()), float(short_kwh[row].max()))


def _missed_floors(problem: DispatchProblem, energy_kwh: Numbers) -> Iterator[MissedPromise]:
    assets = problem.assets
    wanted_kwh = np.repeat(assets.floor_kwh[:, None], problem.horizon.steps, axis=1)
    if assets.milestone_kwh is not None:
        wanted_kwh = np.fmax(wanted_kwh, assets.milestone_kwh)
    short_kwh = (wanted_kwh - energy_kwh) * assets.plugged(problem.horizon.steps)
    for row in np.flatnonzero((short_kwh > NEGLIGIBLE_KWH).any(axis=1)):
        step, missing = int(short_kwh[row].argmax()), int((short_kwh[row] > NEGLIGIBLE_KWH).sum())
        arrived = (
            "it arrived below its floor" if assets.energy_kwh[row] < assets.floor_kwh[row] else "its power is bound"
        )
        yield MissedPromise(
            MissKind.FLOOR,
            step,
            0.0,
            float(short_kwh[row, step]),
            0.0,
            0.0,
            f"below its floor or milestone in {missing} steps: {arrived}",
            asset_id=assets.asset_id[row],
        )


def _missed_portfolio_limits(
    problem: DispatchProblem, power_kw: Numbers, computing_kw: Numbers
) -> Iterator[MissedPromise]:
    above_kw, below_kw = beyond_portfolio_limits(problem, power_kw.sum(axis=0) + computing_kw.sum(axis=0))
    for kind, beyond_kw, word in (
        (MissKind.PORTFOLIO_IMPORT_LIMIT, above_kw, "import"),
        (MissKind.PORTFOLIO_EXPORT_LIMIT, below_kw, "export"),
    ):
        for step in np.flatnonzero(beyond_kw > NEGLIGIBLE_KW):
            price = float(problem.missed_price_per_kwh[step])
            reason = f"keeping the {word} limit would break a driver's need, or cost more than {price:g} per kWh"
            yield _missed(problem, kind, int(step), float(beyond_kw[step]), reason, price=price)


def _missed_targets(problem: DispatchProblem, power_kw: Numbers, computing_kw: Numbers) -> Iterator[MissedPromise]:
    for target in problem.targets:
        prices = side_prices(target, problem.horizon.steps)
        for off_kw, side_price, word in zip(
            off_target(target, power_kw, computing_kw), prices, ("above", "below"), strict=True
        ):
            for step in np.flatnonzero((off_kw > NEGLIGIBLE_KW) & (side_price > 0)):
                kw, price = float(off_kw[step]), float(side_price[step])
                reason = f"{kw:.1f} kW {word} the target of {float(target.target_power_kw[step]):.1f} kW"
                yield _missed(problem, target.missed_as, int(step), kw, reason, price=price, event_id=target.event_id)


def _missed(
    problem: DispatchProblem,
    kind: MissKind,
    step: int,
    kw: float,
    reason: str,
    *,
    price: float = 0.0,
    site_id: object = None,
    event_id: object = None,
) -> MissedPromise:
    kwh = kw * float(problem.horizon.step_h[step])
    return MissedPromise(kind, step, kw, kwh, price, price * kwh, reason, site_id=site_id, event_id=event_id)
