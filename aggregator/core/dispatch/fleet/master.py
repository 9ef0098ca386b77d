"""The master problem: which mix of the groups' known profiles is cheapest, and what the limits are worth in it.

    min  Σ cost_gk · λ_gk + Σ step_h · (below_price · below + above_price · above)
    s.t. lower ≤ Σ_g power_gkbt · λ_gk + below_bt − above_bt ≤ upper,     Σ_k λ_gk = 1 for every group,   λ ≥ 0.

It is the linear programme of `tests/unit/aggregator/core/dispatch/fleet/reference_master.py`, kept in HiGHS itself: columns
are added to a basis that stays, where CVXPY states everything anew (decision 15 has the measurement).
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.failure import SolverFailed
from aggregator.core.dispatch.fleet.answers import Answer
from aggregator.core.dispatch.fleet.coupling import Coupling
from aggregator.core.dispatch.highs import THREADS

Numbers = NDArray[np.float64]
_PRIMAL_SIMPLEX = 4


@dataclass(frozen=True, eq=False)
class MasterSolution:
    """The best mix.

    Attributes:
        objective: its cost.
        duals: what a kW more in a row would be worth, as `Coupling` has it.
        shares: of every known profile in its group.
    """

    objective: float
    duals: Numbers  # [block, step]
    shares: Numbers  # [memory, group]


class Master:
    """One linear programme that grows by a profile of every group at a time."""

    def __init__(self, coupling: Coupling, groups: int) -> None:
        self.coupling = coupling
        self.groups = groups
        has_lower, has_upper = np.isfinite(coupling.lower_kw), np.isfinite(coupling.upper_kw)
        # limits that contradict one another stand in two rows: both sides of one row must leave room between them
        both = np.nonzero((has_lower | has_upper) & ~coupling.crossed)
        again = np.nonzero(coupling.crossed)
        self._block = np.concatenate([both[0], again[0], again[0]])
        self._step = np.concatenate([both[1], again[1], again[1]])
        self._rows = int(self._block.size)
        self._lower = coupling.lower_kw[self._block, self._step]
        self._upper = coupling.upper_kw[self._block, self._step]
        self._lower[both[0].size : both[0].size + again[0].size] = -np.inf
        self._upper[both[0].size + again[0].size :] = np.inf
        self._columns = 0
        self._highs = highspy.Highs()
        for name, value in (("output_flag", False), ("threads", THREADS), ("simplex_strategy", _PRIMAL_SIMPLEX)):
            self._highs.setOptionValue(name, value)
        self._add_rows()

    def _add_rows(self) -> None:
        coupling, nothing, none = self.coupling, np.zeros(0), np.zeros(0, dtype=np.int32)
        lower = np.concatenate([self._lower, np.ones(self.groups)])
        upper = np.concatenate([self._upper, np.ones(self.groups)])
        self._highs.addRows(lower.size, lower, upper, 0, np.zeros(lower.size, dtype=np.int32), none, nothing)
        for sign, limits, price in (
            (-1.0, self._upper, coupling.above_price),
            (1.0, self._lower, coupling.below_price),
        ):
            finite = np.flatnonzero(np.isfinite(limits)).astype(np.int32)
            cost = (coupling.step_h[self._step] * price[self._block, self._step])[finite]
            self._add(cost, np.arange(finite.size, dtype=np.int32), finite, np.full(finite.size, sign))
        self._slacks = self._highs.getNumCol()

    def _add(self, cost: Numbers, starts: NDArray[np.int32], index: NDArray[np.int32], value: Numbers) -> None:
        count = cost.size
        self._highs.addCols(
            count, cost, np.zeros(count), np.full(count, np.inf), index.size, starts, index, np.ascontiguousarray(value)
        )

    def add(self, answer: Answer) -> None:
        """Remember what the groups did at one more set of duals."""
        values = np.empty((self.groups, self._rows + 1))
        values[:, :-1] = answer.block_kw[:, self._block, self._step]
        values[:, -1] = 1.0
        index = np.empty((self.groups, self._rows + 1), dtype=np.int32)
        index[:, :-1] = np.arange(self._rows)
        index[:, -1] = self._rows + np.arange(self.groups)
        starts = np.arange(self.groups, dtype=np.int32) * np.int32(self._rows + 1)
        self._add(np.ascontiguousarray(answer.cost), starts, index.ravel(), values.ravel())
        self._columns += 1

    def change_costs(self, cost: Numbers) -> None:  # [memory, group]
        """The known answers cost something else now."""
        columns = self._slacks + np.arange(cost.size, dtype=np.int32)
        self._highs.changeColsCost(columns.size, columns.astype(np.int32), np.ascontiguousarray(cost.ravel()))

    def solve(self) -> MasterSolution:
        """Raises SolverFailed if HiGHS does not end with an optimum (there always is one)."""
        self._highs.run()
        status = self._highs.getModelStatus()
        if status not in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kModelEmpty):
            raise SolverFailed(f"the master problem ended with status {status}", remedy="Plan again.")
        solution = self._highs.getSolution()
        duals = np.zeros(self.coupling.lower_kw.shape)
        np.add.at(duals, (self._block, self._step), -np.asarray(solution.row_dual)[: self._rows])
        shares = np.asarray(solution.col_value)[self._slacks :].reshape(self._columns, self.groups)
        return MasterSolution(float(self._highs.getInfo().objective_function_value), duals, shares)
