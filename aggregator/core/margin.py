"""How much of what assets can do together will really be there: power that may be promised with a stated probability."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# From so many uncertain assets on their sum is near enough to normal; below, it is drawn.
FEWEST_FOR_NORMAL = 30
SCENARIOS = 4_000
SEED = 20_260_703


def firm_power_kw(power_kw: Numbers, presence: Numbers, probability: float) -> Numbers:  # [step]
    """Sum of the assets' power that is there with probability p.

    With independent presences of probability π_i and powers u_i, the (1 − p)-quantile of Σ A_i·u_i, A_i ~ Bernoulli(π_i):

        many assets:  Σ π_i·u_i − z_p·√(Σ π_i·(1 − π_i)·u_i²)      (Lyapunov's central limit theorem, z_p = Φ⁻¹(p))
        few assets:   the quantile over drawn scenarios, an asset that has left staying away in all later steps

    The seed is fixed: the same facts give the same promise.

    Args:
        power_kw: what each asset can do in each step, never negative. [asset, step]
        presence: probability that it is there. [asset, step]
        probability: with which the sum shall be there, at least 0.5.
    """
    certain = (presence >= 1.0).all(axis=1) | (power_kw <= 0.0).all(axis=1)
    sure_kw = power_kw[certain].sum(axis=0)
    power, there = power_kw[~certain], presence[~certain]
    if power.shape[0] >= FEWEST_FOR_NORMAL:
        deviation_kw = np.sqrt((there * (1.0 - there) * power**2).sum(axis=0))
        firm_kw = (there * power).sum(axis=0) - NormalDist().inv_cdf(probability) * deviation_kw
        return sure_kw + np.maximum(firm_kw, 0.0)
    draws = np.random.default_rng(SEED).random((SCENARIOS, power.shape[0]))
    totals_kw = np.empty((SCENARIOS, power.shape[1]))
    for step in range(power.shape[1]):
        totals_kw[:, step] = (draws < there[:, step]) @ power[:, step]
    return sure_kw + np.quantile(totals_kw, 1.0 - probability, axis=0, method="lower")


def with_margin_kw(wanted_kw: Numbers, power_kw: Numbers, presence: Numbers, probability: float) -> Numbers:  # [step]
    """What assets must be planned to do together, so that what is wanted of them is there with probability p.

    If all use the same part φ of their power u, what is there with probability p is φ·firm; so φ = wanted / firm, and
    planned is Σ φ·u = wanted · Σ u / firm. No more is planned than they can do, unless more is wanted anyway.

    Args:
        wanted_kw: of one direction, never negative; NaN where nothing is wanted. [step]
        power_kw, presence, probability: as for `firm_power_kw`.
    """
    most_kw = power_kw.sum(axis=0)
    firm_kw = firm_power_kw(power_kw, presence, probability)
    with np.errstate(divide="ignore", invalid="ignore"):
        planned_kw = np.where(firm_kw > 0.0, wanted_kw * most_kw / firm_kw, most_kw)
    return np.maximum(wanted_kw, np.minimum(planned_kw, most_kw))
