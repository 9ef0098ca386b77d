"""The tracking loop: corrects running events every two seconds and asks for a new plan when the fleet changes."""

from __future__ import annotations

import json
import logging
import select
import signal
import time
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from aggregator.operations.tracking import TrackingMemory, correct_delivery
from aggregator.tasks import replan_region
from common.errors import PlatformError
from fleet.operations.changes import FLEET_CHANGED_CHANNEL
from grid.queries import open_events

logger = logging.getLogger(__name__)

TRIGGERS = {
    "arrival": "arrival",
    "departure": "departure",
    "lost_device": "lost_device",
    "found_device": "arrival",
    "owner": "owner",
}
RECONNECT_S = 1.0


class Command(BaseCommand):
    help = "Correct running events every few seconds and ask for a new plan when the fleet changes."
    requires_system_checks = ()  # `make check` and the migration before the start have run them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks at a running event")
        parser.add_argument(
            "--settle-for", type=float, default=3.0, help="seconds of quiet after a change before planning anew"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self.memories: dict[int, TrackingMemory] = {}
        # region -> (first change, newest change, why)
        self.pending: dict[int, tuple[float, float, str]] = {}
        self.stdout.write("READY tracking loop")
        self.stdout.flush()
        while not self.stopping:
            try:
                with psycopg.connect(settings.DATABASE_URL, autocommit=True) as listener:
                    listener.execute(f"LISTEN {FLEET_CHANGED_CHANNEL}")
                    self._run(listener, options["every"], options["settle_for"])
            except (psycopg.OperationalError, OperationalError, InterfaceError) as error:
                logger.warning("the database is away (%s); trying again", str(error).strip().splitlines()[0])
                close_old_connections()
                time.sleep(RECONNECT_S)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _run(self, listener: psycopg.Connection, every_s: float, settle_for_s: float) -> None:
        next_look = time.monotonic()
        while not self.stopping:
            ready, _, _ = select.select([listener.fileno()], [], [], max(0.0, min(0.5, next_look - time.monotonic())))
            if ready:
                self._note_changes(listener)
            self._replan_where_quiet(settle_for_s)
            if time.monotonic() >= next_look:
                next_look = max(next_look + every_s, time.monotonic())
                self._look()

    def _note_changes(self, listener: psycopg.Connection) -> None:
        for notice in listener.notifies(timeout=0):
            change = json.loads(notice.payload)
            now = time.monotonic()
            first, _, _ = self.pending.get(change["region_id"], (now, now, ""))
            self.pending[change["region_id"]] = (first, now, TRIGGERS[change["kind"]])

    def _replan_where_quiet(self, settle_for_s: float) -> None:
        """Ask for one plan per burst of changes: when it is over, or has lasted three times as long as quiet is."""
        now = time.monotonic()
        for region_id, (first, newest, trigger) in list(self.pending.items()):
            if now - newest >= settle_for_s or now - first >= 3 * settle_for_s:
                del self.pending[region_id]
                replan_region.delay(region_id, trigger)

    def _look(self) -> None:
        close_old_connections()
        now = timezone.now()
        running = [event for event in open_events(now=now) if event.starts_at <= now and event.participants]
        self.memories = {event.event_id: self.memories.get(event.event_id, TrackingMemory()) for event in running}
        for event in running:
            try:
                delivery = correct_delivery(event=event, memory=self.memories[event.event_id], now=timezone.now())
            except PlatformError as error:
                logger.warning("event %s is not corrected: %s", event.event_id, error)
                continue
            logger.info(
                "event %s: %.1f of %.1f kW, %s set-points corrected, %s assets do not follow",
                event.event_id,
                delivery.delivered_kw,
                delivery.target_kw,
                delivery.corrected_assets,
                len(delivery.not_responding),
            )
