"""One simulation from files to figures: read, align, replay every policy, appraise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, tzinfo
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from aggregator.core.replay.alignment import Alignment, align
from aggregator.core.replay.engine import Policy, ReplayEvent, Trajectory, interval_boundaries, replay
from aggregator.core.replay.foresight import with_foreseen_departures
from aggregator.core.replay.outcome import PolicyOutcome, appraise
from aggregator.core.replay.planned import Planned
from aggregator.core.replay.policies import PriceOnly, Uncontrolled
from aggregator.core.replay.series import PriceKnowledge, SlotSeries, typical_week
from aggregator.core.replay.sessions import (
    ChargingSession,
    DepartureKnowledge,
    ReplayFleet,
    VehicleAssumptions,
    build_fleet,
)
from aggregator.management.simulation.prices import ReadSeries, read_factors, read_prices
from aggregator.management.simulation.sessions import read_sessions
from common.errors import InvalidInput
from common.units import SECONDS_PER_HOUR

UNCONTROLLED, PRICE_ONLY = "uncontrolled", "price_only"
PLANNED_ONE_WAY, PLANNED_V2G = "planned_one_way", "planned_v2g"

# Wear of a kWh discharged, at a battery that costs about 100 to 130 per kWh (EUR) and lasts some 2,500 full cycles.
WEAR_PER_KWH = {"EUR": 0.05, "USD": 0.05, "GBP": 0.045, "JPY": 8.0}

# A missed kWh of an event costs this many times the mean price, unless the caller names its price.
EVENT_PRICE_FACTOR = 20.0

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """What to simulate; see the command's help for every option."""

    sessions: Path
    prices: Path
    factors: Path | None = None
    mapping: Path | None = None
    price_column: str | None = None
    price_unit: str | None = None
    price_zone: tzinfo | None = None
    zone: tzinfo | None = None
    factor_column: str | None = None
    factor_zone: tzinfo | None = None
    site_import_kw: float = float("inf")
    events: tuple[str, ...] = ()
    event_notice_h: float = 2.0
    event_price: float | None = None
    first_date: date | None = None
    last_date: date | None = None
    departures: DepartureKnowledge = DepartureKnowledge.ACTUAL
    probability: float = 0.95
    need: str = "requested"
    vehicle: VehicleAssumptions = field(default_factory=VehicleAssumptions)
    wear_per_kwh: float | None = None
    publication: time = time(13)
    skip_bad_rows: bool = False


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """What came out, with all that is needed to tell it."""

    request: SimulationRequest
    fleet: ReplayFleet
    prices: ReadSeries
    factors: SlotSeries | None
    zone: tzinfo
    alignment: Alignment
    events: tuple[ReplayEvent, ...]
    outcomes: dict[str, PolicyOutcome]
    planners: dict[str, Planned]
    notes: tuple[str, ...]
    places: int
    wall_s: float


def simulate(request: SimulationRequest, progress: Progress) -> SimulationResult:
    """Run the whole simulation.

    Raises:
        InvalidInput: a file or option cannot be used.
    """
    started_s = perf_counter()
    prices, recorded, notes = _read(request)
    series, zone = prices.series, request.zone or prices.zone
    if request.departures is DepartureKnowledge.FORECAST:
        recorded, foreseen = with_foreseen_departures(
            recorded, charge_kw=request.vehicle.charge_kw, probability=request.probability
        )
        notes.append(f"Of {len(recorded)} departures on record {foreseen} were forecast from the stays before them.")
    sessions, alignment = align(
        _chosen(recorded, request, notes),
        starts_at=datetime.fromtimestamp(series.starts_s, UTC),
        ends_at=datetime.fromtimestamp(series.ends_s, UTC),
        zone=zone,
    )
    fleet = build_fleet(sessions, _vehicle(request, prices.currency), request.departures)
    events = tuple(_event(text, zone, request, fleet) for text in request.events)
    factors = _factors(request, fleet, zone, notes)
    places = len({one.station_id for one in sessions if one.station_id}) or _most_at_once(fleet)
    knowledge = PriceKnowledge.daily(series, zone=zone, publication=request.publication)
    policies = _policies(request, fleet, knowledge, events, places)
    return SimulationResult(
        request=request,
        fleet=fleet,
        prices=prices,
        factors=factors,
        zone=zone,
        alignment=alignment,
        events=events,
        outcomes=_replay_all(request, fleet, policies, series, factors, events, progress),
        planners={name: policy for name, policy in policies.items() if isinstance(policy, Planned)},
        notes=tuple(notes),
        places=places,
        wall_s=perf_counter() - started_s,
    )


def _read(request: SimulationRequest) -> tuple[ReadSeries, list[ChargingSession], list[str]]:
    prices = read_prices(
        request.prices,
        column=request.price_column,
        unit=request.price_unit,
        zone=request.price_zone,
        skip_bad_rows=request.skip_bad_rows,
    )
    sessions, complaints = read_sessions(
        request.sessions, mapping_path=request.mapping, skip_bad_rows=request.skip_bad_rows
    )
    return prices, sessions, [*prices.notes, *complaints]


def _replay_all(
    request: SimulationRequest,
    fleet: ReplayFleet,
    policies: dict[str, Policy],
    prices: SlotSeries,
    factors: SlotSeries | None,
    events: tuple[ReplayEvent, ...],
    progress: Progress,
) -> dict[str, PolicyOutcome]:
    slots_s = prices.boundaries_s(float(fleet.arrives_s.min()), float(fleet.leaves_s.max()))
    boundaries_s = interval_boundaries(fleet, slots_s, events)
    trajectories: dict[str, Trajectory] = {}
    for name, policy in policies.items():
        limit_kw = request.site_import_kw
        told = partial(progress, name)
        trajectories[name] = replay(fleet, policy, boundaries_s, site_import_kw=limit_kw, progress=told)
    base = trajectories[UNCONTROLLED]
    return {
        name: appraise(name, fleet, one, base, prices=prices, factors=factors, events=events)
        for name, one in trajectories.items()
    }


