"""What the terminal shows while the demonstration runs: one line when something happens, none when nothing does."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from aggregator.models import Plan
from aggregator.queries.demonstration import EventOutcome, Progress, progress
from grid.queries import latest_settlement

EARNINGS_EVERY_S = 15.0


class Narrator:
    """Tells what changed since it last looked."""

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._told: Progress | None = None
        self._last_plan = 0
        self._earnings_at = 0.0
        self._told_earnings = (0, Decimal(0))

    def say(self, text: str, *, now: datetime) -> None:
        """One line of the story, with the local time."""
        sys.stdout.write(f"{now.astimezone(self._zone):%H:%M:%S}  {text}\n")
        sys.stdout.flush()

    def watch(self, *, now: datetime) -> Progress:
        """Look once, and tell what is new."""
        seen = progress()
        before = self._told or replace(seen, chargers_connected=0, packs_connected=0, open_sessions=0, plans_made=0)
        if seen.chargers_connected > before.chargers_connected or seen.packs_connected > before.packs_connected:
            self.say(f"{seen.chargers_connected} chargers and {seen.packs_connected} packs are connected", now=now)
        elif seen.chargers_connected < before.chargers_connected:
            self.say(f"lost {before.chargers_connected - seen.chargers_connected} chargers", now=now)
        if seen.open_sessions != before.open_sessions:
            change = seen.open_sessions - before.open_sessions
            cars = "1 car" if abs(change) == 1 else f"{abs(change)} cars"
            self.say(f"{cars} {'plugged in' if change > 0 else 'left'}: {seen.open_sessions} are here", now=now)
        self._tell_plans(now)
        self._tell_earnings(seen, now)
        self._told = seen
        return seen

    def _tell_earnings(self, seen: Progress, now: datetime) -> None:
        """Jobs come one after the other: they are told together, every quarter of a minute."""
        before = self._told_earnings
        if time.monotonic() - self._earnings_at < EARNINGS_EVERY_S or seen.jobs_completed == before[0]:
            return
        self._earnings_at, self._told_earnings = time.monotonic(), (seen.jobs_completed, seen.paid_to_owners)
        self.say(
            f"idle car computers have finished {seen.jobs_completed} jobs;"
            f" {seen.owners_paid} owners have earned {seen.paid_to_owners:.6f} EUR so far",
            now=now,
        )

    def _tell_plans(self, now: datetime) -> None:
        for plan in Plan.objects.filter(pk__gt=self._last_plan).order_by("pk"):
            self._last_plan = plan.pk
            missed = f", {len(plan.missed)} promises missed" if plan.missed else ""
            self.say(
                f"plan {plan.pk} ({plan.get_trigger_display().lower()}): {plan.asset_count} assets over"
                f" {len(plan.step_h)} steps in {plan.solve_s:.2f} s, proven gap {plan.gap:.1e}{missed}",
                now=now,
            )

    def tell_delivery(self, *, target_kw: float, delivered_kw: float, now: datetime) -> None:
        """How the running event goes."""
        self.say(
            f"delivering {delivered_kw:,.0f} of {target_kw:,.0f} kW ({delivered_kw / target_kw:.1%})",
            now=now,
        )

    def tell_settlement(self, event_id: int, outcome: EventOutcome, *, now: datetime) -> None:
        """What the event came to."""
        settled = latest_settlement(event_id)
        kwh = float(settled.delivered_kwh) if settled is not None else 0.0
        self.say(
            f"event {event_id} is settled: {outcome.delivered_kw:,.0f} of {outcome.requested_kw:,.0f} kW"
            f" (steps {outcome.least_step_ratio:.3f} to {outcome.most_step_ratio:.3f}), {kwh:.1f} kWh,"
            f" {outcome.payment:.2f} {outcome.currency}",
            now=now,
        )
