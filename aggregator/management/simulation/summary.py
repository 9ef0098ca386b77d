"""`summary.json`: what went in, what was assumed, and every policy's figures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from aggregator.core.replay.engine import ReplayEvent
from aggregator.core.replay.outcome import EventOutcome, PolicyOutcome
from aggregator.core.replay.sessions import DepartureKnowledge
from aggregator.management.simulation.run import UNCONTROLLED, SimulationResult

TITLES = {
    "uncontrolled": "Uncontrolled",
    "price_only": "Price only",
    "planned_one_way": "Planned, one-way",
    "planned_v2g": "Planned, V2G",
}


def build_summary(result: SimulationResult) -> dict[str, Any]:
    """Everything as plain data; energy in kWh at the meter, money in the prices' currency."""
    return {
        "currency": result.prices.currency,
        "input": _input(result),
        "assumptions": assumptions(result),
        "notes": list(result.notes),
        "policies": {name: _policy(outcome) for name, outcome in result.outcomes.items()},
        "comparison": {name: comparison(result, name) for name in result.outcomes if name != UNCONTROLLED},
        "plans": {
            name: {
                "made": planner.plans_made,
                "solver_s": round(planner.solver_s, 3),
                "largest_gap": planner.largest_gap,
            }
            for name, planner in result.planners.items()
        },
        "wall_s": round(result.wall_s, 1),
    }


def comparison(result: SimulationResult, name: str) -> dict[str, Any]:
    """A policy against the uncontrolled case."""
    base, outcome = result.outcomes[UNCONTROLLED], result.outcomes[name]
    lost = np.flatnonzero(base.satisfied & ~outcome.satisfied)
    saved = base.total_cost - outcome.total_cost
    return {
        "saves": round(saved, 4),
        "saves_fraction": round(saved / abs(base.total_cost), 6) if base.total_cost else None,
        "saves_per_session": round(saved / len(result.fleet), 6),
        "peak_change_kw": round(outcome.peak_kw - base.peak_kw, 3),
        "co2_change_kg": None if outcome.co2_kg is None else round(outcome.co2_kg - (base.co2_kg or 0.0), 3),
        "satisfied_kept_fraction": round(1.0 - lost.size / max(int(base.satisfied.sum()), 1), 6),
        "drivers_gained": int((~base.satisfied & outcome.satisfied).sum()),
        "drivers_lost": int(lost.size),
        "drivers_lost_who_left_before_they_said": int(
            (result.fleet.leaves_s[lost] < result.fleet.announced_s[lost] - 1.0).sum()
        ),
        "sessions_lost": [result.fleet.sessions[row].session_id for row in lost.tolist()],
    }


def assumptions(result: SimulationResult) -> list[str]:
    """What had to be assumed, in sentences."""
    request, vehicle = result.request, result.fleet.vehicle
    currency = result.prices.currency
    lines = [
        result.alignment.rule,
        f"The records do not tell the vehicles. Each is taken to have a battery of {vehicle.battery_kwh:g} kWh (more where "
        f"the request would not fit), {vehicle.charge_kw:g} kW of charging and {vehicle.discharge_kw:g} kW of discharging "
        f"power at the meter, efficiencies of {vehicle.charge_efficiency:.0%} in and {vehicle.discharge_efficiency:.0%} "
        f"out, and to be {vehicle.filled_fraction:.0%} full once its request is met.",
        f"A vehicle is never discharged below {vehicle.floor_fraction:.0%} (or what it arrived with, if less); each kWh "
        f"discharged costs {vehicle.wear_per_kwh:g} {currency} of wear.",
        f"A driver's need is the energy {request.need}; a driver is satisfied if at most 0.05 kWh of it is missing.",
        f"The planner hears of a session when it arrives, and of a day's prices at {request.publication:%H:%M} on the day "
        "before; further ahead it expects the last known day again.",
        "Energy is bought and sold at the given price, without network charges and taxes.",
    ]
    if request.departures is DepartureKnowledge.ACTUAL:
        lines.append(
            "Drivers are taken to say at arrival when they will leave, and to keep to it: the recorded departure is the "
            "driver's wish. Who may leave at any moment can only be served by charging at once; run with "
            "--departures estimated to see what the estimates on record would have brought."
        )
    elif request.departures is DepartureKnowledge.FORECAST:
        lines.append(
            "The planner knows the estimate that the driver gave at arrival, and how the estimates of the month before had "
            f"turned out. It fills each battery by the instant after which {request.probability:.0%} of the drivers leave, "
            "and keeps it filled from then on; drivers who leave before are counted."
        )
    else:
        lines.append(
            "The planner knows the estimate that the driver gave at arrival. Who leaves earlier than that may lack energy "
            "that charging at once would have given; such drivers are counted."
        )
    if np.isfinite(request.site_import_kw):
        lines.append(
            f"The site draws at most {request.site_import_kw:g} kW. Uncontrolled and price-only vehicles then share "
            f"equally. The planner counts on no more than an equal share of it for each of {result.places} charging "
            "points later on, because vehicles still to come may claim theirs."
        )
    if result.events:
        lines.append(
            "Event delivery is the uncontrolled load less the load that was. The planner knows the uncontrolled load of "
            f"the vehicles present, and hears of an event {request.event_notice_h:g} h before it starts."
        )
    return lines


