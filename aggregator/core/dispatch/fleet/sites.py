"""Fleets behind many limited sites: a master for every site inside the portfolio's.

The portfolio asks every site at its own duals; a site answers with the best that its assets can do within the site's
limits at those prices, found by column generation of its own. What a site has learnt stays: at other prices its known
answers only cost something else. So a thousand sites are a thousand small programmes, and never a large one.

Assets at no limited site form a pool that answers like a site without limits.

A site whose limits contradict its drivers' needs is planned by the exact programme, which gives up as little as possible
in the right order: first it keeps the safety limits, then the needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.answers import Answer, Crowd
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.generation import Generation
from aggregator.core.dispatch.fleet.population import Population, thread_count
from aggregator.core.dispatch.fleet.reserve_rows import with_calls

Numbers = NDArray[np.float64]

BUNDLES = 16  # sites whose answers the portfolio's master mixes together
MOST_SITE_ROUNDS = 60
MISSED_COST = 1e-6  # of a site's cost: above this its limits are not kept


@dataclass(frozen=True, eq=False)
class ExactAnswer:
    """What the exact programme plans for a site.

    Attributes:
        power_kw: of every asset of the site.
        held_kw: what each holds of every reserve product.
        cost: energy and wear, less the pay for reserves, at the site's prices.
        lower_bound: of that cost.
        gave_way: whether needs were given up to safety limits or the emergency reserve.
    """

    power_kw: Numbers  # [asset of the site, step]
    held_kw: Numbers  # [product, asset of the site, step]
    cost: float
    lower_bound: float
    gave_way: bool


@dataclass(frozen=True, eq=False)
class SiteAnswer:
    """What a site does at some portfolio duals.

    Attributes:
        class_kw: its power by price class, and what it holds of each product.
        cost: energy and wear at their own prices.
        bound: it cannot cost less, the duals' worth of its power included.
        shares: of each of its known answers, in each of its groups; None if the exact programme planned it.
        power_kw: what that programme planned; None otherwise.
    """

    class_kw: Numbers  # [series, step]
    cost: float
    bound: float
    shares: Numbers | None  # [memory, group]
    power_kw: Numbers | None  # [asset of the site, step]
    held_kw: Numbers | None = None  # [product, asset of the site, step]


@dataclass(eq=False)
class Branch:
    """One site with its own master.

    Attributes:
        rows: the site's assets in the fleet.
        crowd: the same assets, at the portfolio's prices of the last question.
        exactly: plans the site by the exact programme at given prices, [series, step].
        by_programme: whether it does; from the first where the site holds an emergency reserve, which is no sum of power.
        gave_way: whether that programme had to give up some driver's need.
    """

    rows: NDArray[np.int64]
    crowd: Crowd
    own_price: Numbers  # [series, step]
    exactly: Callable[[NDArray[np.int64], Numbers], ExactAnswer]
    prices: list[Numbers] = field(default_factory=list)  # that its known answers answered, [series, step] each
    by_programme: bool = False
    gave_way: bool = False

    def __post_init__(self) -> None:
        self.surcharge = np.zeros_like(self.own_price)
        self.generation = Generation(self.crowd, self.crowd.coupling, np.zeros(self.crowd.coupling.lower_kw.shape))

    def answer(self, surcharge: Numbers, gap: float, like: Branch | None) -> SiteAnswer:
        """The best that the site can do when the portfolio adds so much to the price of each series, [series, step].

        `like` is a site that has just answered: a new one begins with what that one has learnt.
        """
        if not self.by_programme:
            self._reprice(surcharge)
            self._run(gap, like)
            mix = self.generation.mix
            assert mix is not None
            shares = self.generation.shares()
            group_kw = np.einsum("mg,mgqt->qgt", shares, np.array([one.series_kw for one in self.generation.known]))
            priced = float(np.sum(shares * np.array([one.cost for one in self.generation.known])))
            self.by_programme = mix.objective - priced > MISSED_COST * max(1.0, abs(priced))
        if self.by_programme:
            return self._exact_answer(surcharge)
        class_kw = np.zeros_like(self.own_price)
        for of_class, of_group in zip(self._by_class(class_kw), group_kw, strict=True):
            np.add.at(of_class, self.crowd.group_class, of_group)
        cost = priced - float(np.sum(surcharge * class_kw * self.crowd.coupling.step_h))
        return SiteAnswer(class_kw, cost, self.generation.lower_bound, shares, None)

    @property
    def may_burn(self) -> bool:
        """Whether its best duals make some price negative."""
        return not self.by_programme and self.crowd.may_burn(self.generation.best_duals)

    def proof(self, answer: SiteAnswer) -> float:
        """The lower bound of its last answer, against plans that burn energy too."""
        return self.crowd.bound(self.generation.best_duals) if self.may_burn else answer.bound

    def _by_class(self, series: Numbers) -> Numbers:  # [series, step] -> [1 + product, class, step]
        return series.reshape(1 + self.crowd.population.products, -1, series.shape[1])

    def _reprice(self, surcharge: Numbers) -> None:
        """Known answers cost step_h · Σ (new − old surcharge) · power more than they did."""
        more = self._by_class(surcharge - self.surcharge)[:, self.crowd.group_class] * self.crowd.coupling.step_h
        self.surcharge = surcharge
        self.crowd = replace(self.crowd, own_price=self.own_price + surcharge)
        generation = self.generation
        generation.answers, generation.lower_bound = self.crowd, -np.inf
        if generation.known:
            generation.known = [
                replace(one, cost=one.cost + np.sum(more * np.swapaxes(one.series_kw, 0, 1), axis=(0, 2)))
                for one in generation.known
            ]
            generation.master.change_costs(np.array([one.cost for one in generation.known]))

    def _run(self, gap: float, like: Branch | None) -> None:
        known = len(self.generation.memory)
        if like is not None and not known:
            self.generation.learn_from(like.generation)
        self.generation.run(gap=gap, most_rounds=MOST_SITE_ROUNDS)
        self.prices += [self.crowd.prices(duals) for duals in self.generation.memory[known:]]

    def _exact_answer(self, surcharge: Numbers) -> SiteAnswer:
        found = self.exactly(self.rows, self.own_price + surcharge)
        self.gave_way = found.gave_way
        class_kw = np.zeros_like(self.own_price)
        for of_class, of_asset in zip(self._by_class(class_kw), (found.power_kw, *found.held_kw), strict=True):
            np.add.at(of_class, self.crowd.population.price_class, of_asset)
        worth = float(np.sum(surcharge * class_kw * self.crowd.coupling.step_h))
        return SiteAnswer(class_kw, found.cost - worth, found.lower_bound, None, found.power_kw, found.held_kw)


@dataclass(eq=False)
class Sites:
    """All branches, as the portfolio's master asks them.

    Attributes:
        coupling: the portfolio's blocks.
        bundle: which of the master's groups each branch belongs to.
        given: the branches' answers, question by question.
    """

    branches: list[Branch]
    coupling: Coupling
    bundle: NDArray[np.int64]  # [branch]
    given: list[list[SiteAnswer]] = field(default_factory=list)

    @property
    def groups(self) -> int:
        return int(self.bundle.max(initial=-1)) + 1

    def answer(self, duals: Numbers, *, gap: float) -> Answer:
        """Every site's best, each proven to within the gap."""
        surcharge = self.coupling.surcharge(duals)
        chains = np.array_split(np.arange(len(self.branches)), max(1, min(thread_count(), len(self.branches))))
        parts = list(_pool(os.getpid()).map(lambda chain: self._chain(chain.tolist(), surcharge, gap), chains))
        answers = [answer for part in parts for answer in part]
        self.given.append(answers)
        blocks, steps = self.coupling.lower_kw.shape
        block_kw, cost = np.zeros((self.groups, blocks, steps)), np.zeros(self.groups)
        for one, bundle in zip(answers, self.bundle, strict=True):
            block_kw[bundle] += self.coupling.block_power_kw(one.class_kw)
            cost[bundle] += one.cost
        return Answer(block_kw, cost, float(sum(one.bound for one in answers)))

    def _chain(self, numbers: list[int], surcharge: Numbers, gap: float) -> list[SiteAnswer]:
        """Branches one after another, a new one beginning with what the one before has learnt."""
        answers: list[SiteAnswer] = []
        like = None
        for number in numbers:
            branch = self.branches[number]
            answers.append(branch.answer(surcharge, gap, like))
            if not self.coupling.limited:  # it will not be asked again
                branch.generation.rest()
            if branch.crowd.coupling.limited and not branch.by_programme:
                like = branch
        return answers

    def bound(self, duals: Numbers, *, gap: float) -> float:
        """What the duals prove against every plan, of the linear programme too (see `Crowd.bound`)."""
        self.answer(duals, gap=gap)
        given = self.given.pop()  # asked for its proof alone: no group follows it
        proofs = zip(self.branches, given, strict=True)
        return sum(branch.proof(answer) for branch, answer in proofs) + self.coupling.least_cost(duals)

    @property
    def may_burn(self) -> bool:
        """Whether some site has seen a price so low that burning energy might pay in the linear programme."""
        return any(branch.may_burn for branch in self.branches)

    def mixed(self, branch: int, portfolio_shares: Numbers) -> Numbers:  # [memory, group]
        """A branch's shares in its known answers, under the portfolio's mix, [question, bundle]."""
        known = self.branches[branch].generation.known
        total = np.zeros((len(known), self.branches[branch].crowd.groups))
        for question, share in enumerate(portfolio_shares[:, self.bundle[branch]]):
            shares = self.given[question][branch].shares
            if share > 0.0 and shares is not None:
                total[: shares.shape[0]] += share * shares
        return total


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Apart from the pool that the populations use: a branch waits for theirs."""
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="sites")


def branches_of(
    population: Population,
    own_price: Numbers,  # [series, step]
    site_of: NDArray[np.int64],  # [asset], −1 for none
    limits: Coupling,  # one block for each site, members unused
    holds_reserve: NDArray[np.bool_],  # [site]
    exactly: Callable[[NDArray[np.int64], Numbers], ExactAnswer],
) -> list[Branch]:
    """A branch for every site with a limit and an asset, and one for all other assets."""
    limited = (np.isfinite(limits.lower_kw) | np.isfinite(limits.upper_kw)).any(axis=1) | holds_reserve
    of = np.where((site_of >= 0) & np.append(limited, False)[site_of], site_of, -1)
    order = np.argsort(of, kind="stable")
    names, starts = np.unique(np.append(of, -1) if not of.size else of[order], return_index=True)
    classes = own_price.shape[0] // (1 + population.products)
    directions = np.zeros(0, dtype=np.bool_) if population.holding is None else population.holding.up
    members = np.zeros((1, own_price.shape[0]))
    members[:, :classes] = 1.0
    branches = []
    for name, rows in zip(names.tolist(), np.split(order, starts[1:]), strict=True):
        free = np.full((1, own_price.shape[1]), np.inf)
        part = slice(name, name + 1)
        coupling = (
            Coupling(members, -free, free, 0 * limits.above_price[:1], 0 * limits.above_price[:1], limits.step_h)
            if name < 0
            else with_calls(
                Coupling(
                    members,
                    limits.lower_kw[part],
                    limits.upper_kw[part],
                    limits.below_price[part],
                    limits.above_price[part],
                    limits.step_h,
                ),
                directions,
                classes,
            )
        )
        names_here, group = np.unique(population.group[rows], return_inverse=True)
        few = replace(population.select(rows, np.ones(rows.size)), group=group.astype(np.int64), groups=names_here.size)
        group_class = np.zeros(names_here.size, dtype=np.int64)
        group_class[group] = population.price_class[rows]
        branch = Branch(rows, Crowd(few, coupling, own_price, group_class), own_price, exactly)
        branch.by_programme = name >= 0 and bool(holds_reserve[name])
        branches.append(branch)
    return branches


def bundles_of(branches: list[Branch]) -> NDArray[np.int64]:  # [branch]
    """Spread the branches over the master's groups, the largest alone for as long as there are groups."""
    by_size = np.argsort([-branch.rows.size for branch in branches], kind="stable")
    bundle = np.zeros(len(branches), dtype=np.int64)
    bundle[by_size] = np.arange(len(branches)) % BUNDLES
    return bundle
