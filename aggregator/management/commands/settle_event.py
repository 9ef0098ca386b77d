"""Settle an event by hand; settling again from the same readings changes nothing."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from aggregator.management.json_command import JsonCommand
from aggregator.operations.settlements import settle_event


class Command(JsonCommand):
    help = (
        "Settle an event that has ended, from the readings that are stored now. The worker does so by itself; this is "
        "for readings that came later than it looks for them."
    )
    option_of_field = {"event_id": "event"}

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--event", type=int, required=True, help="identifier of the event")

    def perform(self, **options: Any) -> dict[str, Any]:
        settled = settle_event(event_id=options["event"], now=timezone.now())
        return {
            "event_id": settled.event_id,
            "revision": settled.revision,
            "settled_at": settled.settled_at.isoformat(),
            "delivered_kwh": settled.delivered_kwh,
            "target_kwh": settled.target_kwh,
            "missed_kwh": settled.missed_kwh,
            "payment": settled.payment,
            "currency": settled.currency,
            "assets": len(settled.shares),
            "evidence_sha256": settled.evidence_sha256,
        }
