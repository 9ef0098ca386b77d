"""The planner in a replay: the same exact plan as in production, made again whenever something material changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from aggregator.core.dispatch import DispatchProblem, EventTarget, SiteLimits, solve
from aggregator.core.replay.engine import Present, ReplayEvent, latest_kwh
from aggregator.core.replay.policies import UncontrolledShadow, active_events, power_at
from aggregator.core.replay.series import PriceKnowledge
from aggregator.core.replay.sessions import ReplayFleet
from common.horizon import Horizon
from common.units import SECONDS_PER_HOUR
from fleet.core.flexibility import FlexibleAssets

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]

# Vehicles that stay longer are planned as far as this, with their whole request due by then.
LONGEST_HORIZON_S = 48 * SECONDS_PER_HOUR

# Of equally cheap steps the sooner is taken: each hour later counts as this part of the mean price more. Prices that are
# not published yet are guesses, and a bird in the hand is worth more.
SOONER_FRACTION_PER_HOUR = 2e-5


class Planned:
    """Plans all present vehicles together, one-way or with discharge, under the site's limit and towards events.

    Where neither a limit nor an event ties the vehicles to one another, the joint optimum is made of each vehicle's own,
    and only the vehicles with news are planned again.

    Under a site limit, vehicles still to come may fill the site at any time. So none counts on more than its equal share
    of the limit later: `places` vehicles at once can all have that. Whoever needs more charges at once.
    """

    def __init__(
        self,
        fleet: ReplayFleet,
        knowledge: PriceKnowledge,
        *,
        discharges: bool,
        site_import_kw: float = np.inf,
        places: int = 1,
        events: Sequence[ReplayEvent] = (),
        missed_price_per_kwh: float = 3.0,
    ) -> None:
        self.fleet = fleet
        self.knowledge = knowledge
        self.discharges = discharges
        self.site_import_kw = site_import_kw
        self.assured_kw = min(fleet.vehicle.charge_kw, site_import_kw / places)
        self.shadow = UncontrolledShadow(fleet, site_import_kw)
        self.events = tuple(events)
        self.missed_price_per_kwh = missed_price_per_kwh
        self.sooner_per_h = SOONER_FRACTION_PER_HOUR * float(np.abs(knowledge.prices.value).mean())
        self.plans_made = 0
        self.solver_s = 0.0
        self.largest_gap = 0.0
        self._known_until_s = -np.inf
        self._event_count = 0
        self._plans: dict[int, tuple[Numbers, Numbers]] = {}

    def decide(self, now_s: float, until_s: float, present: Present) -> Numbers:
        """The power of the plan in force, after planning again if something has changed."""
        known_until_s = self.knowledge.known_until(now_s)
        events = active_events(self.events, now_s, now_s + LONGEST_HORIZON_S)
        news = known_until_s > self._known_until_s or len(events) != self._event_count
        tied = bool(events) or np.isfinite(self.site_import_kw)
        self._known_until_s, self._event_count = known_until_s, len(events)
        if news or (tied and (present.arrived.size or self._somebody_left_early(now_s, present))):
            self._plan(now_s, present.rows, present.energy_kwh, events)
        elif present.arrived.size:
            new = np.isin(present.rows, present.arrived)
            self._plan(now_s, present.rows[new], present.energy_kwh[new], events)
        self.shadow.advance(now_s, until_s, present.rows)
        nothing = np.array([now_s]), np.zeros(0)
        return np.array([power_at(self._plans.get(row, nothing), now_s) for row in present.rows.tolist()])

    def _somebody_left_early(self, now_s: float, present: Present) -> bool:
        """Whether a vehicle with a plan for now is gone; forgets the plans of all that are."""
        gone = set(self._plans) - set(present.rows.tolist()) if present.left else set()
        early = any(self.fleet.announced_s[row] > now_s + 1.0 for row in gone)
        for row in gone:
            del self._plans[row]
        return early

    def _plan(self, now_s: float, rows: Rows, energy_kwh: Numbers, events: list[ReplayEvent]) -> None:
        # Who stays beyond the announced departure may leave any moment: the safeguard fills it, nothing is planned.
        expected = self.fleet.announced_s[rows] > now_s + 1.0
        for row in rows[~expected].tolist():
            self._plans.pop(row, None)
        rows, energy_kwh = rows[expected], energy_kwh[expected]
        if not rows.size:
            return
        boundaries_s = self._boundaries(now_s, rows, events)
        plan = solve(self._problem(now_s, rows, energy_kwh, boundaries_s, events))
        self.plans_made += 1
        self.solver_s += plan.wall_s
        self.largest_gap = max(self.largest_gap, plan.gap)
        for place, row in enumerate(rows.tolist()):
            self._plans[row] = boundaries_s, plan.power_kw[place]

    def _boundaries(self, now_s: float, rows: Rows, events: list[ReplayEvent]) -> Numbers:
        """Price slots, announced departures and events from now to the last departure."""
        leaves_s = np.minimum(self.fleet.announced_s[rows], now_s + LONGEST_HORIZON_S)
        last_s = float(leaves_s.max())
        edges_s = np.array([edge for event in events for edge in (event.starts_s, event.ends_s)], dtype=np.float64)
        marks_s = np.concatenate([self.knowledge.prices.boundaries_s(now_s, last_s), leaves_s, edges_s])
        marks_s = np.unique(marks_s[(marks_s > now_s + 0.5) & (marks_s <= last_s)])
        marks_s = marks_s[np.concatenate([[True], np.diff(marks_s) > 1e-3])]
        return np.concatenate([[now_s], marks_s])

    def _problem(
        self, now_s: float, rows: Rows, energy_kwh: Numbers, boundaries_s: Numbers, events: list[ReplayEvent]
    ) -> DispatchProblem:
        fleet, vehicle = self.fleet, self.fleet.vehicle
        count, steps = rows.size, boundaries_s.size - 1
        leaves_s = np.minimum(fleet.announced_s[rows], boundaries_s[-1])
        ceiling_kwh = fleet.capacity_kwh[rows] if self.discharges else fleet.required_kwh[rows]
        assets = FlexibleAssets(
            asset_id=rows,
            site_index=np.zeros(count, dtype=np.int64),
            node_index=np.full(count, -1),
            arrival_step=np.zeros(count, dtype=np.int64),
            departure_step=np.searchsorted(boundaries_s, leaves_s - 1e-3),
            energy_kwh=energy_kwh,
            required_kwh=fleet.required_kwh[rows],
            capacity_kwh=np.maximum(ceiling_kwh, energy_kwh),
            floor_kwh=np.minimum(fleet.floor_kwh[rows], energy_kwh),
            charge_kw=np.full(count, vehicle.charge_kw),
            discharge_kw=np.full(count, vehicle.discharge_kw if self.discharges else 0.0),
            charge_efficiency=np.full(count, vehicle.charge_efficiency),
            discharge_efficiency=np.full(count, vehicle.discharge_efficiency),
            wear_per_kwh=np.full(count, vehicle.wear_per_kwh),
            milestone_kwh=latest_kwh(fleet, rows, boundaries_s[1:], self.assured_kw),
        )
        later_h = (boundaries_s[:-1] - now_s) / SECONDS_PER_HOUR
        sites = None
        if np.isfinite(self.site_import_kw):
            sites = SiteLimits.constant(["site"], steps=steps, import_limit_kw=self.site_import_kw)
        return DispatchProblem(
            assets=assets,
            horizon=Horizon(datetime.fromtimestamp(now_s, UTC), np.diff(boundaries_s)),
            price_per_kwh=self.knowledge.expected_between(now_s, boundaries_s) + self.sooner_per_h * later_h,
            sites=sites,
            targets=tuple(self._target(event, rows, boundaries_s) for event in events),
        )

    def _target(self, event: ReplayEvent, rows: Rows, boundaries_s: Numbers) -> EventTarget:
        """Uncontrolled load of the present vehicles less the reduction, in the event's steps."""
        middle_s = (boundaries_s[:-1] + boundaries_s[1:]) / 2
        inside = (middle_s >= event.starts_s) & (middle_s < event.ends_s)
        baseline_kw = self.shadow.load_kw(rows, boundaries_s)
        return EventTarget(
            event_id=event.starts_s,
            target_power_kw=np.where(inside, baseline_kw - event.reduction_kw, np.nan),
            missed_price_per_kwh=self.missed_price_per_kwh,
        )
