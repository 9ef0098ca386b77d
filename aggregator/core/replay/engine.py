"""Virtual time: sessions come and go, a policy sets powers with what it knows, physics decide what really flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aggregator.core.replay.sessions import ReplayFleet
from common.units import SECONDS_PER_HOUR
from fleet.core.battery import deliverable_power_kw, energy_after_step, power_for_energy_change
from fleet.core.charging import laxity_h

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]

# Two boundaries closer than this are one.
SHORTEST_INTERVAL_S = 1e-3


@dataclass(frozen=True, slots=True)
class ReplayEvent:
    """A grid event in a replay: reduce the site's load below its uncontrolled load by so many kW, or increase it.

    Attributes:
        starts_s, ends_s: half-open, seconds since 1970.
        announced_s: when the planner hears of it.
        reduction_kw: positive = draw less, negative = draw more.
    """

    starts_s: float
    ends_s: float
    announced_s: float
    reduction_kw: float


@dataclass(frozen=True, eq=False)
class Present:
    """The vehicles that are plugged in now.

    Attributes:
        rows: their sessions.
        energy_kwh: what is in their batteries.
        arrived, left: whether anybody came, or went, since the policy was asked last.
    """

    rows: Rows  # [present]
    energy_kwh: Numbers  # [present]
    arrived: Rows
    left: bool


class Policy(Protocol):
    """Decides powers; sees only what could be known at the time."""

    @property
    def discharges(self) -> bool:
        """Whether vehicles may feed back; one-way policies fill no more than what was asked for."""

    @property
    def assured_kw(self) -> float | None:
        """Power that every vehicle can count on later, however full the site; None: no safeguard."""

    def decide(self, now_s: float, until_s: float, present: Present) -> Numbers:
        """Powers of the present vehicles until `until_s`, positive = charging."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What happened.

    Attributes:
        boundaries_s: ends of the intervals, one more than there are intervals.
        charge_kw, discharge_kw: totals of the site, never negative.
        charged_kwh, discharged_kwh: by session, at the meter.
        final_kwh: in each battery at departure.
    """

    boundaries_s: Numbers  # [interval + 1]
    charge_kw: Numbers  # [interval]
    discharge_kw: Numbers  # [interval]
    charged_kwh: Numbers  # [session]
    discharged_kwh: Numbers  # [session]
    final_kwh: Numbers  # [session]

    @property
    def power_kw(self) -> Numbers:  # [interval]
        """Net load of the site."""
        return self.charge_kw - self.discharge_kw

    @property
    def hours(self) -> Numbers:  # [interval]
        """Length of every interval."""
        return np.diff(self.boundaries_s) / SECONDS_PER_HOUR


def interval_boundaries(fleet: ReplayFleet, slots_s: Numbers, events: Sequence[ReplayEvent]) -> Numbers:
    """Every instant at which something can change: arrivals, departures, announced ones, price slots, events."""
    marks = [fleet.arrives_s, fleet.leaves_s, fleet.announced_s, slots_s]
    marks += [np.array([event.starts_s, event.ends_s, event.announced_s]) for event in events]
    instants = np.unique(np.concatenate(marks))
    first, last = fleet.arrives_s.min(), fleet.leaves_s.max()
    instants = instants[(instants >= first) & (instants <= last)]
    keep = np.concatenate([[True], np.diff(instants) > SHORTEST_INTERVAL_S])
    return instants[keep]


def replay(
    fleet: ReplayFleet,
    policy: Policy,
    boundaries_s: Numbers,
    *,
    site_import_kw: float = np.inf,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Trajectory:
    """Run a policy over all sessions.

    Whatever the policy says, the batteries' physics hold and the site's import limit holds (the least urgent give way).
    For policies with an assured power the safeguard holds too: no vehicle is left with less energy than it needs to fill
    its request by charging at the assured power from then on until its announced departure, and one that is, charges at
    full power. So a vehicle that can be satisfied is, before any money is made.

    Args:
        boundaries_s: from `interval_boundaries`.
        site_import_kw: limit of the site; infinite for none.
        progress: called with the fraction done.
    """
    count, intervals = len(fleet), boundaries_s.size - 1
    energy_kwh, charged_kwh, discharged_kwh = fleet.energy_kwh.copy(), np.zeros(count), np.zeros(count)
    charge_kw, discharge_kw = np.zeros(intervals), np.zeros(intervals)
    first_interval = np.searchsorted(boundaries_s, fleet.arrives_s - SHORTEST_INTERVAL_S)
    last_interval = np.searchsorted(boundaries_s, fleet.leaves_s - SHORTEST_INTERVAL_S)
    rows = np.zeros(0, dtype=np.int64)
    next_row = 0
    for interval in range(intervals):
        now_s, until_s = float(boundaries_s[interval]), float(boundaries_s[interval + 1])
        staying = rows[last_interval[rows] > interval]
        left, before = staying.size < rows.size, next_row
        while next_row < count and first_interval[next_row] <= interval:
            next_row += 1
        arrived = np.arange(before, next_row)
        arrived = arrived[last_interval[arrived] > interval]
        rows = np.concatenate([staying, arrived])
        if not rows.size:
            continue
        present = Present(rows, energy_kwh[rows], arrived, left)
        wanted_kw = policy.decide(now_s, until_s, present)
        power_kw = _what_flows(fleet, policy, present, wanted_kw, now_s, until_s, site_import_kw)
        hours = (until_s - now_s) / SECONDS_PER_HOUR
        energy_kwh[rows] = energy_after_step(energy_kwh[rows], power_kw, step_h=hours, **_efficiencies(fleet))
        charged_kwh[rows] += hours * np.maximum(power_kw, 0.0)
        discharged_kwh[rows] += hours * np.maximum(-power_kw, 0.0)
        charge_kw[interval], discharge_kw[interval] = np.maximum(power_kw, 0).sum(), np.maximum(-power_kw, 0).sum()
        if interval % 50 == 0:
            progress(interval / intervals)
    progress(1.0)
    return Trajectory(boundaries_s, charge_kw, discharge_kw, charged_kwh, discharged_kwh, energy_kwh)


def _efficiencies(fleet: ReplayFleet) -> dict[str, float]:
    return {
        "charge_efficiency": fleet.vehicle.charge_efficiency,
        "discharge_efficiency": fleet.vehicle.discharge_efficiency,
    }


def _what_flows(
    fleet: ReplayFleet,
    policy: Policy,
    present: Present,
    wanted_kw: Numbers,
    now_s: float,
    until_s: float,
    site_import_kw: float,
) -> Numbers:  # [present]
    rows, hours, vehicle = present.rows, (until_s - now_s) / SECONDS_PER_HOUR, fleet.vehicle
    ceiling_kwh = fleet.capacity_kwh[rows] if policy.discharges else fleet.required_kwh[rows]
    limits: dict[str, Any] = {
        "energy_kwh": present.energy_kwh,
        "capacity_kwh": np.maximum(ceiling_kwh, present.energy_kwh),
        "floor_kwh": fleet.floor_kwh[rows],
        "charge_kw": vehicle.charge_kw,
        "discharge_kw": vehicle.discharge_kw if policy.discharges else 0.0,
        "step_h": hours,
        **_efficiencies(fleet),
    }
    must_kw = np.full(rows.size, -np.inf)
    if policy.assured_kw is not None:
        must_kw = safeguard_kw(fleet, present, until_s, hours, policy.assured_kw)
    power_kw = deliverable_power_kw(np.maximum(wanted_kw, must_kw), **limits)
    if power_kw.sum() <= site_import_kw:
        return power_kw
    hours_left = np.maximum(fleet.announced_s[rows] - now_s, 0.0) / SECONDS_PER_HOUR
    slack_h = laxity_h(
        energy_kwh=present.energy_kwh,
        required_kwh=fleet.required_kwh[rows],
        hours_left=hours_left,
        charge_kw=vehicle.charge_kw,
        charge_efficiency=vehicle.charge_efficiency,
    )
    return fit_to_site(power_kw, np.minimum(np.maximum(must_kw, 0.0), power_kw), slack_h, site_import_kw)


def safeguard_kw(
    fleet: ReplayFleet, present: Present, until_s: float, hours: float, assured_kw: float
) -> Numbers:  # [present]
    """Least power until `until_s` that keeps every request within reach of the assured power.

    The power that brings the battery to `latest_kwh(until)` by then; a vehicle that stays longer than announced is
    filled at once.
    """
    latest = latest_kwh(fleet, present.rows, np.array([until_s]), assured_kw)[:, 0]
    must_kw = power_for_energy_change(latest - present.energy_kwh, step_h=hours, **_efficiencies(fleet))
    return np.clip(must_kw, -fleet.vehicle.discharge_kw, fleet.vehicle.charge_kw)


def latest_kwh(fleet: ReplayFleet, rows: Rows, at_s: Numbers, assured_kw: float) -> Numbers:  # [row, instant]
    """required − charge_efficiency · assured_kw · (announced departure − instant)."""
    hours_after = np.maximum(fleet.announced_s[rows][:, None] - at_s, 0.0) / SECONDS_PER_HOUR
    return fleet.required_kwh[rows][:, None] - fleet.vehicle.charge_efficiency * assured_kw * hours_after


def fit_to_site(power_kw: Numbers, must_kw: Numbers, slack_h: Numbers, limit_kw: float) -> Numbers:  # [present]
    """Bring the total down to the limit: first what is not urgent, from those that can wait longest; then all equally.

    Urgent power is capped equally, as an unplanned site would do it: so nobody who is urgent fares worse for the plan,
    and requests that cannot be met any more do not starve the others.

    Args:
        power_kw: what would flow.
        must_kw: the part of it that is urgent, between zero and the power where that is positive.
        slack_h: how long each could wait.
    """
    patient_first = np.argsort(-slack_h, kind="stable")
    room_kw = (power_kw - np.minimum(power_kw, must_kw))[patient_first]
    excess_kw = power_kw.sum() - limit_kw
    cut_kw = np.clip(excess_kw - (np.cumsum(room_kw) - room_kw), 0.0, room_kw)
    kept_kw = power_kw.copy()
    kept_kw[patient_first] -= cut_kw
    if kept_kw.sum() <= limit_kw + 1e-9:
        return kept_kw
    fed_back_kw = np.minimum(kept_kw, 0.0)
    return share_equally(np.maximum(kept_kw, 0.0), limit_kw - float(fed_back_kw.sum())) + fed_back_kw


def share_equally(wanted_kw: Numbers, limit_kw: float) -> Numbers:
    """Cap everybody at the same power so that the sum fits the limit."""
    if wanted_kw.sum() <= limit_kw:
        return wanted_kw
    ascending = np.sort(wanted_kw)
    # With the k smallest in full, the others share what is left equally; the cap is the largest such share.
    served = np.concatenate([[0.0], np.cumsum(ascending)[:-1]])
    cap_kw = ((limit_kw - served) / np.arange(ascending.size, 0, -1)).max()
    return np.minimum(wanted_kw, cap_kw)
