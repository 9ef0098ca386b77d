"""What the market and the sites' limits make of held reserves: rows over the series of power and of every product.

Of a product with price p, at most max_kw is taken, and what is missing of committed_kw costs p_missed per kW:

    earns p · min(Σ r, max) − p_missed · (min(committed, max) − Σ r)⁺ − p_missed · (committed − max)⁺,

which is a row with limits min(committed, max) ≤ Σ r ≤ max, soft at p_missed below and at p above: what is held beyond max earns
nothing, and is not sold. Of a site, a call of everything that is held must fit its limits as well:

    base_load + Σ (c − d) + Σ r(down) ≤ import_limit,      base_load + Σ (c − d) − Σ r(up) ≥ −export_limit.

With r ≥ 0 these take the place of the limits of Σ (c − d) alone. A site whose own load leaves less holds less.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.preparation import sum_by_group
from aggregator.core.dispatch.problem import DispatchProblem, ReserveDirection, SiteLimits

Numbers = NDArray[np.float64]


def market_limits(problem: DispatchProblem) -> tuple[Numbers, Numbers, Numbers]:  # [product, step] each
    """Most that each product takes, what is committed of it, and its price."""
    steps = problem.horizon.steps

    def spread(values: object) -> Numbers:
        return np.broadcast_to(np.asarray(0.0 if values is None else values, dtype=np.float64), (steps,))

    products = problem.reserves
    empty = np.zeros((0, steps))
    return (
        np.array([spread(one.max_kw) for one in products]) if products else empty,
        np.array([spread(one.committed_kw) for one in products]) if products else empty,
        np.array([spread(one.price_per_kw) for one in products]) if products else empty,
    )


def with_products(coupling: Coupling, problem: DispatchProblem) -> Coupling:
    """The coupled rows, and a row for what is held of every product."""
    if not problem.reserves:
        return coupling
    most_kw, committed_kw, price = market_limits(problem)
    products, classes = len(problem.reserves), coupling.members.shape[1]
    members = np.zeros((coupling.blocks + products, classes * (1 + products)))
    members[: coupling.blocks, :classes] = coupling.members
    for k in range(products):
        members[coupling.blocks + k, classes * (1 + k) : classes * (2 + k)] = 1.0
    missed = np.array([one.missed_price_per_kw if one.committed_kw is not None else 0.0 for one in problem.reserves])
    wanted_kw = np.minimum(committed_kw, most_kw)
    lower_kw = np.where((missed[:, None] > 0) & (wanted_kw > 0), wanted_kw, -np.inf)
    hours = coupling.step_h
    return Coupling(
        members,
        np.concatenate([coupling.lower_kw, lower_kw]),
        np.concatenate([coupling.upper_kw, most_kw]),
        np.concatenate([coupling.below_price, missed[:, None] / hours]),
        np.concatenate([coupling.above_price, np.maximum(price, 0.0) / hours]),
        hours,
    )


def with_pay(own_price: Numbers, problem: DispatchProblem) -> Numbers:  # [class, step] -> [series, step]
    """Prices of energy by class, and those of what is held: per kW and hour, and negative, because it earns."""
    _, _, price = market_limits(problem)
    return np.concatenate([own_price, -np.repeat(price, own_price.shape[0], axis=0) / problem.horizon.step_h])


def never_sold_cost(problem: DispatchProblem) -> float:
    """What commitments beyond what the market takes cost in any plan."""
    most_kw, committed_kw, _ = market_limits(problem)
    missed = np.array([one.missed_price_per_kw for one in problem.reserves])
    return float(missed @ np.maximum(committed_kw - most_kw, 0.0).sum(axis=1)) if problem.reserves else 0.0


def with_calls(limits: Coupling, directions: NDArray[np.bool_], classes: int) -> Coupling:
    """A site's one block of power limits as two: what it draws when called down, and what it feeds in when called up."""
    if not directions.size:
        return limits
    members = np.zeros((2, classes * (1 + directions.size)))
    members[:, :classes] = 1.0
    for k, up in enumerate(directions.tolist()):
        members[1 if up else 0, classes * (1 + k) : classes * (2 + k)] = -1.0 if up else 1.0
    free = np.full_like(limits.upper_kw, np.inf)
    return replace(
        limits,
        members=members,
        lower_kw=np.concatenate([-free, limits.lower_kw]),
        upper_kw=np.concatenate([limits.upper_kw, free]),
        below_price=np.repeat(limits.below_price, 2, axis=0),
        above_price=np.repeat(limits.above_price, 2, axis=0),
    )


def fit_calls(
    problem: DispatchProblem,
    power_kw: NDArray[np.float32],
    held_kw: NDArray[np.float32],  # [product, asset, step]
) -> None:
    """Hold less, in place, where a call would go beyond a site's or a node's limit: by the same part for all its assets."""
    for groups, group_of in limited(problem):
        load_kw = groups.base_load_kw + sum_by_group(power_kw.astype(np.float64), group_of, len(groups.site_id))
        for direction, room_kw in (
            (ReserveDirection.UP, load_kw + groups.export_limit_kw),
            (ReserveDirection.DOWN, groups.import_limit_kw - load_kw),
        ):
            chosen = [row for row, one in enumerate(problem.reserves) if one.direction is direction]
            if not chosen:
                continue
            called_kw = sum_by_group(held_kw[chosen].sum(axis=0, dtype=np.float64), group_of, len(groups.site_id))
            fits = np.ones_like(called_kw)
            tight = called_kw > np.maximum(room_kw, 0.0)
            fits[tight] = np.maximum(room_kw[tight], 0.0) / called_kw[tight]
            part = np.append(fits, np.ones((1, fits.shape[1])), axis=0)[group_of]  # −1, no group, reads the last row
            for row in chosen:
                held_kw[row] *= part.astype(np.float32)


def limited(problem: DispatchProblem) -> list[tuple[SiteLimits, NDArray[np.int64]]]:
    """The groupings of the assets that the problem has."""
    pairs = ((problem.sites, problem.assets.site_index), (problem.nodes, problem.assets.node_index))
    return [(groups, group_of) for groups, group_of in pairs if groups is not None]


def sold_kw(problem: DispatchProblem, held_kw: NDArray[np.float32]) -> dict[str, Numbers]:  # product -> [step]
    """What is promised to the market: what all assets hold, as far as it takes it."""
    most_kw, _, _ = market_limits(problem)
    return {
        one.product: np.minimum(held_kw[row].sum(axis=0, dtype=np.float64), most_kw[row])
        for row, one in enumerate(problem.reserves)
    }
