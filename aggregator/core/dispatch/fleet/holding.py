"""Market reserves as the decomposition takes them: which product an asset may hold when, and how many hours a call lasts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch.calls import call_steps
from aggregator.core.dispatch.problem import DispatchProblem, ReserveDirection

Numbers = NDArray[np.float64]


class Holding(NamedTuple):
    """The products, for the compiled functions.

    Attributes:
        up: whether the product moves upwards (draws less); downwards otherwise.
        touched: how many steps a call that begins with a step touches; an asset must stay for all of them.
        hours: by the end of each step ahead, min(elapsed, duration): what a call of one kW has moved by then.
        is_open: whether the market takes anything in the step.
        may_hold: whether the asset takes part in the product.
    """

    up: NDArray[np.bool_]  # [product]
    touched: NDArray[np.int64]  # [product, step]
    hours: Numbers  # [product, ahead, step]
    is_open: NDArray[np.bool_]  # [product, step]
    may_hold: NDArray[np.bool_]  # [asset, product]

    def select(self, rows: NDArray[np.int64]) -> Holding:
        """The same products, of some of the assets."""
        return self._replace(may_hold=np.ascontiguousarray(self.may_hold[rows]))


def holding_of(problem: DispatchProblem, can_hold: NDArray[np.bool_]) -> Holding | None:
    """The problem's products; None where it has none. `can_hold`, [asset], is false for what is no battery."""
    products = problem.reserves
    if not products:
        return None
    step_h, steps = problem.horizon.step_h, problem.horizon.steps
    touched = np.stack([call_steps(step_h, product.duration_h) for product in products])
    ends_h = np.concatenate([[0.0], np.cumsum(step_h)])
    ahead = np.arange(max(1, min(int(touched.max()), steps)))
    until = np.minimum(np.arange(steps)[None, :] + ahead[:, None] + 1, steps)
    elapsed_h = ends_h[until] - ends_h[:-1][None, :]
    chosen = [can_hold if one.participates is None else can_hold & one.participates for one in products]
    return Holding(
        np.array([product.direction is ReserveDirection.UP for product in products]),
        touched.astype(np.int64),
        np.stack([np.minimum(elapsed_h, product.duration_h) for product in products]),
        np.stack([np.broadcast_to(np.asarray(product.max_kw), (steps,)) > 0 for product in products]),
        np.ascontiguousarray(np.stack(chosen, axis=1)),
    )
