"""Register a site."""

from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.json_command import JsonCommand
from fleet.operations.assets import SITE_KINDS, register_site


class Command(JsonCommand):
    help = "Register a place behind one connection to the grid."
    option_of_field = {"grid_node_code": "node", "owner_identity": "owner"}

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--identity", required=True, help="such as DEPOT-1")
        parser.add_argument("--name", default="", help="default: the identity")
        parser.add_argument("--kind", required=True, choices=SITE_KINDS)
        parser.add_argument("--node", required=True, help="code of its grid node; create_region makes a first one")
        parser.add_argument("--owner", default="", help="identity of its owner, who is paid for its packs")
        parser.add_argument("--import-limit-kw", type=float, required=True, help="most that the connection may draw")
        parser.add_argument("--export-limit-kw", type=float, default=0.0, help="most that it may feed in; default 0")
        parser.add_argument("--time-zone", default="", help="default: the region's")
        parser.add_argument("--latitude", type=float, default=None)
        parser.add_argument("--longitude", type=float, default=None)
        parser.add_argument("--emergency-reserve-kwh", type=float, default=0.0, help="energy that no market may touch")

    def perform(self, **options: Any) -> dict[str, Any]:
        same = ("identity", "name", "kind", "import_limit_kw", "export_limit_kw", "time_zone", "latitude", "longitude")
        site = register_site(
            **{name: options[name] for name in same},
            grid_node_code=options["node"],
            owner_identity=options["owner"],
            emergency_reserve_kwh=options["emergency_reserve_kwh"],
        )
        return {"identity": site.identity, "site_id": site.site_id, "region_id": site.region_id}