def _chosen(recorded: list[ChargingSession], request: SimulationRequest, notes: list[str]) -> list[ChargingSession]:
    """The sessions that arrive on the wanted dates, with the wanted need."""
    sessions = [
        one
        for one in recorded
        if (request.first_date is None or one.arrives_at.date() >= request.first_date)
        and (request.last_date is None or one.arrives_at.date() < request.last_date)
    ]
    if not sessions:
        first, last = min(one.arrives_at for one in recorded), max(one.arrives_at for one in recorded)
        raise InvalidInput(
            f"no session arrives between the dates; the file has arrivals from {first.date()} to {last.date()}",
            field="--from, --until",
            remedy="Choose dates within that.",
        )
    if request.need == "requested":
        return sessions
    known = [one for one in sessions if one.delivered_kwh is not None]
    if not known:
        raise InvalidInput("the sessions do not say what was delivered", field="--need", remedy="Use --need requested.")
    if len(known) < len(sessions):
        notes.append(f"{len(sessions) - len(known)} sessions without delivered energy were left out")
    return [replace(one, requested_kwh=float(one.delivered_kwh or 0.0)) for one in known]


def _vehicle(request: SimulationRequest, currency: str) -> VehicleAssumptions:
    wear = request.wear_per_kwh
    if wear is None:
        if currency not in WEAR_PER_KWH:
            raise InvalidInput(
                f"no usual cost of wear is known in {currency}", field="--wear-per-kwh", remedy="Name one."
            )
        wear = WEAR_PER_KWH[currency]
    return replace(request.vehicle, wear_per_kwh=wear)


def _event(text: str, zone: tzinfo, request: SimulationRequest, fleet: ReplayFleet) -> ReplayEvent:
    """START,END,KW: ISO 8601 instants (local time of the market without a zone) and the reduction."""
    remedy = "Write START,END,KW, such as 2023-05-10T17:00,2023-05-10T19:00,40."
    parts = [part.strip() for part in text.split(",")]
    try:
        starts_at, ends_at = (datetime.fromisoformat(part) for part in parts[:2])
        (reduction_kw,) = (float(part) for part in parts[2:])
    except ValueError:
        raise InvalidInput(f"“{text}” is no event", field="--event", remedy=remedy) from None
    starts_s, ends_s = (
        (instant if instant.tzinfo else instant.replace(tzinfo=zone)).timestamp() for instant in (starts_at, ends_at)
    )
    if ends_s <= starts_s:
        raise InvalidInput(f"“{text}” ends before it starts", field="--event", remedy=remedy)
    if not np.isfinite(reduction_kw) or reduction_kw == 0:
        raise InvalidInput(f"“{text}” asks for no power", field="--event", remedy=remedy)
    first_s, last_s = fleet.arrives_s.min(), fleet.leaves_s.max()
    if starts_s < first_s or ends_s > last_s:
        span = " to ".join(datetime.fromtimestamp(at_s, zone).isoformat() for at_s in (first_s, last_s))
        raise InvalidInput(f"“{text}” lies outside the replay, {span}", field="--event", remedy="Choose a time in it.")
    return ReplayEvent(starts_s, ends_s, starts_s - request.event_notice_h * SECONDS_PER_HOUR, reduction_kw)


def _factors(request: SimulationRequest, fleet: ReplayFleet, zone: tzinfo, notes: list[str]) -> SlotSeries | None:
    if request.factors is None:
        return None
    read = read_factors(
        request.factors, column=request.factor_column, zone=request.factor_zone, skip_bad_rows=request.skip_bad_rows
    )
    notes.extend(read.notes)
    first_s, last_s = float(fleet.arrives_s.min()), float(fleet.leaves_s.max())
    if read.series.starts_s <= first_s and last_s <= read.series.ends_s:
        return read.series
    notes.append(
        "The emission factors do not cover the time of the replay; their mean by hour of the week stands in for them."
    )
    return typical_week(read.series, request.factor_zone or read.zone, first_s, last_s, zone)


def _most_at_once(fleet: ReplayFleet) -> int:
    """Most vehicles that are plugged in at the same time."""
    instants = np.concatenate([fleet.arrives_s, fleet.leaves_s])
    change = np.repeat([1, -1], len(fleet))
    return int(np.cumsum(change[np.lexsort((change, instants))]).max())


def _policies(
    request: SimulationRequest,
    fleet: ReplayFleet,
    knowledge: PriceKnowledge,
    events: tuple[ReplayEvent, ...],
    places: int,
) -> dict[str, Policy]:
    limit_kw = request.site_import_kw
    missed_price = request.event_price
    if missed_price is None:
        missed_price = EVENT_PRICE_FACTOR * float(np.abs(knowledge.prices.value).mean())

    def planned(discharges: bool) -> Planned:
        return Planned(
            fleet,
            knowledge,
            discharges=discharges,
            site_import_kw=limit_kw,
            places=places,
            events=events,
            missed_price_per_kwh=missed_price,
        )

    return {
        UNCONTROLLED: Uncontrolled(fleet, limit_kw),
        PRICE_ONLY: PriceOnly(fleet, knowledge, limit_kw),
        PLANNED_ONE_WAY: planned(False),
        PLANNED_V2G: planned(True),
    }
