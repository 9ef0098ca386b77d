"""How much of what assets can do together will really be there: power that may be promised with a stated probability."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fleet.core.departure import exceeded_with

Numbers = NDArray[np.float64]

# From so many uncertain assets on their sum is near enough to normal; below, it is drawn.
FEWEST_FOR_NORMAL = 30
SCENARIOS = 4_000
SEED = 20_260_703


def firm_power_kw(
    power_kw: Numbers,  # [asset, step]
    presence: Numbers,  # [asset, step]
    probability: float,
    deviation: Numbers | None = None,  # [step]
) -> Numbers:  # [step]
    """Sum of the assets' power that is there with probability p.

    With presences of probability π_i and powers u_i, the (1 − p)-quantile of Σ A_i·u_i, A_i ~ Bernoulli(π_i):

        Σ π_i·u_i − z·√(Σ π_i·(1 − π_i)·u_i²)

    where z is what earlier sums bear out (`borne_out_deviation`). Without any, presences are taken as independent: then
    z = Φ⁻¹(p) for many assets (Lyapunov's central limit theorem), and for few the quantile over drawn scenarios, an asset
    that has left staying away in all later steps. The seed is fixed: the same facts give the same promise.

    Args:
        power_kw: what each asset can do in each step, never negative.
        presence: probability that it is there.
        probability: with which the sum shall be there, at least 0.5.
        deviation: z of each step, NaN where earlier sums are too few; None for none.
    """
    certain = (presence >= 1.0).all(axis=1) | (power_kw <= 0.0).all(axis=1)
    sure_kw = power_kw[certain].sum(axis=0)
    power, there = power_kw[~certain], presence[~certain]
    spread_kw = np.sqrt((there * (1.0 - there) * power**2).sum(axis=0))
    expected_kw = (there * power).sum(axis=0)
    if power.shape[0] >= FEWEST_FOR_NORMAL:
        firm_kw = expected_kw - NormalDist().inv_cdf(probability) * spread_kw
    else:
        firm_kw = _drawn_quantile_kw(power, there, probability)
    if deviation is not None:
        firm_kw = np.where(np.isnan(deviation), firm_kw, expected_kw - deviation * spread_kw)
    return sure_kw + np.clip(firm_kw, 0.0, power.sum(axis=0))


def _drawn_quantile_kw(power: Numbers, there: Numbers, probability: float) -> Numbers:  # [step]
    draws = np.random.default_rng(SEED).random((SCENARIOS, power.shape[0]))
    totals_kw = np.empty((SCENARIOS, power.shape[1]))
    for step in range(power.shape[1]):
        totals_kw[:, step] = (draws < there[:, step]) @ power[:, step]
    return np.quantile(totals_kw, 1.0 - probability, axis=0, method="lower")


def borne_out_deviation(residuals: Mapping[float, Numbers], ahead_h: Numbers, probability: float) -> Numbers:  # [step]
    """z of each step: how many standard deviations of independent presences earlier sums fell short of what was expected.

    Cars leave together: after work, before a holiday. So the residual (what was there − expected) / spread of earlier sums
    is kept by how far ahead it was foreseen, and z is minus its k-th smallest, k = ⌊(n + 1)·(1 − p)⌋, as for one departure.

    Args:
        residuals: by hours ahead, of earlier sums.
        ahead_h: of each step; the residuals of the next longer time count, or of the longest.

    Returns:
        NaN where the residuals are too few for the probability.
    """
    deviation = np.full(ahead_h.size, np.nan)
    known_h = np.array(sorted(residuals))
    if not known_h.size:
        return deviation
    of_step = np.minimum(np.searchsorted(known_h, ahead_h, side="left"), known_h.size - 1)
    for number in np.unique(of_step):
        least = exceeded_with(residuals[float(known_h[number])], probability)
        if least is not None:
            deviation[of_step == number] = -least
    return deviation


def with_margin_kw(
    wanted_kw: Numbers,  # [step]
    power_kw: Numbers,  # [asset, step]
    presence: Numbers,  # [asset, step]
    probability: float,
    deviation: Numbers | None = None,  # [step]
) -> Numbers:  # [step]
    """What assets must be planned to do together, so that what is wanted of them is there with probability p.

    If all use the same part φ of their power u, what is there with probability p is φ·firm; so φ = wanted / firm, and
    planned is Σ φ·u = wanted · Σ u / firm. No more is planned than they can do, unless more is wanted anyway.

    Args:
        wanted_kw: of one direction, never negative; NaN where nothing is wanted.
        power_kw, presence, probability, deviation: as for `firm_power_kw`.
    """
    most_kw = power_kw.sum(axis=0)
    firm_kw = firm_power_kw(power_kw, presence, probability, deviation)
    with np.errstate(divide="ignore", invalid="ignore"):
        planned_kw = np.where(firm_kw > 0.0, wanted_kw * most_kw / firm_kw, most_kw)
    return np.maximum(wanted_kw, np.minimum(planned_kw, most_kw))
