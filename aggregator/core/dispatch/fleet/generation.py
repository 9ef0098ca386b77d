"""Prices and profiles in turn (column generation) until the gap is proven.

Each round: the groups respond to a set of prices; that gives a lower bound, and profiles for the master; the master gives
the best mix so far, an upper bound, and new prices. The prices asked next lie between the best known and the master's
(Wentges 1997, "Weighted Dantzig–Wolfe decomposition"), which damps the master's jumps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.master import Master, MasterSolution
from aggregator.core.dispatch.fleet.population import Blend, Population, Profiles, profiles
from aggregator.core.dispatch.result import relative_gap

Numbers = NDArray[np.float64]
SMOOTHING = 0.7  # weight of the best known prices
UNSMOOTHED_EVERY = 8  # now and then the master's own: where they are right, halfway towards them never arrives
NEGLIGIBLE_SHARE = 1e-9


@dataclass(eq=False)
class Generation:
    """One population under one coupling, and all that has been learnt about it.

    Attributes:
        best_duals, lower_bound: the prices that prove most so far, and what they prove.
        mix: the master's last answer, whose objective is the cost of a blend that exists.
        memory: the duals that were asked.
    """

    population: Population
    coupling: Coupling
    own_price: Numbers  # [step]
    group_class: NDArray[np.int64]  # [group]
    best_duals: Numbers  # [block, step]
    lower_bound: float = -np.inf
    mix: MasterSolution | None = None
    memory: list[Numbers] = field(default_factory=list)
    known: list[Profiles] = field(default_factory=list)
    rounds: int = 0

    def __post_init__(self) -> None:
        self.master = Master(self.coupling, self.group_class)

    @property
    def gap(self) -> float:
        """Proven relative gap of the best mix."""
        return np.inf if self.mix is None else relative_gap(self.mix.objective, self.lower_bound)

    def remember(self, duals: Numbers, answer: Profiles) -> None:
        """Take over what the groups are known to do at some prices."""
        self.memory.append(duals)
        self.known.append(answer)
        self.master.add(answer)

    def run(self, *, gap: float, most_rounds: int) -> None:
        """Go on until the gap is reached or the rounds are used up."""
        ask = self.coupling.clip(self.best_duals)
        for turn in range(1, most_rounds + 1):
            answer = profiles(self.population, self.coupling.prices(self.own_price, ask), self.own_price, self.step_h)
            self._learn_bound(ask, answer)
            self.remember(ask, answer)
            self.mix = self.master.solve()
            self.rounds += 1
            if self.gap <= gap:
                return
            wanted = self.coupling.clip(self.mix.duals)
            smoothing = 0.0 if turn % UNSMOOTHED_EVERY == 0 else SMOOTHING
            ask = smoothing * self.best_duals + (1.0 - smoothing) * wanted

    def _learn_bound(self, duals: Numbers, answer: Profiles) -> None:
        bound = self.coupling.bound(duals, float(answer.cost.sum()), self.block_power_kw(answer))
        if bound > self.lower_bound:
            self.lower_bound, self.best_duals = bound, duals

    def proven_bound(self, everybody: Population) -> float:
        """What the best prices prove for a whole population against every plan, of the linear programme too."""
        prices = self.coupling.prices(self.own_price, self.best_duals)
        answer = profiles(everybody, prices, self.own_price, self.step_h, burns=True)
        return self.coupling.bound(self.best_duals, float(answer.cost.sum()), self.block_power_kw(answer))

    @property
    def may_burn(self) -> bool:
        """Whether some price is so low that burning energy might pay in the linear programme."""
        return bool(np.any(self.coupling.prices(self.own_price, self.best_duals) < 0.0))

    def block_power_kw(self, answer: Profiles) -> Numbers:  # [block, step]
        """Sums of the groups' profiles by block."""
        class_power_kw = np.zeros((self.coupling.members.shape[1], self.step_h.size))
        np.add.at(class_power_kw, self.group_class, answer.power_kw)
        return self.coupling.block_power_kw(class_power_kw)

    @property
    def step_h(self) -> Numbers:
        return self.coupling.step_h

    def blend(self) -> Blend:
        """The master's mix as remembered prices and shares, without those that no group follows."""
        assert self.mix is not None
        shares = np.where(self.mix.shares > NEGLIGIBLE_SHARE, self.mix.shares, 0.0)
        shares = shares / shares.sum(axis=0)
        used = np.flatnonzero(shares.any(axis=1))
        groups, entries = np.nonzero(shares[used].T)
        prices = np.array([self.coupling.prices(self.own_price, self.memory[row]) for row in used])
        prices = prices.reshape(used.size, self.coupling.members.shape[1], self.step_h.size)  # of an empty fleet too
        starts = np.searchsorted(groups, np.arange(shares.shape[1] + 1)).astype(np.int64)
        return Blend(prices, entries.astype(np.int64), shares[used].T[groups, entries], starts)
