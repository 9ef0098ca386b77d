"""Prices and emission factors over time, and what of the prices could be known when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from common.horizon import mean_over_steps

Numbers = NDArray[np.float64]

DAY_S = 86400.0


@dataclass(frozen=True, eq=False)
class SlotSeries:
    """Values of consecutive slots of one length, without gaps.

    Attributes:
        starts_s: start of the first slot, seconds since 1970 (UTC).
        slot_s: length of every slot.
        value: one per slot.
    """

    starts_s: float
    slot_s: float
    value: Numbers  # [slot]

    @property
    def ends_s(self) -> float:
        """End of the last slot."""
        return self.starts_s + self.slot_s * self.value.size

    def slot_of(self, at_s: Numbers | float) -> NDArray[np.int64]:
        """Index of the slot that holds an instant; the first or last for instants outside."""
        slot = np.floor((np.asarray(at_s, dtype=np.float64) - self.starts_s) / self.slot_s + 1e-9).astype(np.int64)
        return np.clip(slot, 0, self.value.size - 1)

    def boundaries_s(self, from_s: float, until_s: float) -> Numbers:
        """Slot starts strictly between two instants."""
        first = np.floor((from_s - self.starts_s) / self.slot_s) + 1
        last = np.ceil((until_s - self.starts_s) / self.slot_s)
        return self.starts_s + self.slot_s * np.arange(first, max(first, last))

    def mean_between(self, boundaries_s: Numbers) -> Numbers:  # [boundary - 1]
        """Time-weighted mean between neighbouring boundaries."""
        first, last = int(self.slot_of(boundaries_s[0])), int(self.slot_of(boundaries_s[-1]))
        low_s: Numbers = np.asarray(self.starts_s + self.slot_s * np.arange(first, last + 1), dtype=np.float64)
        origin_s = float(boundaries_s[0])  # small numbers keep the sums exact
        return mean_over_steps(
            boundaries_s - origin_s, low_s - origin_s, low_s - origin_s + self.slot_s, self.value[first : last + 1]
        )


@dataclass(frozen=True, eq=False)
class PriceKnowledge:
    """When prices become known: a day's at `publication` on the day before, local time of the market.

    Attributes:
        published_s: instants of publication, ascending.
        known_until_s: end of the last day known from each publication on.
    """

    prices: SlotSeries
    published_s: Numbers  # [publication]
    known_until_s: Numbers  # [publication]

    @classmethod
    def daily(cls, prices: SlotSeries, *, zone: tzinfo, publication: time = time(13)) -> PriceKnowledge:
        """Day-ahead prices of a market in a time zone."""
        first = datetime.fromtimestamp(prices.starts_s, zone).date() - timedelta(days=1)
        days = int((prices.ends_s - prices.starts_s) // DAY_S) + 3
        dates = [first + timedelta(days=day) for day in range(days)]
        published = [datetime.combine(date, publication, zone).timestamp() for date in dates]
        until = [datetime.combine(date + timedelta(days=2), time(0), zone).timestamp() for date in dates]
        return cls(prices, np.array(published), np.array(until))

    def known_until(self, now_s: float) -> float:
        """Until when prices are known at an instant."""
        latest = int(np.searchsorted(self.published_s, now_s, side="right")) - 1
        return float(self.known_until_s[max(latest, 0)])

    def expected_between(self, now_s: float, boundaries_s: Numbers) -> Numbers:  # [boundary - 1]
        """Prices between boundaries as they can be expected now: known, or those of the last known day again.

        Boundaries include every slot's start, so that each stretch lies in one slot.
        """
        middle_s = (boundaries_s[:-1] + boundaries_s[1:]) / 2
        known_until_s = min(self.known_until(now_s), self.prices.ends_s)
        days_late = np.maximum(np.ceil((middle_s - known_until_s) / DAY_S), 0.0)
        return self.prices.value[self.prices.slot_of(middle_s - days_late * DAY_S)]


def typical_week(series: SlotSeries, zone: tzinfo, first_s: float, last_s: float, target_zone: tzinfo) -> SlotSeries:
    """Hourly values for another span of time: the series' mean by local hour of the week.

    An hour of the week that the series never meets takes the series' mean.

    Args:
        series: what there is.
        zone: its local time.
        first_s, last_s: the span wanted, seconds since 1970.
        target_zone: local time there; the same hour of the week on each local clock is matched.
    """
    hours = np.array(
        [_hour_of_week(at_s, zone) for at_s in series.starts_s + series.slot_s * (np.arange(series.value.size) + 0.5)]
    )
    total, count = np.bincount(hours, series.value, 168), np.bincount(hours, minlength=168)
    mean = np.divide(total, count, out=np.full(168, float(series.value.mean())), where=count > 0)
    start_s = np.floor(first_s / 3600.0) * 3600.0
    slots = int(np.ceil((last_s - start_s) / 3600.0)) + 1
    wanted = [_hour_of_week(start_s + 3600.0 * (slot + 0.5), target_zone) for slot in range(slots)]
    return SlotSeries(float(start_s), 3600.0, mean[np.array(wanted)])


def _hour_of_week(at_s: float, zone: tzinfo) -> int:
    local = datetime.fromtimestamp(at_s, zone)
    return local.weekday() * 24 + local.hour
