"""What has happened so far, in the few numbers that the demonstration tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from django.db import connection

from aggregator.models import DeliverySample, LedgerAccountKind, LedgerEntry, Plan
from aggregator.queries.ledger import ledger_is_balanced
from compute_market.queries import completed_jobs
from fleet.queries.acknowledged import missing_acknowledged
from fleet.queries.assets import connected_counts
from fleet.queries.commands import decision_to_wire
from grid.queries import latest_settlement


@dataclass(frozen=True, slots=True)
class Progress:
    """Running totals."""

    chargers_connected: int
    packs_connected: int
    open_sessions: int
    readings_stored: int
    messages_in: int
    commands_confirmed: int
    plans_made: int
    jobs_completed: int
    owners_paid: int
    paid_to_owners: Decimal


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """One settled event as the demonstration reports it. Powers are means over the full steps after the ramp."""

    requested_kw: float
    delivered_kw: float
    delivery_ratio: float
    least_step_ratio: float
    most_step_ratio: float
    plan_gap: float
    decision_to_wire_ms_p99: float | None
    payment: Decimal
    currency: str


def progress() -> Progress:
    """Totals since the database was made. Messages in: what stations sent, and every answer of a pack or meter."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT count(*) FROM fleet_chargingsession WHERE ended_at IS NULL),
                   (SELECT count(*) FROM fleet_reading),
                   (SELECT count(*) FROM fleet_device_message WHERE direction = 'in')
                   + (SELECT count(*) FROM fleet_reading JOIN fleet_asset asset ON asset.id = asset_id
                      WHERE asset.kind <> 'evse'),
                   (SELECT count(*) FROM fleet_devicecommand WHERE state = 'confirmed')
            """
        )
        open_sessions, readings, messages, confirmed = cursor.fetchone()
    connected = connected_counts()
    paid = LedgerEntry.objects.filter(
        account__kind=LedgerAccountKind.OWNER, amount__gt=0, transaction__kind__in=["settlement", "computing"]
    ).exclude(account__unit__in=["kWh", "kgCO2"])
    return Progress(
        chargers_connected=connected["chargers"],
        packs_connected=connected["packs"],
        open_sessions=open_sessions,
        readings_stored=readings,
        messages_in=messages,
        commands_confirmed=confirmed,
        plans_made=Plan.objects.count(),
        jobs_completed=completed_jobs(),
        owners_paid=paid.values("account__party").distinct().count(),
        paid_to_owners=sum(paid.values_list("amount", flat=True), Decimal(0)),
    )


def event_outcome(*, event_id: int) -> EventOutcome | None:
    """What an event delivered; None while it is not settled."""
    settled = latest_settlement(event_id)
    if settled is None:
        return None
    full = [step for step in settled.steps if not step.in_ramp] or list(settled.steps)
    ratios = [step.delivered_kw / step.target_kw for step in full]
    requested_kw = sum(step.target_kw for step in full) / len(full)
    delivered_kw = sum(step.delivered_kw for step in full) / len(full)
    plan = Plan.objects.filter(grid_event_id=event_id).order_by("-made_at").first()
    latency = decision_to_wire(grid_event_id=event_id)
    return EventOutcome(
        requested_kw=round(requested_kw, 3),
        delivered_kw=round(delivered_kw, 3),
        delivery_ratio=round(delivered_kw / requested_kw, 4),
        least_step_ratio=round(min(ratios), 4),
        most_step_ratio=round(max(ratios), 4),
        plan_gap=plan.gap if plan is not None else 0.0,
        decision_to_wire_ms_p99=round(latency.p99_ms, 1) if latency is not None else None,
        payment=settled.payment,
        currency=settled.currency,
    )


def books_balance() -> bool:
    """Whether the whole ledger adds up to zero in every unit."""
    return ledger_is_balanced()


def newest_delivery(*, event_id: int) -> DeliverySample | None:
    """The last look at a running event; None before the first."""
    return DeliverySample.objects.filter(grid_event_id=event_id).order_by("-at").first()


def lost_messages(run_dir: Path) -> int:
    """How many things that stations were told are safe are not in the database.

    The twin's stations note each transaction event once it is acknowledged; every one of them must have its session, its
    end if it ended, and its reading.
    """
    path = run_dir / "acknowledged.jsonl"
    if not path.exists():
        return 0
    noted = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return missing_acknowledged(
        [(n["station"], n["evse"], n["kind"], n["transaction"], datetime.fromisoformat(n["at"])) for n in noted]
    )
