"""The planning horizon: a start instant and steps of any lengths, aligned with whatever must not straddle a step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from common.clock import require_aware
from common.errors import InvalidInput
from common.units import SECONDS_PER_HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A regular step may not end closer than this to a boundary that somebody asked for: it is merged into its neighbour.
SHORTEST_REGULAR_STEP_S = 1.0


@dataclass(frozen=True, slots=True)
class FineRange:
    """A half-open stretch of time, such as an event, that gets steps of its own length counted from its start."""

    starts_at: datetime
    ends_at: datetime
    step_s: float


@dataclass(frozen=True, eq=False)
class Horizon:
    """Consecutive steps from `starts_at`; step t covers [starts_at + offset_s[t], starts_at + offset_s[t + 1]).

    Attributes:
        starts_at: aware UTC instant at which step 0 begins.
        step_s: length of every step in seconds, all positive.

    Raises:
        InvalidInput: a step has no length, or the instant has no time zone.
    """

    starts_at: datetime
    step_s: NDArray[np.float64]  # [step]

    def __post_init__(self) -> None:
        if self.starts_at.tzinfo is None:
            raise InvalidInput(
                "has no time zone",
                field="starts_at",
                remedy="Give an aware UTC instant.",
            )
        step_s = np.asarray(self.step_s, dtype=np.float64)
        if step_s.ndim != 1 or not np.all(np.isfinite(step_s)) or np.any(step_s <= 0):
            raise InvalidInput(
                "must be a row of positive lengths",
                field="step_s",
                remedy="Give seconds above zero.",
            )
        object.__setattr__(self, "step_s", step_s)

    @classmethod
    def uniform(cls, starts_at: datetime, *, steps: int, step_s: float) -> Horizon:
        """A horizon of equal steps."""
        return cls(require_aware(starts_at, "starts_at"), np.full(steps, float(step_s)))

    def __len__(self) -> int:
        return int(self.step_s.size)

    @property
    def steps(self) -> int:
        """Number of steps."""
        return int(self.step_s.size)

    @cached_property
    def step_h(self) -> NDArray[np.float64]:  # [step]
        """Length of every step in hours."""
        return self.step_s / SECONDS_PER_HOUR

    @cached_property
    def offset_s(self) -> NDArray[np.float64]:  # [step + 1]
        """Seconds from `starts_at` to every step's start, and at last to the end of the horizon."""
        return np.concatenate([[0.0], np.cumsum(self.step_s)])

    @property
    def ends_at(self) -> datetime:
        """The instant at which the last step ends."""
        return self.starts_at + timedelta(seconds=float(self.offset_s[-1]))

    def step_starts_at(self, step: int) -> datetime:
        """The instant at which a step begins; `steps` itself gives the end of the horizon."""
        return self.starts_at + timedelta(seconds=float(self.offset_s[step]))

    def step_ends_at(self, step: int) -> datetime:
        """The instant at which a step ends."""
        return self.step_starts_at(step + 1)

    def boundaries(self) -> list[datetime]:
        """Every step's start and the end of the last: steps + 1 instants."""
        return [self.starts_at + timedelta(seconds=float(offset)) for offset in self.offset_s]

    def seconds_after_start(self, instant: datetime) -> float:
        """Seconds from the start of the horizon; negative before it."""
        return (require_aware(instant, "instant") - self.starts_at).total_seconds()

    def contains(self, instant: datetime) -> bool:
        """Whether the instant lies in some step."""
        return 0 <= self.seconds_after_start(instant) < self.offset_s[-1]

    def step_at(self, instant: datetime) -> int:
        """The step that contains an instant.

        Raises:
            InvalidInput: the instant lies outside the horizon.
        """
        if not self.contains(instant):
            raise InvalidInput(
                f"{instant.isoformat()} lies outside the horizon",
                field="instant",
                remedy="Extend the horizon.",
            )
        return int(np.searchsorted(self.offset_s, self.seconds_after_start(instant), side="right") - 1)

    def first_step_from(self, instant: datetime) -> int:
        """The first step that begins at or after an instant, between 0 and `steps`."""
        return int(
            min(
                int(np.searchsorted(self.offset_s, self.seconds_after_start(instant), side="left")),
                self.steps,
            )
        )

    def last_step_until(self, instant: datetime) -> int:
        """The number of steps that have ended at or before an instant: the half-open end of a window, 0 to `steps`."""
        ended = int(np.searchsorted(self.offset_s, self.seconds_after_start(instant), side="right")) - 1
        return int(np.clip(ended, 0, self.steps))

    def overlap_fraction(self, starts_at: datetime, ends_at: datetime) -> NDArray[np.float64]:  # [step]
        """The part of every step, 0 to 1, that lies within [starts_at, ends_at)."""
        low, high = (
            self.seconds_after_start(starts_at),
            self.seconds_after_start(ends_at),
        )
        overlap_s = np.minimum(self.offset_s[1:], high) - np.maximum(self.offset_s[:-1], low)
        return np.clip(overlap_s, 0.0, None) / self.step_s

    def mean_of_series(
        self,
        starts_at: Sequence[datetime],
        slot_s: Sequence[float] | float,
        values: Sequence[float],
    ) -> NDArray[np.float64]:  # [step]
        """Time-weighted mean over every step of a series of slots; NaN where a step meets no slot.

        A step that is covered in part takes the mean of the part that is covered.

        Args:
            starts_at: aware start of every slot; slots may not overlap.
            slot_s: length of every slot, or of all, in seconds.
            values: the slots' values, such as prices.
        """
        low = np.array(
            [self.seconds_after_start(instant) for instant in starts_at],
            dtype=np.float64,
        )
        high = low + np.broadcast_to(np.asarray(slot_s, dtype=np.float64), low.shape)
        return mean_over_steps(self.offset_s, low, high, np.asarray(values, dtype=np.float64))


