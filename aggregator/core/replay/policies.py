"""The policies that a replay compares: charging at once, each car by price for itself, and the planner."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aggregator.core.replay.engine import Present, ReplayEvent, share_equally
from aggregator.core.replay.series import PriceKnowledge
from aggregator.core.replay.sessions import ReplayFleet
from common.units import SECONDS_PER_HOUR

Numbers = NDArray[np.float64]


class Uncontrolled:
    """Every vehicle charges at full power from arrival until its request is met; a crowded site shares equally."""

    discharges = False
    assured_kw = None

    def __init__(self, fleet: ReplayFleet, site_import_kw: float = np.inf) -> None:
        self.fleet = fleet
        self.site_import_kw = site_import_kw

    def decide(self, now_s: float, until_s: float, present: Present) -> Numbers:
        """Full power, or the equal share of the site's limit that nobody who still needs energy falls below."""
        vehicle, hours = self.fleet.vehicle, (until_s - now_s) / SECONDS_PER_HOUR
        missing_kwh = np.maximum(self.fleet.required_kwh[present.rows] - present.energy_kwh, 0.0)
        wanted_kw = np.minimum(vehicle.charge_kw, missing_kwh / (vehicle.charge_efficiency * hours))
        return share_equally(wanted_kw, self.site_import_kw)


class PriceOnly:
    """Every vehicle for itself fills the cheapest slots before its departure; it knows of no site and no event."""

    discharges = False
    assured_kw = None

    def __init__(self, fleet: ReplayFleet, knowledge: PriceKnowledge, site_import_kw: float = np.inf) -> None:
        self.fleet = fleet
        self.knowledge = knowledge
        self.site_import_kw = site_import_kw
        self._known_until_s = -np.inf
        self._cut_short = False
        self._plans: dict[int, tuple[Numbers, Numbers]] = {}

    def decide(self, now_s: float, until_s: float, present: Present) -> Numbers:
        """The power of each vehicle's own plan, made at arrival, when prices are published, and when it was cut short."""
        known_until_s = self.knowledge.known_until(now_s)
        news = known_until_s > self._known_until_s or self._cut_short
        self._known_until_s = known_until_s
        arrived = set(present.arrived.tolist())
        wanted_kw = np.zeros(present.rows.size)
        for place, row in enumerate(present.rows.tolist()):
            if news or row in arrived:
                self._plans[row] = self._plan(now_s, row, float(present.energy_kwh[place]))
            wanted_kw[place] = power_at(self._plans[row], now_s)
        shared_kw = share_equally(wanted_kw, self.site_import_kw)
        self._cut_short = bool(np.any(shared_kw < wanted_kw))
        return shared_kw

    def _plan(self, now_s: float, row: int, energy_kwh: float) -> tuple[Numbers, Numbers]:
        leaves_s, vehicle = float(self.fleet.announced_s[row]), self.fleet.vehicle
        if leaves_s <= now_s:
            return np.array([now_s]), np.zeros(0)
        slots_s = self.knowledge.prices.boundaries_s(now_s, leaves_s)
        boundaries_s = np.concatenate([[now_s], slots_s, [leaves_s]])
        price = self.knowledge.expected_between(now_s, boundaries_s)
        hours = np.diff(boundaries_s) / SECONDS_PER_HOUR
        need_kwh = max(float(self.fleet.required_kwh[row]) - energy_kwh, 0.0) / vehicle.charge_efficiency
        return boundaries_s, fill_cheapest(price, hours, need_kwh, vehicle.charge_kw)


def fill_cheapest(price: Numbers, hours: Numbers, need_kwh: float, charge_kw: float) -> Numbers:  # [step]
    """Power that draws `need_kwh` from the meter in the cheapest steps, the earlier of equals first."""
    order = np.argsort(price, kind="stable")
    most_kwh = (hours * charge_kw)[order]
    taken_kwh = np.clip(need_kwh - (np.cumsum(most_kwh) - most_kwh), 0.0, most_kwh)
    power_kw = np.zeros_like(price)
    power_kw[order] = taken_kwh / hours[order]
    return power_kw


def power_at(plan: tuple[Numbers, Numbers], now_s: float) -> float:
    """A plan's power at an instant; zero after its end."""
    boundaries_s, power_kw = plan
    step = int(np.searchsorted(boundaries_s, now_s + 1e-3, side="right")) - 1
    return float(power_kw[step]) if 0 <= step < power_kw.size else 0.0


class UncontrolledShadow:
    """What the present vehicles would be doing had they been left alone: the baseline that an event is measured against.

    It runs along in virtual time, so it knows no more than the policy does.
    """

    def __init__(self, fleet: ReplayFleet, site_import_kw: float) -> None:
        self.policy = Uncontrolled(fleet, site_import_kw)
        self.energy_kwh = fleet.energy_kwh.copy()

    def advance(self, now_s: float, until_s: float, rows: NDArray[np.int64]) -> Numbers:  # [row]
        """Let the vehicles charge until `until_s`; returns the power each would have drawn."""
        power_kw, self.energy_kwh[rows] = self._step(now_s, until_s, rows, self.energy_kwh[rows])
        return power_kw

    def load_kw(self, rows: NDArray[np.int64], boundaries_s: Numbers) -> Numbers:  # [step]
        """Load of the present vehicles from now on, without those still to come."""
        leaves_s, energy_kwh = self.policy.fleet.announced_s[rows], self.energy_kwh[rows]
        load_kw = np.zeros(boundaries_s.size - 1)
        for step, (now_s, until_s) in enumerate(pairwise(boundaries_s.tolist())):
            here = np.flatnonzero(leaves_s > now_s + 1e-3)
            if not here.size:
                break
            power_kw, energy_kwh[here] = self._step(now_s, until_s, rows[here], energy_kwh[here])
            load_kw[step] = power_kw.sum()
        return load_kw

    def _step(
        self, now_s: float, until_s: float, rows: NDArray[np.int64], energy_kwh: Numbers
    ) -> tuple[Numbers, Numbers]:
        power_kw = self.policy.decide(now_s, until_s, Present(rows, energy_kwh, rows[:0], False))
        gained_kwh = self.policy.fleet.vehicle.charge_efficiency * power_kw * (until_s - now_s) / SECONDS_PER_HOUR
        return power_kw, energy_kwh + gained_kwh


def active_events(events: Sequence[ReplayEvent], now_s: float, until_s: float) -> list[ReplayEvent]:
    """Events that have been announced and touch the time from now on."""
    return [
        event for event in events if event.announced_s <= now_s and event.ends_s > now_s and event.starts_s < until_s
    ]
