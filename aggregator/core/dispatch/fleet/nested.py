"""Planning a fleet behind limited sites: the portfolio's master over the sites' own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.generation import Generation
from aggregator.core.dispatch.fleet.ladder import Dispatch, Written, dispatch_of
from aggregator.core.dispatch.fleet.population import (
    Population,
    SetPoints,
    Totals,
    hold_what_fits,
    join_blends,
    make_blend,
    write_set_points,
)
from aggregator.core.dispatch.fleet.sites import ExactAnswer, Sites, branches_of, bundles_of
from aggregator.core.dispatch.fleet.statement import Statement, limited_groups
from aggregator.core.dispatch.problem import ComputingLoad, DispatchProblem, ReserveProduct, SiteLimits
from aggregator.core.dispatch.result import PlanStatus
from fleet.core.battery import energy_after_step, power_for_energy_change

Numbers = NDArray[np.float64]
MOST_ROUNDS = 60


def plan_sites(
    statement: Statement,
    *,
    gap: float,
    known_duals: Numbers | None = None,  # [memory, block, step]
    when_written: Written = lambda out_kw: None,
) -> Dispatch:
    """Plan every site within its limits, and all of them within the portfolio's; see `climb` for the rest."""
    limits = statement.site_limits
    assert limits is not None
    coupling = statement.coupling
    everybody, reserve_kwh = statement.population, _emergency_reserve(statement)
    branches = branches_of(
        everybody,
        statement.own_price,
        statement.site_of,
        limits,
        np.zeros(limits.upper_kw.shape[0], dtype=np.bool_) if reserve_kwh is None else reserve_kwh > 0,
        lambda rows, prices: plan_exactly(statement, rows, prices),
    )
    sites = Sites(branches, coupling, bundles_of(branches))
    duals = np.zeros(coupling.lower_kw.shape) if known_duals is None else coupling.clip(known_duals[0])
    generation = Generation(sites, coupling, duals)
    generation.run(gap=gap, most_rounds=MOST_ROUNDS)
    out = SetPoints.nothing(everybody, coupling.step_h.size)
    totals = _write(statement, everybody, sites, generation.shares(), out)
    when_written(out.power_kw)
    given_way = np.zeros(len(everybody), dtype=np.bool_)
    for branch in branches:
        given_way[branch.rows] = branch.gave_way
    duals = generation.best_duals
    bound = sites.bound(duals, gap=gap) if sites.may_burn else generation.lower_bound
    proven = bound, duals[None], generation.rounds
    return dispatch_of(statement, out, totals, *proven, given_way)


def _write(
    statement: Statement,
    everybody: Population,
    sites: Sites,
    shares: Numbers,  # [question, bundle]
    out: SetPoints,
) -> Totals:
    """Write the set-points of all branches as one blend, and what the exact programme planned as it stands."""
    blended = [number for number, branch in enumerate(sites.branches) if not branch.by_programme]
    group, groups, blends = np.zeros(len(everybody), dtype=np.int64), 0, []
    free = np.zeros(len(everybody), dtype=np.bool_)
    for number in blended:
        branch = sites.branches[number]
        group[branch.rows] = groups + branch.crowd.population.group
        free[branch.rows] = True
        groups += branch.crowd.groups
        blends.append(make_blend(np.array(branch.prices), sites.mixed(number, shares)))
    blend = join_blends(blends, statement.own_price.shape)
    full = replace(everybody, group=group, groups=groups)
    totals = write_set_points(full, blend, statement.coupling.step_h, out, np.flatnonzero(free))
    for number in sorted(set(range(len(sites.branches))) - set(blended)):
        totals = _add_planned(statement, totals, sites, number, shares, out)
    return totals


def _add_planned(
    statement: Statement,
    totals: Totals,
    sites: Sites,
    number: int,
    shares: Numbers,
    out: SetPoints,
) -> Totals:
    """Blend what the exact programme planned for a site: energies, as everywhere, and the power that changes them so."""
    rows, step_h = sites.branches[number].rows, statement.coupling.step_h
    physics: dict[str, Any] = {
        "step_h": 1.0,
        "charge_efficiency": statement.assets.charge_efficiency[rows, None],
        "discharge_efficiency": statement.assets.discharge_efficiency[rows, None],
    }
    share = shares[:, sites.bundle[number]]
    plans = [(float(share[question]), answers[number]) for question, answers in enumerate(sites.given)]
    known = [(part, plan) for part, plan in plans if plan.power_kw is not None]
    if not any(part for part, _ in known):  # the mix follows only answers from before the programme took over
        known = [(1.0, known[-1][1])]
    whole, change_kw = sum(part for part, _ in known), np.zeros((rows.size, step_h.size))
    for part, plan in known:
        assert plan.power_kw is not None
        change_kw += part / whole * energy_after_step(0.0, plan.power_kw, **physics)
        if plan.held_kw is not None:
            out.held_kw[:, rows] += (part / whole * plan.held_kw).astype(np.float32)
    blended_kw = power_for_energy_change(change_kw, **physics)
    out.power_kw[rows] = blended_kw
    hold_what_fits(statement.population, rows, step_h, out)
    wear = statement.assets.wear_per_kwh[rows] * (np.maximum(-blended_kw, 0.0) @ step_h)
    more = statement.nothing()
    classes = statement.population.price_class[rows]
    np.add.at(more.power_kw, classes, blended_kw)
    more.power_kw[statement.classes :] = out.series_kw(statement.population, rows, statement.classes)[
        statement.classes :
    ]
    np.add.at(more.wear, classes, wear)
    return totals.plus(more)


