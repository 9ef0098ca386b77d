"""When cars really leave: from ended stays to the distribution of a running one.

A stay that was stated to last S and lasted L is kept as the fraction L / S, because errors grow with what was stated. For a
running stay the fractions of comparable stays, times its own S, are samples of how long it will last. Comparable are, in
this order, the car's own stays, those at its site, those of its region; of a pool, those whose stated length is nearest.

That the car stays for a time e at least is used too: only samples above e count. With n of them left, x_(k) being the
k-th smallest and the next one drawn as they were (exchangeable),

    P(stay < x_(k)) ≤ k / (n + 1),    so that with  k = ⌊(n + 1)·(1 − p)⌋  the stay lasts x_(k) with probability p at least

(Vovk, Gammerman, Shafer 2005, "Algorithmic Learning in a Random World": conformal prediction with an order statistic).
There is such a k only from n = ⌈1 / (1 − p)⌉ − 1 on (19 for p = 0.95): fewer are not enough data, and the next pool is
asked. If none is enough, the driver's word stands alone.

What is promised to a driver is that a plan takes nothing that charging at once would have given: so e is the time that has
passed already, and for the promise also the time that the battery needs at full power. Who leaves sooner than that is no
different for any plan, and counted in they would make the others wait for less than nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidInput

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]

# Of a pool, so many stays of the nearest stated length are comparable.
NEAREST_STAYS = 100
# A kept distribution is the quantiles at these probabilities: enough for a sum over many cars.
QUANTILE_PROBABILITIES: Numbers = np.linspace(0.05, 0.95, 19)
_ROUNDING = 1e-9


class Basis(StrEnum):
    """Whose stays a forecast was learnt from."""

    OWN = "own"  # the car's
    SITE = "site"  # all cars' at the site
    REGION = "region"  # all cars' in the region
    STATED = "stated"  # nobody's: there are too few, and the driver's word stands alone


@dataclass(frozen=True, eq=False)
class EndedStays:
    """Stays that are over; instants in seconds since 1970.

    Attributes:
        stated_s: when the driver had said they would leave, NaN where nothing was said.
    """

    vehicle_id: Whole  # [stay]
    site_id: Whole  # [stay]
    arrived_s: Numbers  # [stay]
    stated_s: Numbers  # [stay]
    left_s: Numbers  # [stay]

    def __len__(self) -> int:
        return len(self.arrived_s)


@dataclass(frozen=True, slots=True)
class RunningStay:
    """A car that is plugged in; `stated_s` is NaN where nothing was said."""

    vehicle_id: int
    site_id: int
    arrived_s: float
    stated_s: float


@dataclass(frozen=True, eq=False)
class DepartureForecast:
    """When a car will leave, as known at one moment. Instants in seconds since 1970.

    Attributes:
        expected_s: median.
        leaves_after_s: if it stays long enough to be served at all, it is still there until then with the wanted
            probability; never after what the driver said.
        probability: with which that holds; NaN on the driver's word alone.
        quantiles_s: at `QUANTILE_PROBABILITIES`; empty on the driver's word alone.
        basis, samples: whose stays, and how many.
    """

    expected_s: float
    leaves_after_s: float
    probability: float
    quantiles_s: Numbers
    basis: Basis
    samples: int


def least_samples(probability: float) -> int:
    """⌈1 / (1 − p)⌉ − 1: fewer cannot support a statement of this probability.

    Raises:
        InvalidInput: the probability is not between 0.5 and 1.
    """
    if not 0.5 <= probability < 1.0:
        raise InvalidInput("must be at least 0.5 and below 1", field="probability", remedy="0.95 means 95 %.")
    return ceil(1.0 / (1.0 - probability) - _ROUNDING) - 1


def exceeded_with(samples: Numbers, probability: float) -> float | None:
    """The k-th smallest sample with k = ⌊(n + 1)·(1 − p)⌋: exceeded with probability p; None where n is too small."""
    rank = floor((samples.size + 1) * (1.0 - probability) + _ROUNDING)
    return float(np.partition(samples, rank - 1)[rank - 1]) if rank >= 1 else None


class StayHistory:
    """Ended stays, ordered so that comparable ones are found quickly."""

    def __init__(self, stays: EndedStays, *, pooled_from_s: float) -> None:
        """
        Args:
            pooled_from_s: other cars' stays count if they ended at or after this instant; a car's own always count.
        """
        lasted_s, stated_s = stays.left_s - stays.arrived_s, stays.stated_s - stays.arrived_s
        sound = (lasted_s > 0) & ~(stated_s <= 0)
        order = np.argsort(np.where(np.isnan(stated_s), np.inf, stated_s), kind="stable")
        order = order[sound[order]]
        self._stated_s, self._lasted_s = stated_s[order], lasted_s[order]
        self._vehicle_id, self._site_id = stays.vehicle_id[order], stays.site_id[order]
        self._recent = stays.left_s[order] >= pooled_from_s
        self._own: dict[int, Whole] = _rows_by(self._vehicle_id, np.ones(order.size, dtype=np.bool_))
        self._site: dict[int, Whole] = _rows_by(self._site_id, self._recent)
        self._region: Whole = np.flatnonzero(self._recent)

    def samples_s(self, stay: RunningStay, *, beyond_s: float, probability: float) -> tuple[Numbers, Basis]:
        """How long the stay may last if it lasts until the instant `beyond_s` at least."""
        nobody = np.zeros(0, dtype=np.int64)
        for basis, rows in (
            (Basis.OWN, self._own.get(stay.vehicle_id, nobody)),
            (Basis.SITE, self._site.get(stay.site_id, nobody)),
            (Basis.REGION, self._region),
        ):
            samples = self._scaled(rows, stay.stated_s - stay.arrived_s)
            samples = samples[samples > beyond_s - stay.arrived_s]
            if samples.size >= least_samples(probability):
                return samples, basis
        return np.zeros(0), Basis.STATED

    def _scaled(self, rows: Whole, stated_s: float) -> Numbers:
        """Lengths of the nearest stays, stretched to the stated length; all lengths as they were where none was stated."""
        if not stated_s > 0:  # NaN as well
            return self._lasted_s[rows]
        rows = rows[: int(np.searchsorted(self._stated_s[rows], np.inf))]  # those without a statement stand last
        first = int(np.searchsorted(self._stated_s[rows], stated_s)) - NEAREST_STAYS // 2
        first = max(0, min(first, rows.size - NEAREST_STAYS))
        near = rows[first : first + NEAREST_STAYS]
        return self._lasted_s[near] / self._stated_s[near] * stated_s


def _rows_by(key: Whole, counted: NDArray[np.bool_]) -> dict[int, Whole]:
    """The rows of every key, in their order."""
    rows = np.flatnonzero(counted)
    if not rows.size:
        return {}
    rows = rows[np.argsort(key[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(key[rows], prepend=key[rows[0]] - 1))
    return {int(key[part[0]]): part for part in np.split(rows, starts[1:])}


def forecast_departure(
    history: StayHistory, stay: RunningStay, *, now_s: float, served_s: float, probability: float
) -> DepartureForecast:
    """When a car that is plugged in at `now_s` will leave.

    The driver's own words bind: what is promised for a departure is never promised for later than they said, so that
    `leaves_after_s` is the stated departure at the latest.

    Args:
        served_s: when the need would be met by charging at full power from now on.
    """
    lasting, basis = history.samples_s(stay, beyond_s=now_s, probability=probability)
    if basis is Basis.STATED:
        return DepartureForecast(stay.stated_s, stay.stated_s, float("nan"), np.zeros(0), basis, 0)
    served, _ = history.samples_s(stay, beyond_s=max(now_s, served_s), probability=probability)
    at_least_s = exceeded_with(served, probability)
    # nobody stays long enough for so much: it is charged flat out, and would be by any plan
    leaves_after_s = served_s if at_least_s is None else stay.arrived_s + at_least_s
    return DepartureForecast(
        expected_s=stay.arrived_s + float(np.median(lasting)),
        leaves_after_s=float(np.fmin(leaves_after_s, stay.stated_s)),
        probability=probability,
        quantiles_s=stay.arrived_s + np.quantile(lasting, QUANTILE_PROBABILITIES),
        basis=basis,
        samples=lasting.size,
    )


def presence_probability(
    quantiles_s: Numbers,  # [car, quantile], NaN where nothing is known
    at_s: Numbers,  # [step]
    now_s: float,
) -> Numbers:  # [car, step]
    """Probability that cars which are there at `now_s` are still there at later instants; 1 where nothing is known.

    (1 − F(at)) / (1 − F(now)), F being the piecewise linear distribution through the kept quantiles. Below the lowest
    quantile F falls to zero over the same distance as to the next one, and above the highest it rises likewise.
    """
    present = np.ones((quantiles_s.shape[0], at_s.size))
    known = np.flatnonzero(~np.isnan(quantiles_s).any(axis=1))
    if not known.size:
        return present
    marks_s = quantiles_s[known]
    first_s, last_s = 2 * marks_s[:, :1] - marks_s[:, 1:2], 2 * marks_s[:, -1:] - marks_s[:, -2:-1]
    marks_s = np.concatenate([first_s, marks_s, last_s], axis=1)
    here = 1.0 - _left_fraction(marks_s, now_s)
    outstayed = here <= _ROUNDING  # a car that outstays every sample is one of which nothing more is known
    for step, later_s in enumerate(at_s.tolist()):
        part = np.minimum((1.0 - _left_fraction(marks_s, later_s)) / np.where(outstayed, 1.0, here), 1.0)
        present[known, step] = np.where(outstayed, 1.0, part)
    return present


def _left_fraction(marks_s: Numbers, at_s: float) -> Numbers:  # [car]
    """The piecewise linear distribution through marks at levels 0, 5, …, 95 and 100 %, at one instant."""
    levels = np.concatenate([[0.0], QUANTILE_PROBABILITIES, [1.0]])
    below = np.clip((marks_s <= at_s).sum(axis=1) - 1, 0, levels.size - 2)
    row = np.arange(marks_s.shape[0])
    low_s, width_s = marks_s[row, below], marks_s[row, below + 1] - marks_s[row, below]
    part = np.clip((at_s - low_s) / np.where(width_s > 0.0, width_s, 1.0), 0.0, 1.0)
    return levels[below] + part * (levels[below + 1] - levels[below])
