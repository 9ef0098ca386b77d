"""Prices and answers in turn (column generation) until the gap is proven.

Each round: the groups answer a set of duals; that gives a lower bound, and columns for the master; the master gives the
best mix so far, an upper bound, and new duals. The duals asked next lie between the best known and the master's (Wentges
1997, "Weighted Dantzig–Wolfe decomposition"), which damps the master's jumps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.answers import Answer, Answers
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.master import Master, MasterSolution
from aggregator.core.dispatch.result import relative_gap

Numbers = NDArray[np.float64]
SMOOTHING = 0.7  # weight of the best known duals
UNSMOOTHED_EVERY = 8  # now and then the master's own: where they are right, halfway towards them never arrives
NEGLIGIBLE_SHARE = 1e-9
KEPT_SHARE = 1e-6
CARRIED_MEMORIES = 25
ANSWERS_PART = 0.4  # of the gap, for answers that are no more than nearly the cheapest


@dataclass(eq=False)
class Generation:
    """Groups under one coupling, and all that has been learnt about them.

    Attributes:
        best_duals, lower_bound: the duals that prove most so far, and what they prove.
        mix: the master's last answer, whose objective is the cost of a blend that exists.
        memory, known: the duals that were asked, and the answers.
    """

    answers: Answers
    coupling: Coupling
    best_duals: Numbers  # [block, step]
    lower_bound: float = -np.inf
    mix: MasterSolution | None = None
    memory: list[Numbers] = field(default_factory=list)
    known: list[Answer] = field(default_factory=list)
    rounds: int = 0

    def __post_init__(self) -> None:
        self._master: Master | None = None

    @property
    def master(self) -> Master:
        """The programme over all that is known; made again if it was let go."""
        if self._master is None:
            self._master = Master(self.coupling, self.answers.groups)
            for answer in self.known:
                self._master.add(answer)
        return self._master

    def rest(self) -> None:
        """Let the programme go: a solver's object takes megabytes, and thousands of sites may wait side by side."""
        self._master = None

    @property
    def gap(self) -> float:
        """Proven relative gap of the best mix."""
        return np.inf if self.mix is None else relative_gap(self.mix.objective, self.lower_bound)

    def remember(self, duals: Numbers, answer: Answer) -> None:
        """Take over what the groups are known to do at some duals."""
        self.master.add(answer)
        self.memory.append(duals)
        self.known.append(answer)

    def learn_from(self, earlier: Generation) -> None:
        """Begin where others like these have ended: at their best duals, with answers to those that their mix follows."""
        self.best_duals = earlier.best_duals
        follows = earlier.shares().sum(axis=1)
        for row in np.argsort(-follows)[:CARRIED_MEMORIES]:
            if follows[row] > KEPT_SHARE:
                self.remember(earlier.memory[row], self.answers.answer(earlier.memory[row], gap=0.0))

    def begin_with(self, known_duals: Numbers) -> None:  # [memory, block, step]
        """Begin with duals that `worth_knowing` gave to an earlier plan."""
        self.best_duals = self.coupling.clip(known_duals[0])
        for duals in known_duals[1:]:
            duals = self.coupling.clip(duals)
            self.remember(duals, self.answers.answer(duals, gap=0.0))

    def worth_knowing(self) -> Numbers:  # [memory, block, step]
        """The best duals, then those that the mix follows."""
        follows = self.shares().sum(axis=1)
        most = [row for row in np.argsort(-follows)[:CARRIED_MEMORIES] if follows[row] > KEPT_SHARE]
        return np.array([self.best_duals, *(self.memory[row] for row in most)])

    def run(self, *, gap: float, most_rounds: int) -> None:
        """Go on until the gap is reached or the rounds are used up."""
        ask = self.coupling.clip(self.best_duals)
        # where nothing is coupled, one answer is all there is; else the rounds need a part of the gap for themselves
        answer_gap = gap * (ANSWERS_PART if self.coupling.limited else 1.0)
        for turn in range(1, most_rounds + 1):
            answer = self.answers.answer(ask, gap=answer_gap)
            bound = answer.bound + self.coupling.least_cost(ask)
            if bound > self.lower_bound:
                self.lower_bound, self.best_duals = bound, ask
            self.remember(ask, answer)
            self.mix = self.master.solve()
            self.rounds += 1
            if self.gap <= gap:
                return
            wanted = self.coupling.clip(self.mix.duals)
            smoothing = 0.0 if turn % UNSMOOTHED_EVERY == 0 else SMOOTHING
            ask = smoothing * self.best_duals + (1.0 - smoothing) * wanted

    def shares(self) -> Numbers:  # [memory, group]
        """The mix, without shares that are the solver's rounding."""
        assert self.mix is not None
        shares = np.where(self.mix.shares > NEGLIGIBLE_SHARE, self.mix.shares, 0.0)
        return np.asarray(shares / shares.sum(axis=0))
