"""What ties the assets of a fleet together: sums of set-points with limits, each side soft at its own price.

For every block b of assets (all of them, the participants of an event, one site) and every step t

    lower_bt − below_bt ≤ Σ_{i in b} (c_it − d_it) ≤ upper_bt + above_bt,   below, above ≥ 0,
    at step_h · (below_price · below + above_price · above).

The dual y_bt of such a row lies between −step_h · below_price and step_h · above_price, and is the price by which a kW of
the block's assets is dearer in that step. For any such y, the cheapest responses at those prices, plus the least that the
rows can cost against y, come to no more than any plan: that is the proven lower bound. The least of a row is

    min_P  step_h · (below_price · (lower − P)⁺ + above_price · (P − upper)⁺) − y · P  =  −(y⁺ · upper − y⁻ · lower),

and where the limits contradict one another (lower > upper; both are soft, so that is allowed) it lies at one of them too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coupling:
    """All rows of all blocks.

    Attributes:
        members: with which weight a block adds up each series: the power of a price class, or what it holds of a reserve.
        lower_kw, upper_kw: limits of its sum; infinite for none.
        below_price, above_price: per kWh beyond them, never negative.
    """

    members: NDArray[Any]  # [block, series]
    lower_kw: Numbers  # [block, step]
    upper_kw: Numbers  # [block, step]
    below_price: Numbers  # [block, step]
    above_price: Numbers  # [block, step]
    step_h: Numbers  # [step]

    @property
    def blocks(self) -> int:
        return int(self.members.shape[0])

    @property
    def limited(self) -> bool:
        """Whether any row has a limit at all."""
        return bool(np.isfinite(self.lower_kw).any() or np.isfinite(self.upper_kw).any())

    def part(self, blocks: slice) -> Coupling:
        """Some of the blocks."""
        return Coupling(
            self.members[blocks],
            self.lower_kw[blocks],
            self.upper_kw[blocks],
            self.below_price[blocks],
            self.above_price[blocks],
            self.step_h,
        )

    def less(self, power_kw: Numbers) -> Coupling:  # [block, step]
        """The room that is left when so much power is given already."""
        return replace(self, lower_kw=self.lower_kw - power_kw, upper_kw=self.upper_kw - power_kw)

    def least_dual(self) -> Numbers:  # [block, step]
        """A row without a lower limit cannot make power cheaper."""
        return np.where(np.isfinite(self.lower_kw), -self.step_h * self.below_price, 0.0)

    def most_dual(self) -> Numbers:  # [block, step]
        """A row without an upper limit cannot make power dearer."""
        return np.where(np.isfinite(self.upper_kw), self.step_h * self.above_price, 0.0)

    def clip(self, duals: Numbers) -> Numbers:
        """The nearest duals that give a bound."""
        return np.clip(duals, self.least_dual(), self.most_dual())

    def surcharge(self, duals: Numbers) -> Numbers:  # [series, step]
        """What the limits of its blocks add to the price of a kWh of each series."""
        return np.asarray((self.members.T.astype(np.float64) @ duals) / self.step_h)

    def block_power_kw(self, class_power_kw: Numbers) -> Numbers:  # [series, step] -> [block, step]
        """Sums of the series by block."""
        return np.asarray(self.members.astype(np.float64) @ class_power_kw)

    def missed_cost(self, block_power_kw: Numbers) -> float:
        """What the sums cost where they lie beyond their limits."""
        above_kw = np.maximum(block_power_kw - self.upper_kw, 0.0)
        below_kw = np.maximum(self.lower_kw - block_power_kw, 0.0)
        return float(np.sum(self.step_h * (self.above_price * above_kw + self.below_price * below_kw)))

    def least_cost(self, duals: Numbers) -> float:
        """The least that all rows can cost against the duals; with the assets' own least cost it makes a lower bound."""
        upper_kw = np.where(duals > 0, self.upper_kw, 0.0)
        lower_kw = np.where(duals < 0, self.lower_kw, 0.0)
        least = -(np.maximum(duals, 0.0) * upper_kw + np.minimum(duals, 0.0) * lower_kw)
        crossed = self.crossed
        if crossed.any():
            above, below = (self.step_h * self.above_price)[crossed], (self.step_h * self.below_price)[crossed]
            lower, upper, dual = self.lower_kw[crossed], self.upper_kw[crossed], duals[crossed]
            at_lower, at_upper = above * (lower - upper) - dual * lower, below * (lower - upper) - dual * upper
            least[crossed] = np.minimum(at_lower, at_upper)
        return float(np.sum(least))

    @property
    def crossed(self) -> NDArray[np.bool_]:  # [block, step]
        """Where the limits contradict one another."""
        return self.lower_kw > self.upper_kw
