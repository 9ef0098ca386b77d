"""Time as values: aware UTC instants and half-open intervals. Nobody here looks at a clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


def require_aware(instant: datetime, field: str) -> datetime:
    """Return the instant in UTC.

    Raises:
        ValueError: the instant has no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{field} has no time zone; write it with one, such as 2026-11-23T18:30:00+09:00")
    return instant.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Interval:
    """A half-open interval of time: `starts_at` belongs to it, `ends_at` does not."""

    starts_at: datetime
    ends_at: datetime

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.ends_at - self.starts_at).total_seconds()

    def contains(self, instant: datetime) -> bool:
        """Whether the instant lies in the interval."""
        return self.starts_at <= instant < self.ends_at

    def overlaps(self, other: Interval) -> bool:
        """Whether the two share any time; intervals that only touch do not."""
        return self.starts_at < other.ends_at and other.starts_at < self.ends_at

    def slots(self, slot_s: int) -> list[Interval]:
        """Cut the interval into slots of `slot_s` seconds from its start; the last may be shorter."""
        step = timedelta(seconds=slot_s)
        cuts, at = [], self.starts_at
        while at < self.ends_at:
            cuts.append(Interval(at, min(at + step, self.ends_at)))
            at += step
        return cuts
