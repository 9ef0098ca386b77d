"""Register a region, a first node in it, and the programmes that we ship."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction
from django.utils import timezone

from aggregator.management.json_command import JsonCommand
from fleet.operations.assets import register_node, register_region
from grid.operations.programmes import register_shipped_programmes


class Command(JsonCommand):
    help = "Register a bidding zone or control area with its currency, a grid node in it, and the shipped programmes."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--code", required=True, help="such as NL or JP-KYUSHU")
        parser.add_argument("--name", default="", help="default: the code")
        parser.add_argument("--country", required=True, help="ISO 3166-1 alpha-2, such as NL")
        parser.add_argument("--time-zone", required=True, help="IANA name, such as Europe/Amsterdam")
        parser.add_argument("--currency", required=True, help="ISO 4217, such as EUR")
        parser.add_argument("--node", default="", help="code of the first grid node; default: the region's")
        parser.add_argument("--without-programmes", action="store_true", help="do not register what we ship")

    @transaction.atomic
    def perform(self, **options: Any) -> dict[str, Any]:
        region = register_region(
            code=options["code"],
            name=options["name"] or options["code"],
            country=options["country"],
            time_zone=options["time_zone"],
            currency=options["currency"],
        )
        node = register_node(code=options["node"] or region.code, region_code=region.code)
        programmes = []
        if not options["without_programmes"]:
            programmes = register_shipped_programmes(region_code=region.code, now=timezone.now())
        return {
            "region": region.code,
            "region_id": region.region_id,
            "node": node.code,
            "programmes": [programme.code for programme in programmes],
        }
