"""From a problem to a plan: small samples find the prices, everybody answers them, and a last sample closes what is left.

1. A thousand assets stand for all, and find prices in milliseconds; larger samples start from what the smaller one
   learnt and need few rounds more.
2. Everybody's cheapest answer to the last prices is the proven lower bound.
3. Most others follow one of the prices in their group's mix, dealt out with the mix's shares. A sample knows a group to
   within a percent, so their sum is off by as much. The sample, now standing for those still to come, is planned once more
   in the room that is left; and so on, an eighth of them at a time being kept back.
4. At last it stands for itself alone, and blends its answers exactly.

A fleet no larger than a sample skips steps 2 and 3: it is its own last sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.answers import Answer, Crowd
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.generation import KEPT_SHARE, Generation
from aggregator.core.dispatch.fleet.population import (
    Blend,
    Population,
    SetPoints,
    Totals,
    make_blend,
    write_set_points,
)
from aggregator.core.dispatch.fleet.reserve_rows import fit_calls, market_limits
from aggregator.core.dispatch.fleet.statement import Statement

Numbers = NDArray[np.float64]
Written = Callable[[NDArray[np.float32]], None]

SEED = 20_261_124
GOLDEN_SECTION = 0.6180339887498949
FIRST_SAMPLE = 1_000
SAMPLE_GROWTH = 8
# The prices of so many miss those of a million by so little that the bound loses about 1e-4, or half of that.
LAST_SAMPLE, FINE_SAMPLE = 16_000, 32_000
HOLDING_FEWER = 4  # an asset that may hold reserves takes a hundred times as long to answer
COARSE_GAP = 5e-4
MOST_ROUNDS = 200
LEAST_IN_GROUP = 4
KEPT_BACK = 8  # one of so many waits until the others are known


@dataclass(frozen=True, eq=False)
class Dispatch:
    """Set-points of a whole fleet.

    Attributes:
        power_kw: of every asset in every step.
        held_kw: what every asset holds of each reserve product.
        block_power_kw: sums of the coupled blocks, without what was fixed before.
        own_cost: energy at its price, and wear; what missed commitments cost, less what reserves earn.
        missed_cost: what lies beyond the coupled limits of power, at its price.
        lower_bound: no plan costs less.
        duals: of the coupled rows: first those that prove the bound, then those that the mix follows.
        rounds: of prices that were asked for, over all samples.
        given_way: assets at sites whose safety limits leave less than their drivers need.
    """

    power_kw: NDArray[np.float32]  # [asset, step]
    held_kw: NDArray[np.float32]  # [product, asset, step]
    block_power_kw: Numbers  # [block, step]
    own_cost: float
    missed_cost: float
    lower_bound: float
    duals: Numbers  # [memory, block, step]
    rounds: int
    given_way: NDArray[np.bool_]  # [asset]

    @property
    def cost(self) -> float:
        """All of it."""
        return self.own_cost + self.missed_cost


def climb(
    statement: Statement,
    *,
    gap: float,
    known_duals: Numbers | None = None,  # [memory, block, step]
    when_written: Written = lambda out_kw: None,
) -> Dispatch:
    """Plan a fleet to a proven gap.

    Args:
        known_duals: `Dispatch.duals` of an earlier plan of much the same fleet: the small samples are left out then.
        when_written: called with all set-points as soon as they stand, before the bound is proven.
    """
    generator = np.random.default_rng(SEED)
    everybody, coupling = statement.population, statement.coupling
    generation: Generation | None = None
    crowd: Crowd | None = None
    rounds, rows = 0, np.arange(len(everybody))
    sizes = sample_sizes(len(everybody), gap, holds=everybody.holding is not None)
    shuffled = Shuffled.of(everybody, generator) if len(sizes) > 1 else None
    for size in sizes:
        population = everybody
        if shuffled is not None and size < len(everybody):
            population, rows = shuffled.sample(size)
        earlier = generation
        crowd = _crowd(statement, population, coupling)
        generation = Generation(crowd, coupling, np.zeros(coupling.lower_kw.shape))
        if earlier is not None:
            generation.learn_from(earlier)
        if earlier is None and known_duals is not None:
            generation.begin_with(known_duals)
        generation.run(gap=gap / 2, most_rounds=MOST_ROUNDS)
        rounds += generation.rounds
    assert generation is not None and crowd is not None
    out = SetPoints.nothing(everybody, coupling.step_h.size)
    if rows.size < len(everybody):
        return _close(statement, crowd, generation, rows, gap, out, generator, rounds, when_written)
    totals = write_set_points(everybody, _blend(crowd, generation), coupling.step_h, out, rows)
    when_written(out.power_kw)
    duals = generation.best_duals
    bound = crowd.bound(duals) if crowd.may_burn(duals) else generation.lower_bound
    return dispatch_of(statement, out, totals, bound, generation.worth_knowing(), rounds)


def sample_sizes(count: int, gap: float, *, holds: bool = False) -> list[int]:
    """Sizes of the samples, growing; the last is the fleet itself where that costs no more."""
    last = LAST_SAMPLE if gap >= COARSE_GAP else FINE_SAMPLE
    if holds:
        last //= HOLDING_FEWER
    sizes = [last if count > last * 3 // 2 else count]
    while sizes[0] > 3 * FIRST_SAMPLE:
        sizes.insert(0, max(FIRST_SAMPLE, sizes[0] // SAMPLE_GROWTH))
    return sizes


@dataclass(frozen=True, eq=False)
class Shuffled:
    """A population in an order of luck, group by group: its samples are beginnings of every group.

    Attributes:
        rows: of the population, a group after another, shuffled within.
        rank: place of each of them in its group.
        members: number of assets in each group.
    """

    population: Population
    rows: NDArray[np.int64]
    rank: NDArray[np.int64]
    members: NDArray[np.int64]

    @classmethod
    def of(cls, population: Population, generator: np.random.Generator) -> Shuffled:
        """Shuffle once; every sample is then a cut."""
        group, members = population.group, np.bincount(population.group, minlength=population.groups)
        order = generator.permutation(group.size)
        rows = order[np.argsort(compact(group[order]), kind="stable")]
        return cls(population, rows, np.arange(group.size) - np.repeat(np.cumsum(members) - members, members), members)

    def sample(self, size: int) -> tuple[Population, NDArray[np.int64]]:
        """A sample with members of every group, each standing for its share of the group; and its rows."""
        wanted = np.minimum(self.members, np.maximum(LEAST_IN_GROUP, -(-size * self.members // self.rows.size)))
        rows = np.sort(self.rows[self.rank < np.repeat(wanted, self.members)])
        weight = self.members / np.maximum(wanted, 1)
        return self.population.select(rows, weight[self.population.group[rows]]), rows


def _crowd(statement: Statement, population: Population, coupling: Coupling) -> Crowd:
    return Crowd(population, coupling, statement.own_price, statement.group_class)


def _blend(crowd: Crowd, generation: Generation) -> Blend:
    """The master's mix as prices that assets follow."""
    prices = np.array([crowd.prices(duals) for duals in generation.memory])
    return make_blend(prices.reshape(len(generation.memory), *crowd.own_price.shape), generation.shares())


