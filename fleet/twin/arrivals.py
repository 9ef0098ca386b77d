"""When cars come, how long they stay plugged in, and how much energy they want, drawn from ElaadNL's distributions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidInput
from fleet.twin.tables import read_table

Numbers = NDArray[np.float64]

USES = ("private", "public", "workplace")
QUARTER_H = 0.25
SHORTEST_STAY_H = 0.1
HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True)
class Stays:
    """Drawn charging events, one entry each.

    Attributes:
        arrival_h: local time of day at which the car is plugged in, in [0, 24).
        duration_h: how long it stays plugged in.
        energy_kwh: what its driver wants within that time, measured at the connector.
    """

    arrival_h: Numbers  # [stay]
    duration_h: Numbers  # [stay]
    energy_kwh: Numbers  # [stay]

    def __len__(self) -> int:
        return len(self.arrival_h)

    @property
    def departure_h(self) -> Numbers:
        """Local time of unplugging, counted from the midnight before the arrival; beyond 24 on a later day."""
        return self.arrival_h + self.duration_h


def draw_stays(*, count: int, use: str, seed: int, weekend: bool = False, charge_kw: float = 11.0) -> Stays:
    """Draw charging events of one kind of place.

    The published tables are of each quantity by itself. Time of arrival, length of stay and energy are therefore drawn
    independently, and the energy is then cut to what `charge_kw` delivers within the stay.

    Args:
        count: number of events.
        use: "private", "public" or "workplace".
        seed: the same seed gives the same events.
        weekend: use the table of arrivals at weekends; workplaces have none and keep theirs of weekdays.
        charge_kw: charging power by which the energy of short stays is limited.

    Raises:
        InvalidInput: `count` is negative, `charge_kw` not positive, or `use` unknown.
    """
    if count < 0:
        raise InvalidInput(f"{count} events cannot be drawn.", field="count", remedy="Give 0 or more.")
    if not charge_kw > 0:
        raise InvalidInput(f"{charge_kw} kW cannot charge a car.", field="charge_kw", remedy="Give a power above 0.")
    if use not in USES:
        raise InvalidInput(
            f"there is no distribution for {use!r}.", field="use", remedy=f"Give one of {', '.join(USES)}."
        )
    generator = np.random.default_rng(seed)
    shares = _arrival_shares(use, weekend)
    quarters = generator.choice(len(shares), size=count, p=shares)
    arrival_h = (quarters + generator.random(count)) * QUARTER_H
    duration_h = np.maximum(_draw_exceeded(generator, count, f"{use}_h"), SHORTEST_STAY_H)
    energy_kwh = np.minimum(_draw_exceeded(generator, count, f"{use}_kwh"), duration_h * charge_kw)
    return Stays(arrival_h, duration_h, energy_kwh)


def draw_parked(
    *, count: int, use: str, seed: int, at_h: float, weekend: bool = False, charge_kw: float = 11.0
) -> Stays:
    """Draw cars found plugged in at a time of day.

    A long stay is more likely to be met than a short one: each drawn event counts as often as it covers that time of
    day. `remaining_h` gives how long each of them still stays.

    Args:
        count, use, seed, weekend, charge_kw: see `draw_stays`.
        at_h: local time of day.
    """
    generator = np.random.default_rng(seed)
    drawn = draw_stays(
        count=max(50 * count, 500), use=use, seed=int(generator.integers(2**31)), weekend=weekend, charge_kw=charge_kw
    )
    since_h = np.mod(at_h - drawn.arrival_h, HOURS_PER_DAY)
    covers = np.maximum(np.floor((drawn.duration_h - since_h) / HOURS_PER_DAY) + 1, 0)
    met = generator.choice(len(drawn), size=count, p=covers / covers.sum())
    return Stays(drawn.arrival_h[met], drawn.duration_h[met], drawn.energy_kwh[met])


def remaining_h(stays: Stays, *, at_h: float) -> Numbers:
    """Hours that cars found plugged in at a time of day (`draw_parked`) still stay.

    A car that stays for days is taken to have come on the last of them.
    """
    return np.maximum(stays.duration_h - np.mod(at_h - stays.arrival_h, HOURS_PER_DAY), 0.0)


@cache
def _arrival_shares(use: str, weekend: bool) -> Numbers:  # [quarter of an hour]
    column = f"{use}_weekend" if weekend and use != "workplace" else use
    shares = np.array([float(row[column]) for row in read_table("arrivals")])
    return shares / shares.sum()


@cache
def _exceeded_values(column: str) -> tuple[Numbers, Numbers]:
    rows = read_table("stays")
    return np.array([float(row["percent"]) for row in rows]), np.array([float(row[column]) for row in rows])


def _draw_exceeded(generator: np.random.Generator, count: int, column: str) -> Numbers:
    """Draw by inverting a table of "this percentage of events exceeds that value"."""
    percent, value = _exceeded_values(column)
    return np.interp(generator.uniform(0.0, 100.0, count), percent, value)