def _input(result: SimulationResult) -> dict[str, Any]:
    fleet, series, request = result.fleet, result.prices.series, result.request
    used = series.value[
        int(series.slot_of(float(fleet.arrives_s.min()))) : int(series.slot_of(float(fleet.leaves_s.max()))) + 1
    ]
    return {
        "sessions_file": request.sessions.name,
        "sessions": len(fleet),
        "charging_points": result.places,
        "starts_at": _instant(result, float(fleet.arrives_s.min())),
        "ends_at": _instant(result, float(fleet.leaves_s.max())),
        "requested_kwh": round(sum(one.requested_kwh for one in fleet.sessions), 3),
        "moved_weeks": result.alignment.weeks,
        "prices_file": request.prices.name,
        "price_column": result.prices.column,
        "price_slot_minutes": series.slot_s / 60,
        "price_mean_per_kwh": round(float(used.mean()), 6),
        "price_least_per_kwh": round(float(used.min()), 6),
        "price_most_per_kwh": round(float(used.max()), 6),
        "factors_file": None if request.factors is None else request.factors.name,
        "zone": str(result.zone),
        "site_import_kw": request.site_import_kw if np.isfinite(request.site_import_kw) else None,
        "events": [_event_asked(result, event) for event in result.events],
        "departures": request.departures.value,
        "probability": request.probability if request.departures is DepartureKnowledge.FORECAST else None,
        "need": request.need,
    }


def _policy(outcome: PolicyOutcome) -> dict[str, Any]:
    return {
        "energy_cost": round(outcome.energy_cost, 4),
        "wear_cost": round(outcome.wear_cost, 4),
        "total_cost": round(outcome.total_cost, 4),
        "peak_kw": round(outcome.peak_kw, 3),
        "energy_delivered_kwh": round(outcome.energy_delivered_kwh, 3),
        "net_energy_kwh": round(outcome.net_energy_kwh, 3),
        "charged_kwh": round(outcome.charged_kwh, 3),
        "discharged_kwh": round(outcome.discharged_kwh, 3),
        "shifted_kwh": round(outcome.shifted_kwh, 3),
        "drivers_satisfied": int(outcome.satisfied.sum()),
        "share_of_drivers_satisfied": round(outcome.share_satisfied, 6),
        "co2_kg": None if outcome.co2_kg is None else round(outcome.co2_kg, 3),
        "event_delivery": [_event_delivery(event) for event in outcome.events],
    }


def _event_delivery(event: EventOutcome) -> dict[str, Any]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 6)

    return {
        "starts_at": datetime.fromtimestamp(event.starts_s, UTC).isoformat(),
        "ends_at": datetime.fromtimestamp(event.ends_s, UTC).isoformat(),
        "requested_kw": event.requested_kw,
        "requested_kwh": round(event.requested_kwh, 4),
        "delivered_kwh": round(event.delivered_kwh, 4),
        "delivery_ratio": rounded(event.delivery_ratio),
        "least_ratio": rounded(event.least_ratio),
        "most_ratio": rounded(event.most_ratio),
    }


def _event_asked(result: SimulationResult, event: ReplayEvent) -> dict[str, Any]:
    return {
        "starts_at": _instant(result, event.starts_s),
        "ends_at": _instant(result, event.ends_s),
        "reduction_kw": event.reduction_kw,
    }


def _instant(result: SimulationResult, at_s: float) -> str:
    return datetime.fromtimestamp(at_s, result.zone).isoformat()