def _close(
    statement: Statement,
    crowd: Crowd,
    sampled: Generation,
    rows: NDArray[np.int64],
    gap: float,
    out: SetPoints,
    generator: np.random.Generator,
    rounds: int,
    when_written: Written,
) -> Dispatch:
    """Steps 2 to 4; the bound comes last, because devices need not wait for it."""
    everybody, coupling = statement.population, statement.coupling
    others = np.ones(len(everybody), dtype=np.bool_)
    others[rows] = False
    to_come = np.flatnonzero(others)
    draw, place = even_draw(everybody, to_come, float(generator.random()))
    totals, generation, deputies = statement.nothing(), sampled, crowd
    while True:
        now = np.ones(to_come.size, dtype=np.bool_)
        if to_come.size > KEPT_BACK * rows.size:
            now = place % KEPT_BACK > 0  # neighbours are alike: what is kept back is of every kind
            place = place // KEPT_BACK
        blend = _blend(deputies, generation)
        totals = totals.plus(
            write_set_points(everybody, blend, coupling.step_h, out, to_come[now], draw[now])
        )  # fmt: skip
        to_come, draw, place = to_come[~now], draw[~now], place[~now]
        room = coupling.less(coupling.block_power_kw(totals.power_kw))
        members = np.bincount(everybody.group[rows], minlength=everybody.groups)
        stands_for = 1.0 + np.bincount(everybody.group[to_come], minlength=everybody.groups) / np.maximum(members, 1)
        earlier, had = generation, deputies.population
        deputies = _crowd(statement, everybody.select(rows, stands_for[everybody.group[rows]]), room)
        generation = Generation(deputies, room, sampled.best_duals)
        _remember_as(earlier, had, deputies.population, generation)
        share = (rows.size + to_come.size) / len(everybody)
        generation.run(gap=gap / share / 8, most_rounds=MOST_ROUNDS)
        rounds += generation.rounds
        if not to_come.size:
            break
    totals = totals.plus(write_set_points(everybody, _blend(deputies, generation), coupling.step_h, out, rows))
    when_written(out.power_kw)
    lower_bound = _crowd(statement, everybody, coupling).bound(sampled.best_duals)
    return dispatch_of(statement, out, totals, lower_bound, sampled.worth_knowing(), rounds)


