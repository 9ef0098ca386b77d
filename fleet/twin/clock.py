"""The twin's time: the world may run faster than the clock on the wall, instants on the wire stay real."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class TwinClock:
    """Counts the seconds of the world since the twin started.

    At a `speed` above 1 cars come, charge and go that much faster, while every timestamp is the real one. Energy
    registers then run ahead of what power and time say: good for looking at, not for settling.
    """

    started_at: datetime
    speed: float = 1.0

    def now(self) -> datetime:
        """The real instant, aware and in UTC."""
        return datetime.now(UTC)

    def world_s(self, now: datetime) -> float:
        """Seconds of the world since the start."""
        return (now - self.started_at).total_seconds() * self.speed
