"""Regions under one portfolio's limits, each planned by itself: what they must know of one another is one price a step.

For the portfolio's rows, with P_rt the power of region r and y_t their duals,

    lower_t − below_t ≤ Σ_r P_rt ≤ upper_t + above_t,   below, above ≥ 0,   at step_h · missed_price · (below + above),

1. each region hands over a small sample of itself; the samples together are one small portfolio, whose plan gives the
   duals y and what each region should do (`find_prices`),
2. each region plans itself at the price p_t + y_t / step_h_t; the bounds of those plans prove that nothing is cheaper than

       Σ_r bound_r + min_P [rows(P) − y · P]                                                       (`allotment.lower_bound`),

3. each region plans itself within its part of the portfolio's room, which the sample's plan deals out
   (`allotment.allot`, `allotment.with_allotment`); the parts add up to the limits, so regions that keep to them keep the limits together.

Regions meet only in these few numbers, so each may be planned by another machine; steps 2 and 3 may go on side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.allotment import PortfolioPrices
from aggregator.core.dispatch.fleet.answers import Answer, Crowd
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.generation import Generation
from aggregator.core.dispatch.fleet.sample import RegionSample
from aggregator.core.dispatch.fleet.statement import state

Numbers = NDArray[np.float64]
MOST_ROUNDS = 120


@dataclass(frozen=True, eq=False)
class _Part:
    """A region's sample among the others: whose answers count `weight` times."""

    crowd: Crowd
    weight: float
    first_group: int
    first_block: int

    @classmethod
    def of(cls, sample: RegionSample, before: _Part | None) -> _Part:
        statement = state(sample.problem)
        crowd = Crowd(statement.population, statement.coupling, statement.own_price, statement.group_class)
        if before is None:
            return cls(crowd, sample.weight, 0, 1)
        return cls(crowd, sample.weight, before.groups.stop, before.blocks.stop)

    @property
    def groups(self) -> slice:
        return slice(self.first_group, self.first_group + self.crowd.groups)

    @property
    def blocks(self) -> slice:
        return slice(self.first_block, self.first_block + self.crowd.coupling.blocks)


@dataclass(frozen=True, eq=False)
class _Together:
    """All samples as the portfolio's master asks them. Block 0 is the portfolio; the regions' own blocks follow."""

    parts: list[_Part]

    @property
    def groups(self) -> int:
        return self.parts[-1].groups.stop

    def answer(self, duals: Numbers, *, gap: float) -> Answer:
        """Every region's answer at its own rows' duals, the portfolio's on top: the first block is all of a region."""
        block_kw, cost, bound = np.zeros((self.groups, *duals.shape)), np.zeros(self.groups), 0.0
        for part in self.parts:
            own = duals[part.blocks].copy()
            own[0] += duals[0]
            answer = part.crowd.answer(own, gap=gap)
            block_kw[part.groups, part.blocks] = part.weight * answer.block_kw
            block_kw[part.groups, 0] = part.weight * answer.block_kw[:, 0]
            cost[part.groups] = part.weight * answer.cost
            bound += part.weight * answer.bound
        return Answer(block_kw, cost, bound)

    def coupling(self, rows: Coupling) -> Coupling:
        """The portfolio's rows and the regions' own, these for as many assets as the samples stand for."""
        owns = [part.crowd.coupling for part in self.parts]
        weights = [part.weight for part in self.parts]
        return Coupling(
            np.ones((self.parts[-1].blocks.stop, 1), dtype=np.bool_),
            np.concatenate([rows.lower_kw, *(w * own.lower_kw for w, own in zip(weights, owns, strict=True))]),
            np.concatenate([rows.upper_kw, *(w * own.upper_kw for w, own in zip(weights, owns, strict=True))]),
            np.concatenate([rows.below_price, *(own.below_price for own in owns)]),
            np.concatenate([rows.above_price, *(own.above_price for own in owns)]),
            rows.step_h,
        )


def find_prices(rows: Coupling, samples: Sequence[RegionSample], *, gap: float) -> PortfolioPrices:
    """Plan the samples of all regions together, over the same steps, within the portfolio's rows.

    Raises SolverFailed if the master has no answer.
    """
    parts: list[_Part] = []
    for sample in samples:
        parts.append(_Part.of(sample, parts[-1] if parts else None))
    together = _Together(parts)
    coupling = together.coupling(rows)
    generation = Generation(together, coupling, np.zeros(coupling.lower_kw.shape))
    generation.run(gap=gap, most_rounds=MOST_ROUNDS)
    answers_kw = np.array([answer.block_kw[:, 0] for answer in generation.known])  # [question, group, step]
    mixed_kw = np.einsum("qg,qgt->gt", generation.shares(), answers_kw)
    power_kw = np.array([mixed_kw[part.groups].sum(axis=0) for part in parts])
    reach_kw = np.array([np.ptp(answers_kw[:, part.groups].sum(axis=1), axis=0) for part in parts])
    return PortfolioPrices(generation.best_duals[0], power_kw, reach_kw, generation.gap, generation.rounds)
