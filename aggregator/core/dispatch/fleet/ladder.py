"""From a problem to a plan: small samples find the prices, everybody answers them, and a last sample closes what is left.

1. A thousand assets stand for all, and find prices in milliseconds; larger samples start from what the smaller one
   learnt and need few rounds more.
2. Everybody's cheapest answer to the last prices is the proven lower bound.
3. Everybody outside the last sample follows one of the prices in its group's mix, drawn with the mix's shares. Their sum
   differs from the mix by the luck of the draw.
4. The last sample, now standing for itself alone, is planned once more in the room that the others leave, and blends its
   answers exactly: it takes up the difference, which is small against what it can move.

A fleet no larger than a sample skips steps 2 and 3: it is its own last sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.answers import Answer, Crowd
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.generation import KEPT_SHARE, Generation
from aggregator.core.dispatch.fleet.population import Blend, Population, Totals, make_blend, write_set_points
from aggregator.core.dispatch.fleet.statement import Statement

Numbers = NDArray[np.float64]

SEED = 20_261_124
FIRST_SAMPLE = 1_000
SAMPLE_GROWTH = 8
# The prices of so many miss those of a million by so little that the bound loses less than 1e-4.
LAST_SAMPLE = 32_000
MOST_ROUNDS = 200
LEAST_IN_GROUP = 4


@dataclass(frozen=True, eq=False)
class Dispatch:
    """Set-points of a whole fleet.

    Attributes:
        power_kw: of every asset in every step.
        block_power_kw: sums of the coupled blocks, without what was fixed before.
        own_cost: energy at its price, and wear.
        missed_cost: what lies beyond the coupled limits, at its price.
        lower_bound: no plan costs less.
        duals: the prices of the coupled rows that prove the bound.
        rounds: of prices that were asked for, over all samples.
        given_way: assets at sites whose safety limits leave less than their drivers need.
    """

    power_kw: NDArray[np.float32]  # [asset, step]
    block_power_kw: Numbers  # [block, step]
    own_cost: float
    missed_cost: float
    lower_bound: float
    duals: Numbers  # [block, step]
    rounds: int
    given_way: NDArray[np.bool_]  # [asset]

    @property
    def cost(self) -> float:
        """All of it."""
        return self.own_cost + self.missed_cost


def climb(statement: Statement, *, gap: float, known_duals: Numbers | None = None) -> Dispatch:
    """Plan a fleet to a proven gap, starting from duals of an earlier plan if there are any."""
    generator = np.random.default_rng(SEED)
    everybody, coupling = statement.population, statement.coupling
    duals = np.zeros(coupling.lower_kw.shape) if known_duals is None else known_duals
    generation: Generation | None = None
    crowd: Crowd | None = None
    rounds, rows = 0, np.arange(len(everybody))
    for size in sample_sizes(len(everybody)):
        population = everybody
        if size < len(everybody):
            population, rows = draw_sample(everybody, size, generator)
        earlier = generation
        crowd = _crowd(statement, population, coupling)
        generation = Generation(crowd, coupling, duals)
        if earlier is not None:
            generation.learn_from(earlier)
        generation.run(gap=gap / 2, most_rounds=MOST_ROUNDS)
        rounds += generation.rounds
        duals = generation.best_duals
    assert generation is not None and crowd is not None
    out_kw = np.zeros((len(everybody), coupling.step_h.size), dtype=np.float32)
    if rows.size < len(everybody):
        return _close(statement, crowd, generation, rows, gap, out_kw, generator, rounds)
    totals = write_set_points(everybody, _blend(crowd, generation), coupling.step_h, out_kw, rows)
    may_burn = bool(np.any(crowd.prices(duals) < 0.0))
    bound = crowd.bound(duals) if may_burn else generation.lower_bound
    return dispatch_of(statement, out_kw, totals, bound, duals, rounds)


def sample_sizes(count: int) -> list[int]:
    """Sizes of the samples, growing; the last is the fleet itself where that costs no more."""
    sizes = [LAST_SAMPLE if count > LAST_SAMPLE * 3 // 2 else count]
    while sizes[0] > 3 * FIRST_SAMPLE:
        sizes.insert(0, max(FIRST_SAMPLE, sizes[0] // SAMPLE_GROWTH))
    return sizes


def draw_sample(
    population: Population, size: int, generator: np.random.Generator
) -> tuple[Population, NDArray[np.int64]]:
    """A sample with members of every group, each standing for its share of the group; and its rows."""
    group, members = population.group, np.bincount(population.group, minlength=population.groups)
    wanted = np.minimum(members, np.maximum(LEAST_IN_GROUP, -(-size * members // group.size)))
    order = generator.permutation(group.size)
    by_group = order[np.argsort(group[order], kind="stable")]
    rank = np.arange(group.size) - np.repeat(np.cumsum(members) - members, members)
    rows = np.sort(by_group[rank < np.repeat(wanted, members)])
    return population.select(rows, (members / np.maximum(wanted, 1))[group[rows]]), rows


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
    out_kw: NDArray[np.float32],
    generator: np.random.Generator,
    rounds: int,
) -> Dispatch:
    """Steps 2 to 4."""
    everybody, coupling = statement.population, statement.coupling
    lower_bound = _crowd(statement, everybody, coupling).bound(sampled.best_duals)
    others = np.ones(len(everybody), dtype=np.bool_)
    others[rows] = False
    outside = np.flatnonzero(others)
    luck = generator.random(outside.size)
    totals = write_set_points(everybody, _blend(crowd, sampled), coupling.step_h, out_kw, outside, luck)
    room = coupling.less(coupling.block_power_kw(totals.power_kw))
    alone = _crowd(statement, everybody.select(rows, np.ones(rows.size)), room)
    closing = Generation(alone, room, sampled.best_duals)
    _remember_as_itself(crowd.population, sampled, closing)
    closing.run(gap=gap * len(everybody) / rows.size / 8, most_rounds=MOST_ROUNDS)
    last = write_set_points(everybody, _blend(alone, closing), coupling.step_h, out_kw, rows)
    totals = Totals(totals.power_kw + last.power_kw, totals.wear + last.wear)
    return dispatch_of(statement, out_kw, totals, lower_bound, sampled.best_duals, rounds + closing.rounds)


def _remember_as_itself(deputies: Population, sampled: Generation, closing: Generation) -> None:
    """What the sample did as the fleet's deputy it does as itself, less the weight."""
    weight = np.ones(deputies.groups)
    weight[deputies.group] = deputies.weight
    for row in np.flatnonzero(sampled.shares().sum(axis=1) > KEPT_SHARE):
        known = sampled.known[row]
        itself = Answer(known.block_kw / weight[:, None, None], known.cost / weight, -np.inf)
        closing.remember(sampled.memory[row], itself)


def dispatch_of(
    statement: Statement,
    out_kw: NDArray[np.float32],
    totals: Totals,
    lower_bound: float,
    duals: Numbers,
    rounds: int,
    given_way: NDArray[np.bool_] | None = None,
) -> Dispatch:
    """What written set-points come to under the coupled rows."""
    coupling = statement.coupling
    block_power_kw = coupling.block_power_kw(totals.power_kw)
    energy_cost = float(np.sum(statement.own_price * coupling.step_h * totals.power_kw))
    return Dispatch(
        out_kw,
        block_power_kw,
        energy_cost + totals.wear,
        coupling.missed_cost(block_power_kw),
        lower_bound,
        duals,
        rounds,
        np.zeros(out_kw.shape[0], dtype=np.bool_) if given_way is None else given_way,
    )