def plan_exactly(statement: Statement, rows: NDArray[np.int64], prices: Numbers) -> ExactAnswer:
    """Plan one site by the exact programme, at the mean of its classes' prices."""
    from aggregator.core.dispatch import solve

    groups, _ = limited_groups(statement.problem)
    limits, site = statement.site_limits, int(statement.site_of[rows[0]])
    assert groups is not None and limits is not None
    here, step_h = slice(site, site + 1), statement.coupling.step_h
    # the limits of the statement are what the base load leaves; without any limit in a step the load is of no account
    upper_kw, lower_kw = limits.upper_kw[here], limits.lower_kw[here]
    base_kw = np.zeros(upper_kw.shape)
    for own_kw, left_kw in ((-groups.export_limit_kw[here], lower_kw), (groups.import_limit_kw[here], upper_kw)):
        known = np.isfinite(left_kw)
        base_kw[known] = own_kw[known] - left_kw[known]
    true, computers = rows[statement.earner[rows] == 0], rows[statement.earner[rows] > 0]
    classes = statement.population.price_class
    price = prices[classes[true]].mean(axis=0) if true.size else statement.problem.price_per_kwh
    reserve_kwh = _emergency_reserve(statement)
    count = true.size
    plan = solve(
        DispatchProblem(
            assets=replace(
                statement.assets.select(true),
                site_index=np.zeros(count, dtype=np.int64),
                node_index=np.full(count, -1),
            ),
            horizon=statement.problem.horizon,
            price_per_kwh=price,
            sites=SiteLimits(
                groups.site_id[here],
                base_kw,
                groups.import_limit_kw[here],
                groups.export_limit_kw[here],
                None if reserve_kwh is None else reserve_kwh[here],
            ),
            computing=_computing(statement, computers, price - prices[classes[computers]]),
            reserves=_products(statement, true, prices),
        )
    )
    held_kw = np.zeros((len(statement.problem.reserves), rows.size, step_h.size))
    for k, product in enumerate(statement.problem.reserves):
        held_kw[k, statement.earner[rows] == 0] = plan.held_kw[product.product]
    power_kw = np.zeros((rows.size, step_h.size))
    power_kw[statement.earner[rows] == 0], power_kw[statement.earner[rows] > 0] = plan.power_kw, plan.computing_kw
    off = prices[classes[true]] - price  # where classes see different prices, the bound gives way by what that can make
    most_kw = np.maximum(statement.assets.charge_kw[true], statement.assets.discharge_kw[true])
    slack = float(np.sum(np.abs(off) * most_kw[:, None] * step_h))
    return ExactAnswer(
        power_kw,
        held_kw,
        plan.cost + float(np.sum(off * plan.power_kw * step_h)),
        plan.lower_bound - slack,
        plan.status is PlanStatus.BEST_EFFORT,
    )


def _products(
    statement: Statement,
    rows: NDArray[np.int64],
    prices: Numbers,  # [series, step]
) -> tuple[ReserveProduct, ...]:
    """The products as some assets see them: at what they are worth now, in any amount."""
    holding, problem = statement.population.holding, statement.problem
    if holding is None:
        return ()
    worth = (
        -prices[statement.classes :: statement.classes] * problem.horizon.step_h
    )  # a product is worth the same to all
    return tuple(
        ReserveProduct(
            product.product,
            product.direction,
            worth[k],
            product.duration_h,
            np.where(holding.is_open[k] & (worth[k] > 0), np.inf, 0.0),
            participates=holding.may_hold[rows, k],
        )
        for k, product in enumerate(problem.reserves)
    )


def _emergency_reserve(statement: Statement) -> Numbers | None:  # [site]
    groups, _ = limited_groups(statement.problem)
    return None if groups is None else groups.emergency_reserve_kwh


def _computing(statement: Statement, rows: NDArray[np.int64], value_per_kwh: Numbers) -> ComputingLoad | None:
    """Computers among the assets as computers again, worth what their price lies below the others'."""
    if not rows.size:
        return None
    assets = statement.assets.select(rows)
    assert assets.availability is not None  # computers always have one
    return ComputingLoad(
        rows,
        np.zeros(rows.size, dtype=np.int64),
        np.full(rows.size, -1),
        assets.charge_kw,
        value_per_kwh,
        assets.availability,
    )
