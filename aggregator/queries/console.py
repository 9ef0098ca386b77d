"""What the operator's pages show: the portfolio and its events as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.core.cache import cache
from django.db.models import Sum

from aggregator.core.sentences import MOVING_KW, PortfolioState, Sentence, describe_portfolio
from aggregator.models import DeliverySample, LedgerAccountKind, LedgerEntry, Plan
from fleet.queries.commands import DecisionLatency, decision_to_wire
from fleet.queries.console import (
    FleetCounts,
    RegionCounts,
    connected_assets_by_region,
    fleet_counts,
    latest_powers_kw,
    region_counts,
    unable_participants,
)
from grid.queries import EventView, SettlementView, event, latest_settlement, open_events
from grid.queries.console import EventLine, recent_events

# All who look share one look at the meters per so many seconds: chargers report every few seconds anyway.
POWER_KEPT_S = 2
COUNTS_KEPT_S = 10
SAMPLE_FRESH = timedelta(seconds=15)
SHORT_SHARE = 0.01
QUANTITY_UNITS = ("kWh", "kgCO2")
MOST_CHART_POINTS = 600


@dataclass(frozen=True, slots=True)
class RegionPower:
    """What the connected assets of a region do together. Neither is negative."""

    charge_kw: float
    send_kw: float
    charging: int
    sending: int


NO_POWER = RegionPower(0.0, 0.0, 0, 0)


@dataclass(frozen=True, slots=True)
class PublicFigures:
    """What a visitor sees: totals only."""

    counts: FleetCounts
    power: RegionPower
    paid: tuple[tuple[str, Decimal], ...]
    event: Sentence | None


@dataclass(frozen=True, slots=True)
class RegionLine:
    """One line of the table of regions."""

    counts: RegionCounts
    power: RegionPower


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """One look at an event. `baseline_kw`, `wanted_kw` and `metered_kw` are at the participants' meters, positive into
    the assets; `target_kw` and `delivered_kw` are changes, positive in the direction asked for."""

    at: datetime
    target_kw: float
    delivered_kw: float
    baseline_kw: float
    wanted_kw: float
    metered_kw: float
    corrected: int


@dataclass(frozen=True, slots=True)
class RunningEvent:
    """An event that runs, or the last that ran."""

    event: EventView
    running: bool
    sentence: Sentence | None
    points: tuple[ChartPoint, ...]

    @property
    def latest(self) -> ChartPoint | None:
        """The newest look, if any."""
        return self.points[-1] if self.points else None


@dataclass(frozen=True, slots=True)
class LivePortfolio:
    """The console's first page."""

    now: datetime
    regions: tuple[RegionLine, ...]
    power: RegionPower
    current: RunningEvent | None
    recent: tuple[EventLine, ...]


def portfolio_power(*, now: datetime) -> dict[int, RegionPower]:
    """What every region's connected assets do now, at most two seconds old."""
    known = cache.get("console:power")
    if known is None:
        by_region = cache.get_or_set("console:assets", connected_assets_by_region, COUNTS_KEPT_S) or {}
        powers = latest_powers_kw([asset_id for ids in by_region.values() for asset_id in ids], now=now)
        known = {
            region_id: _region_power([powers.get(asset_id, 0.0) for asset_id in ids])
            for region_id, ids in by_region.items()
        }
        cache.set("console:power", known, POWER_KEPT_S)
    return known


def _region_power(powers: Sequence[float]) -> RegionPower:
    into = [power for power in powers if power > MOVING_KW]
    out = [-power for power in powers if power < -MOVING_KW]
    return RegionPower(sum(into), sum(out), len(into), len(out))


def total_power(powers: Sequence[RegionPower]) -> RegionPower:
    """Regions together."""
    return RegionPower(
        sum(power.charge_kw for power in powers),
        sum(power.send_kw for power in powers),
        sum(power.charging for power in powers),
        sum(power.sending for power in powers),
    )


def public_figures(*, now: datetime) -> PublicFigures:
    """Totals for visitors."""
    kept = cache.get("console:public")
    if kept is None:
        kept = fleet_counts(), _paid_to_owners()
        cache.set("console:public", kept, COUNTS_KEPT_S)
    running = [item for item in open_events(now=now) if item.starts_at <= now]
    sentence = _running_event(running[0], now).sentence if running else None
    return PublicFigures(kept[0], total_power(list(portfolio_power(now=now).values())), kept[1], sentence)


