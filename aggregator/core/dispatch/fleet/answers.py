"""Who answers prices: a crowd of assets, each for itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.fleet.population import Population, profiles

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answer:
    """What the groups do at one set of duals.

    Attributes:
        block_kw: what each group adds to the sum of each block.
        cost: what each group pays by itself: energy and wear, whatever the coupled limits are worth.
        bound: no answer of all groups together costs less than this, the duals' worth of their power included.
        series_kw: what each group does, and holds of each reserve product; nothing where nobody asks for it.
    """

    block_kw: Numbers  # [group, block, step]
    cost: Numbers  # [group]
    bound: float
    series_kw: Numbers = field(default_factory=lambda: np.zeros((0, 0, 0)))  # [group, 1 + product, step]


class Answers(Protocol):
    """Whoever can be asked what it does at given duals."""

    @property
    def groups(self) -> int:
        """Number of groups; the master mixes the answers of each group by itself."""

    def answer(self, duals: Numbers, *, gap: float) -> Answer:
        """The cheapest, or one proven to be within a relative gap of it."""


@dataclass(frozen=True, eq=False)
class Crowd:
    """Assets that nothing ties together but the coupled blocks.

    Attributes:
        own_price: of energy, by price class; then, less what it earns, of what is held of each product.
        group_class: price class of every group.
        burns: whether an asset may charge and discharge at once; for bounds only.
    """

    population: Population
    coupling: Coupling
    own_price: Numbers  # [series, step]
    group_class: NDArray[np.int64]  # [group]
    burns: bool = False

    @property
    def groups(self) -> int:
        return self.population.groups

    def prices(self, duals: Numbers) -> Numbers:  # [series, step]
        """What a kWh of each series is worth."""
        return self.own_price + self.coupling.surcharge(duals)

    def answer(self, duals: Numbers, *, gap: float = 0.0) -> Answer:
        """Every asset's own optimum, exactly."""
        found = profiles(self.population, self.prices(duals), self.own_price, self.coupling.step_h, burns=self.burns)
        members = self.coupling.members.astype(np.float64).T.reshape(
            1 + self.population.products, -1, self.coupling.blocks
        )
        inside = members[:, self.group_class]  # [1 + product, group, block]
        block_kw = np.einsum("qgb,gqt->gbt", inside, found.series_kw)
        bound = float(found.cost.sum() + np.sum(duals * block_kw.sum(axis=0))) if found.bound is None else found.bound
        return Answer(block_kw, found.cost, bound, found.series_kw)

    def may_burn(self, duals: Numbers) -> bool:
        """Whether some price is so low that burning energy might pay, which the answers' own bounds do not count."""
        return self.population.holding is None and bool(np.any(self.prices(duals) < 0.0))

    def bound(self, duals: Numbers) -> float:
        """What the duals prove against every plan, of the linear programme too."""
        return replace(self, burns=True).answer(duals).bound + self.coupling.least_cost(duals)