def compact(keys: NDArray[np.int64]) -> NDArray[Any]:
    """The same keys in 16 bits where they fit: those sort ten times as fast."""
    return keys.astype(np.int16) if int(keys.max(initial=0)) <= np.iinfo(np.int16).max else keys


def even_draw(
    population: Population, rows: NDArray[np.int64], start: float
) -> tuple[Numbers, NDArray[np.int64]]:  # [row], [row]
    """Numbers in [0, 1) that are spread evenly among assets that are alike, and each asset's place in that order.

    Multiples of the golden section, dealt out along the assets' windows. Numbers by chance would leave more for the last
    sample to make good. The rows themselves stay in their order, in which memory is read fastest.
    """
    assets = population.assets
    steps = int(assets.departure_step.max(initial=0)) + 1
    kind = (assets.discharge_kw[rows] > 0).astype(np.int64)
    alike = (kind * steps + assets.departure_step[rows]) * steps + assets.arrival_step[rows]
    place = np.empty(rows.size, dtype=np.int64)
    place[np.argsort(compact(alike), kind="stable")] = np.arange(rows.size)
    return np.mod(start + place * GOLDEN_SECTION, 1.0), place


def _remember_as(earlier: Generation, had: Population, now: Population, later: Generation) -> None:
    """What the sample did while it stood for more it does now that it stands for fewer, less the weight."""
    before, after = np.ones(had.groups), np.ones(now.groups)
    before[had.group], after[now.group] = had.weight, now.weight
    less = after / before
    for row in np.flatnonzero(earlier.shares().sum(axis=1) > KEPT_SHARE):
        known = earlier.known[row]
        answer = Answer(known.block_kw * less[:, None, None], known.cost * less, -np.inf)
        later.remember(earlier.memory[row], answer)


def dispatch_of(
    statement: Statement,
    out: SetPoints,
    totals: Totals,
    lower_bound: float,
    duals: Numbers,
    rounds: int,
    given_way: NDArray[np.bool_] | None = None,
) -> Dispatch:
    """What written set-points come to under the coupled rows."""
    coupling = statement.coupling
    totals = _sold(statement, out, totals)
    block_power_kw = coupling.block_power_kw(totals.power_kw)
    energy_cost = float(np.sum(statement.own_price * coupling.step_h * totals.power_kw))
    power = slice(None, coupling.blocks - statement.population.products)
    return Dispatch(
        out.power_kw,
        out.held_kw,
        block_power_kw[power],
        energy_cost
        + float(totals.wear.sum())
        + coupling.part(slice(power.stop, None)).missed_cost(block_power_kw[power.stop :]),
        statement.power_rows.missed_cost(block_power_kw[power]),
        lower_bound,
        duals,
        rounds,
        np.zeros(out.power_kw.shape[0], dtype=np.bool_) if given_way is None else given_way,
    )


def _sold(statement: Statement, out: SetPoints, totals: Totals) -> Totals:
    """Hold no more than what sites' limits leave to a call, and sell no more than the market takes."""
    problem, population = statement.problem, statement.population
    if not population.products:
        return totals
    fit_calls(problem, out.power_kw_with(statement.fixed_power_kw), out.held_kw)
    series_kw = out.series_kw(population, np.arange(len(population)), statement.classes)
    most_kw, _, _ = market_limits(problem)
    held_kw = series_kw[statement.classes :].reshape(population.products, statement.classes, -1)
    total_kw = held_kw.sum(axis=1)
    held_kw *= np.minimum(1.0, np.divide(most_kw, total_kw, out=np.ones_like(total_kw), where=total_kw > 0))[:, None]
    return Totals(series_kw, totals.wear)