def _paid_to_owners() -> tuple[tuple[str, Decimal], ...]:
    rows = (
        LedgerEntry.objects.filter(account__kind=LedgerAccountKind.OWNER)
        .exclude(account__unit__in=QUANTITY_UNITS)
        .exclude(transaction__kind="payout")
        .values("account__unit")
        .annotate(total=Sum("amount"))
        .order_by("account__unit")
    )
    return tuple((row["account__unit"], row["total"]) for row in rows)


def live_portfolio(*, now: datetime) -> LivePortfolio:
    """The portfolio by region, the event that runs (else the last one), and what comes next."""
    powers = portfolio_power(now=now)
    counts = cache.get_or_set("console:regions", region_counts, POWER_KEPT_S) or []
    opened = open_events(now=now)
    recent = recent_events(limit=8)
    return LivePortfolio(
        now=now,
        regions=tuple(RegionLine(line, powers.get(line.region_id, NO_POWER)) for line in counts),
        power=total_power(list(powers.values())),
        current=_shown_event(opened, recent, now),
        recent=tuple(recent),
    )


def _shown_event(opened: Sequence[EventView], recent: Sequence[EventLine], now: datetime) -> RunningEvent | None:
    """The event that runs, else the last that ran."""
    running = next((item for item in opened if item.starts_at <= now), None)
    if running is not None:
        return _running_event(running, now)
    over = next((item for item in recent if item.ends_at <= now and item.state != "cancelled"), None)
    return _running_event(event(over.event_id), now) if over is not None else None


def event_points(asked: EventView) -> tuple[ChartPoint, ...]:
    """What the tracking loop saw of an event, thinned evenly to what a chart can show."""
    rows = list(DeliverySample.objects.filter(grid_event_id=asked.event_id).order_by("at"))
    every = max(1, len(rows) // MOST_CHART_POINTS)
    kept = rows[::-1][::every][::-1]
    sign = -1.0 if asked.direction == "reduce" else 1.0
    return tuple(
        ChartPoint(
            row.at,
            row.target_kw,
            row.delivered_kw,
            row.baseline_kw,
            row.baseline_kw + sign * row.target_kw,
            row.measured_kw,
            row.corrected_assets,
        )
        for row in kept
    )


def _running_event(asked: EventView, now: datetime) -> RunningEvent:
    points = event_points(asked)
    running = asked.starts_at <= now < asked.ends_at
    sentence = None
    if running and points and now - points[-1].at <= SAMPLE_FRESH:
        sentence = describe_portfolio(_portfolio_state(asked, points[-1]))
    elif running:
        sentence = Sentence("ops.unmeasured", {"target_power": asked.target_kw, "ends_at": asked.ends_at})
    return RunningEvent(asked, running, sentence, points)


def _portfolio_state(asked: EventView, latest: ChartPoint) -> PortfolioState:
    short = latest.target_kw - latest.delivered_kw > SHORT_SHARE * latest.target_kw
    offline, at_floor = unable_participants(asset_ids=asked.participants) if short else (0, 0)
    # inside the ramp the target of the moment is less than the event's
    target_kw = latest.target_kw if latest.target_kw > 0 else asked.target_kw
    return PortfolioState(target_kw, latest.delivered_kw, asked.ends_at, offline, at_floor)


@dataclass(frozen=True, slots=True)
class MissedLine:
    """A promise that the event's last plan could not keep."""

    kind: str
    kw: float
    kwh: float
    money: float
    reason: str


@dataclass(frozen=True, slots=True)
class EventResult:
    """One event from request to payment."""

    event: EventView
    current: RunningEvent
    settlement: SettlementView | None
    missed: tuple[MissedLine, ...]
    plan_id: int | None
    latency: DecisionLatency | None


def event_result(*, event_id: int, now: datetime) -> EventResult:
    """Everything about one event.

    Raises:
        EventNotFound.
    """
    found = event(event_id)
    plan = Plan.objects.filter(grid_event_id=event_id).order_by("-made_at").first()
    missed = plan.missed if plan is not None else []
    return EventResult(
        event=found,
        current=_running_event(found, now),
        settlement=latest_settlement(event_id),
        missed=tuple(
            MissedLine(line["kind"], line["kw"], line["kwh"], line["money"], line["reason"]) for line in missed[:50]
        ),
        plan_id=plan.pk if plan is not None else None,
        latency=decision_to_wire(grid_event_id=event_id),
    )
