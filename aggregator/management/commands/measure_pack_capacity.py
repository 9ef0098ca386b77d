"""Begin or call off a capacity test of a pack."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from aggregator.management.json_command import JsonCommand
from fleet.operations.capacity_tests import cancel_capacity_test, start_capacity_test


class Command(JsonCommand):
    help = "Begin a capacity test of a pack within safe limits; --cancel calls the one that runs off."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--pack", required=True, help="identity")
        parser.add_argument("--test-kw", type=float, help="default: a quarter of the capacity per hour")
        parser.add_argument("--cancel", action="store_true")

    def perform(self, **options: Any) -> dict[str, Any]:
        now = timezone.now()
        if options["cancel"]:
            return {"cancelled": cancel_capacity_test(pack_identity=options["pack"], now=now)}
        started = start_capacity_test(pack_identity=options["pack"], test_kw=options["test_kw"], now=now)
        return {
            "test_id": started.test_id,
            "ends_at": started.ends_at.isoformat(),
            "phases": [{"power_kw": phase.power_kw, "seconds": phase.seconds} for phase in started.phases],
        }
