"""Play the outsiders of the demonstration, tell what happens, and end with one line of JSON."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import time
import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from aggregator.management.story.api_client import ApiClient
from aggregator.management.story.narrator import Narrator
from aggregator.management.story.tenant import Tenant
from aggregator.operations.clients import create_client
from aggregator.queries.demonstration import (
    EventOutcome,
    books_balance,
    event_outcome,
    lost_messages,
    newest_delivery,
    progress,
)

PROGRAMME = "fast-response"
NOTICE = timedelta(seconds=20)
EVENT_S = 75.0
INCREASE_S = 45.0
# from the end of an event to its settlement: the meters' last reports, and the settling task's own rhythm
SETTLED_WITHIN_S = 25.0
BETWEEN_EVENTS_S = 120.0
READY_WITHIN_S = 60.0
MOST_KW = 1500.0


class Command(BaseCommand):
    help = "Play the grid operator and the tenant of the demonstration and tell its story."
    requires_system_checks = ()  # `make check` and the migration before the start have run them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--for", dest="seconds", type=float, default=math.inf, help="end after so many seconds")
        parser.add_argument("--web", default=os.environ.get("PLATFORM_WEB_URL", ""), help="address of the platform")

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self.ends_at = time.monotonic() + options["seconds"]
        self.stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self.narrator = Narrator("Europe/Amsterdam")
        self.outcomes: list[EventOutcome] = []
        operator = self._client(options["web"], "operator", "events:read events:write")
        self.tenant = Tenant(self._client(options["web"], "tenant", "jobs:read jobs:write"))
        self._wait_for_fleet()
        direction = "reduce"
        while self._left_s() > self._needed_s(direction):
            self._play_event(operator, direction)
            direction = "increase" if direction == "reduce" else "reduce"
            if math.isinf(self.ends_at):
                self._watch_until(time.monotonic() + BETWEEN_EVENTS_S)
        self._watch_until(self.ends_at)
        self.stdout.write(json.dumps(self._summary()))

    def _stop(self, *_: object) -> None:
        self.stopping = True
        self.ends_at = time.monotonic()

    def _left_s(self) -> float:
        return self.ends_at - time.monotonic()

    def _needed_s(self, direction: str) -> float:
        length_s = 45.0 if direction == "reduce" else INCREASE_S
        return NOTICE.total_seconds() + length_s + SETTLED_WITHIN_S

    def _client(self, web: str, role: str, scopes: str) -> ApiClient:
        created = create_client(name=f"demonstration {role} {uuid.uuid4().hex[:8]}", role=role)
        return ApiClient(web, client_id=created.client_id, client_secret=created.client_secret, scopes=scopes)

    def _wait_for_fleet(self) -> None:
        """Wait until the cars that come at the start are here and a plan holds them."""
        deadline = min(time.monotonic() + READY_WITHIN_S, self.ends_at)
        steady_since, sessions = time.monotonic(), -1
        while time.monotonic() < deadline and not self.stopping:
            seen = self.narrator.watch(now=timezone.now())
            if seen.open_sessions != sessions:
                sessions, steady_since = seen.open_sessions, time.monotonic()
            self.tenant.keep_busy(now=timezone.now(), narrator=self.narrator)
            if sessions > 0 and seen.plans_made > 0 and time.monotonic() - steady_since > 5.0:
                return
            time.sleep(1.0)

    def _play_event(self, operator: ApiClient, direction: str) -> None:
        room_s = self._left_s() - NOTICE.total_seconds() - SETTLED_WITHIN_S
        length_s = min(EVENT_S if direction == "reduce" else INCREASE_S, room_s)
        # whole slots of the programme, so that every slot is a full one
        length_s = max(30.0, 15.0 * math.floor(length_s / 15.0))
        starts_at = timezone.now() + NOTICE
        target_kw = self._target_kw(direction)
        try:
            event = operator.request_event(
                programme=PROGRAMME,
                direction=direction,
                target_kw=target_kw,
                starts_at=starts_at,
                ends_at=starts_at + timedelta(seconds=length_s),
                key=uuid.uuid4().hex,
            )
        except httpx.HTTPError as error:
            self.narrator.say(f"the grid operator's request failed: {error}", now=timezone.now())
            self._watch_until(time.monotonic() + 5.0)
            return
        verb = "reduce" if direction == "reduce" else "consume more by"
        self.narrator.say(
            f"the grid operator asks to {verb} {target_kw:,.0f} kW for {length_s:.0f} s (event {event['event_id']})",
            now=timezone.now(),
        )
        self._follow(event["event_id"], time.monotonic() + NOTICE.total_seconds() + length_s + SETTLED_WITHIN_S)

    def _target_kw(self, direction: str) -> float:
        """A third of what the packs and the two-way cars could do, in round figures."""
        seen = progress()
        possible_kw = 20.0 * seen.packs_connected + 5.0 * seen.open_sessions
        return max(20.0, min(MOST_KW, round(possible_kw / 3.0, -1))) * (1.0 if direction == "reduce" else 0.5)

    def _follow(self, event_id: int, deadline: float) -> None:
        told_at = 0.0
        while time.monotonic() < deadline and not self.stopping:
            now = timezone.now()
            self.narrator.watch(now=now)
            self.tenant.keep_busy(now=now, narrator=self.narrator)
            outcome = event_outcome(event_id=event_id)
            if outcome is not None:
                self.outcomes.append(outcome)
                self.narrator.tell_settlement(event_id, outcome, now=now)
                return
            delivery = newest_delivery(event_id=event_id)
            if delivery is not None and time.monotonic() - told_at > 5.0:
                told_at = time.monotonic()
                self.narrator.tell_delivery(target_kw=delivery.target_kw, delivered_kw=delivery.delivered_kw, now=now)
            time.sleep(1.0)

    def _watch_until(self, deadline: float) -> None:
        while time.monotonic() < min(deadline, self.ends_at) and not self.stopping:
            now = timezone.now()
            self.narrator.watch(now=now)
            self.tenant.keep_busy(now=now, narrator=self.narrator)
            time.sleep(1.0)

    def _summary(self) -> dict[str, Any]:
        seen = progress()
        events = []
        for outcome in self.outcomes:
            entry = asdict(outcome)
            entry["payment"] = float(outcome.payment)
            events.append(entry)
        return {
            "chargers_connected": seen.chargers_connected,
            "packs_connected": seen.packs_connected,
            "messages_in": seen.messages_in,
            "readings_stored": seen.readings_stored,
            "events": events,
            "jobs_completed": seen.jobs_completed,
            "owners_paid": seen.owners_paid,
            "ledger_balanced": books_balance(),
            "lost": lost_messages(settings.RUN_DIR),
        }