def mean_over_steps(
    offset_s: NDArray[np.float64],  # [step + 1]
    low_s: NDArray[np.float64],  # [slot]
    high_s: NDArray[np.float64],  # [slot]
    values: NDArray[np.float64],  # [slot]
) -> NDArray[np.float64]:  # [step]
    """Time-weighted mean of half-open slots [low_s, high_s) over the steps between the offsets; NaN where none meets."""
    order = np.argsort(low_s, kind="stable")
    low_s, high_s, values = low_s[order], high_s[order], values[order]
    if low_s.size == 0:
        return np.full(offset_s.size - 1, np.nan)

    def integral_until(at_s: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.concatenate([[0.0], np.cumsum((high_s - low_s) * weights)])
        slot = np.searchsorted(low_s, at_s, side="right") - 1
        inside_s = np.clip(np.minimum(at_s, high_s[slot]) - low_s[slot], 0.0, None)
        return np.where(slot < 0, 0.0, whole[np.maximum(slot, 0)] + inside_s * weights[slot])

    covered_s = np.diff(integral_until(offset_s, np.ones_like(values)))
    total = np.diff(integral_until(offset_s, values))
    # The slots are summed from the first on: what is left of rounding below a microsecond is no coverage.
    met = covered_s > 1e-6
    return np.divide(total, covered_s, out=np.full(total.shape, np.nan), where=met)


def build_horizon(
    now: datetime,
    *,
    hours: float,
    base_step_s: float = 900.0,
    boundaries: Iterable[datetime] = (),
    fine: Iterable[FineRange] = (),
) -> Horizon:
    """Lay steps from `now` to at least `hours` later.

    Regular steps end on the clock's multiples of `base_step_s` (UTC), so the first is usually shorter. Every boundary
    inside the horizon is also a step's end. A fine range is cut into its own steps from its own start, whatever its
    length, and no regular step reaches into it. Where ranges overlap, each one's cuts are kept.

    Args:
        now: aware instant at which step 0 begins.
        hours: least length of the horizon; it ends on the next multiple of `base_step_s`.
        base_step_s: length of a regular step.
        boundaries: instants that no step may straddle, such as price changes or an event's start.
        fine: stretches that want their own step length, such as events with 15 s slots.

    Raises:
        InvalidInput: no length is asked for, a range ends before it starts, or has steps of no length.
    """
    start = require_aware(now, "now")
    if not hours > 0 or not base_step_s > 0:
        raise InvalidInput(
            "hours and base_step_s must be above zero",
            field="hours",
            remedy="Ask for some time.",
        )
    end_s = _next_multiple(start, hours * SECONDS_PER_HOUR, base_step_s)
    wanted: set[float] = {0.0, end_s}
    wanted.update((require_aware(at, "boundaries") - start).total_seconds() for at in boundaries)
    ranges = []
    for stretch in fine:
        cuts = _cuts_of(stretch, start)
        wanted.update(cuts.tolist())
        ranges.append((cuts[0], cuts[-1]))
    fixed = np.array(sorted(at for at in wanted if 0 <= at <= end_s))
    fixed = fixed[np.concatenate([[True], np.diff(fixed) > 1e-6])]
    regular = np.arange(_next_multiple(start, 0.0, base_step_s), end_s, base_step_s)
    for low, high in ranges:
        regular = regular[(regular <= low) | (regular >= high)]
    return Horizon(start, np.diff(_merge(fixed, regular)))


def _cuts_of(stretch: FineRange, start: datetime) -> NDArray[np.float64]:
    """Seconds from `start` to every boundary of a fine range, its end included."""
    low = (require_aware(stretch.starts_at, "fine.starts_at") - start).total_seconds()
    high = (require_aware(stretch.ends_at, "fine.ends_at") - start).total_seconds()
    if not high > low or not stretch.step_s > 0:
        raise InvalidInput("ends before it starts, or has steps of no length", field="fine", remedy="Mend the range.")
    steps = int(np.ceil((high - low) / stretch.step_s - 1e-9))
    return np.append(low + stretch.step_s * np.arange(steps), high)


def _merge(fixed: NDArray[np.float64], regular: NDArray[np.float64]) -> NDArray[np.float64]:
    """All fixed boundaries, and the regular ones that leave no sliver beside them."""
    near = np.searchsorted(fixed, regular)
    gap_s = np.minimum(
        np.abs(regular - fixed[np.minimum(near, fixed.size - 1)]),
        np.abs(regular - fixed[np.maximum(near - 1, 0)]),
    )
    return np.sort(np.concatenate([fixed, regular[gap_s >= SHORTEST_REGULAR_STEP_S]]))


def _next_multiple(start: datetime, after_s: float, base_step_s: float) -> float:
    """Seconds from `start` to the first clock multiple of `base_step_s` at or after `start + after_s`."""
    since_epoch_s = (start - _EPOCH).total_seconds()
    return float(np.ceil((since_epoch_s + after_s) / base_step_s - 1e-9) * base_step_s - since_epoch_s)
