"""What a policy came to: money, peak, drivers, wear, CO2 and what it delivered in events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aggregator.core.replay.engine import ReplayEvent, Trajectory
from aggregator.core.replay.series import SlotSeries
from aggregator.core.replay.sessions import ReplayFleet
from common.units import SECONDS_PER_HOUR

Numbers = NDArray[np.float64]

# A driver is satisfied if no more than this is missing, at the meter: half a minute of charging.
SATISFIED_WITHIN_KWH = 0.05


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """Delivery in one event against the uncontrolled load.

    Attributes:
        requested_kwh, delivered_kwh: over the whole event.
        delivery_ratio: delivered / requested; None if nothing was requested.
        least_ratio, most_ratio: of any interval in it.
    """

    starts_s: float
    ends_s: float
    requested_kw: float
    requested_kwh: float
    delivered_kwh: float
    delivery_ratio: float | None
    least_ratio: float | None
    most_ratio: float | None


@dataclass(frozen=True, eq=False)
class PolicyOutcome:
    """Figures of one policy; energy at the meter.

    Attributes:
        energy_cost: Σ price · net energy.
        wear_cost: Σ wear · energy discharged.
        peak_kw: largest mean load over a quarter of an hour.
        energy_delivered_kwh: what drivers have more in their batteries, as charging alone would have drawn it.
        net_energy_kwh: drawn less fed back.
        satisfied: by session.
        shifted_kwh: charging at another time than the uncontrolled case would have: half of Σ |difference|.
        co2_kg: None without factors.
    """

    name: str
    trajectory: Trajectory
    energy_cost: float
    wear_cost: float
    peak_kw: float
    energy_delivered_kwh: float
    net_energy_kwh: float
    charged_kwh: float
    discharged_kwh: float
    shifted_kwh: float
    satisfied: NDArray[np.bool_]  # [session]
    co2_kg: float | None
    events: tuple[EventOutcome, ...]

    @property
    def total_cost(self) -> float:
        """Energy and wear."""
        return self.energy_cost + self.wear_cost

    @property
    def share_satisfied(self) -> float:
        """Part of the drivers who left with what they had asked for."""
        return float(self.satisfied.mean()) if self.satisfied.size else 1.0


def appraise(
    name: str,
    fleet: ReplayFleet,
    trajectory: Trajectory,
    uncontrolled: Trajectory,
    *,
    prices: SlotSeries,
    factors: SlotSeries | None,
    events: Sequence[ReplayEvent],
) -> PolicyOutcome:
    """Work out the figures of a policy's trajectory; both trajectories have the same intervals."""
    energy_kwh = trajectory.power_kw * trajectory.hours
    missing_kwh = (fleet.required_kwh - trajectory.final_kwh) / fleet.vehicle.charge_efficiency
    price = prices.mean_between(trajectory.boundaries_s)
    co2_kg = None
    if factors is not None:
        co2_kg = float(factors.mean_between(trajectory.boundaries_s) @ energy_kwh)
    discharged_kwh = float(trajectory.discharged_kwh.sum())
    moved_kw = np.abs(trajectory.charge_kw - uncontrolled.charge_kw)
    return PolicyOutcome(
        name=name,
        trajectory=trajectory,
        energy_cost=float(price @ energy_kwh),
        wear_cost=fleet.vehicle.wear_per_kwh * discharged_kwh,
        peak_kw=peak_of_quarter_hours(trajectory),
        energy_delivered_kwh=float((trajectory.final_kwh - fleet.energy_kwh).sum()) / fleet.vehicle.charge_efficiency,
        net_energy_kwh=float(energy_kwh.sum()),
        charged_kwh=float(trajectory.charged_kwh.sum()),
        discharged_kwh=discharged_kwh,
        shifted_kwh=float(moved_kw @ trajectory.hours) / 2,
        satisfied=missing_kwh <= SATISFIED_WITHIN_KWH,
        co2_kg=co2_kg,
        events=tuple(event_outcome(event, trajectory, uncontrolled) for event in events),
    )


def peak_of_quarter_hours(trajectory: Trajectory) -> float:
    """Largest mean load over a quarter of an hour on the clock, as demand is billed."""
    return float(mean_on_grid(trajectory, 900.0)[1].max(initial=0.0))


def mean_on_grid(trajectory: Trajectory, grid_s: float) -> tuple[Numbers, Numbers]:
    """Mean net load on a regular grid: starts of the slots, seconds since 1970, and kW."""
    boundaries_s, energy = trajectory.boundaries_s, trajectory.power_kw * np.diff(trajectory.boundaries_s)
    starts_s = np.arange(np.floor(boundaries_s[0] / grid_s) * grid_s, boundaries_s[-1], grid_s)
    drawn = np.concatenate([[0.0], np.cumsum(energy)])
    until = np.interp(np.append(starts_s, starts_s[-1] + grid_s), boundaries_s, drawn)
    return starts_s, np.diff(until) / grid_s


def event_outcome(event: ReplayEvent, trajectory: Trajectory, uncontrolled: Trajectory) -> EventOutcome:
    """Uncontrolled load less the load that was, in the event's intervals."""
    starts_s, ends_s = trajectory.boundaries_s[:-1], trajectory.boundaries_s[1:]
    inside = (starts_s >= event.starts_s - 1e-3) & (ends_s <= event.ends_s + 1e-3)
    reduced_kw, hours = (uncontrolled.power_kw - trajectory.power_kw)[inside], trajectory.hours[inside]
    requested_kwh = event.reduction_kw * (event.ends_s - event.starts_s) / SECONDS_PER_HOUR
    delivered_kwh = float(reduced_kw @ hours)
    ratios = reduced_kw / event.reduction_kw if event.reduction_kw and reduced_kw.size else None
    return EventOutcome(
        starts_s=event.starts_s,
        ends_s=event.ends_s,
        requested_kw=event.reduction_kw,
        requested_kwh=requested_kwh,
        delivered_kwh=delivered_kwh,
        delivery_ratio=delivered_kwh / requested_kwh if requested_kwh else None,
        least_ratio=None if ratios is None else float(ratios.min()),
        most_ratio=None if ratios is None else float(ratios.max()),
    )
