"""Calls of market reserves: how many steps they touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def call_steps(step_h: Numbers, duration_h: float) -> NDArray[np.int64]:  # [step]
    """How many steps a call that begins with each step touches; one more than are left if it outlasts the horizon."""
    ends = np.concatenate([[0.0], np.cumsum(step_h)])
    return np.searchsorted(ends, ends[:-1] + duration_h - 1e-9, side="left") - np.arange(step_h.size)
