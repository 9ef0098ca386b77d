"""A power schedule over time: what holds at an instant, and when that changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PowerTimetable:
    """`power_kw[i]` (+ into the asset) holds from `starts_at + offset_s[i]` until the next entry, the last until
    `valid_until`. The first entry holds from `starts_at` whatever its offset."""

    starts_at: datetime
    valid_until: datetime
    offset_s: Sequence[float]
    power_kw: Sequence[float]

    def entry_at(self, now: datetime) -> int | None:
        """Index of the entry that holds; None before the start and from `valid_until` on."""
        if not self.starts_at <= now < self.valid_until:
            return None
        elapsed_s = (now - self.starts_at).total_seconds()
        return max(bisect_right(self.offset_s, elapsed_s) - 1, 0)

    def power_at(self, now: datetime) -> float | None:
        """Power that holds; None before the start and from `valid_until` on."""
        entry = self.entry_at(now)
        return None if entry is None else self.power_kw[entry]

    def next_change_after(self, now: datetime) -> datetime | None:
        """When the next entry begins to hold, or the timetable itself; None if nothing more comes before its end."""
        if now < self.starts_at:
            return self.starts_at
        entry = self.entry_at(now)
        if entry is None or entry + 1 >= len(self.offset_s):
            return None
        at = self.starts_at + timedelta(seconds=self.offset_s[entry + 1])
        return at if at < self.valid_until else None
