"""Register a charger and print its password, once."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from aggregator.management.json_command import JsonCommand
from aggregator.management.places import site_or_default
from fleet.operations.assets import CHARGER_PROTOCOLS, DISCHARGING_PROTOCOLS, EvseSpecification, register_charger


class Command(JsonCommand):
    help = "Register a charger. On an empty database a region, node and site called 'default' are made for it."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--identity", required=True, help="the last part of the address it connects to")
        parser.add_argument("--protocol", required=True, choices=CHARGER_PROTOCOLS)
        parser.add_argument("--password", default="", help="of HTTP Basic or MQTT; default: one is generated")
        parser.add_argument("--site", default="", help="identity of its site; default: the only one")
        parser.add_argument("--evses", type=int, default=1, help="how many; default 1")
        parser.add_argument("--phases", type=int, default=3, choices=(1, 3))
        parser.add_argument("--max-charge-kw", type=float, default=11.0, help="of each EVSE; default 11")
        parser.add_argument(
            "--max-discharge-kw", type=float, default=None, help="default: as charging for ocpp2.1 and mqtt, else 0"
        )
        parser.add_argument("--min-charge-kw", type=float, default=None, help="default: 6 A on every phase")
        parser.add_argument("--fail-safe-kw", type=float, default=0.0, help="power when it hears nothing; default 0")
        parser.add_argument("--vendor", default="")
        parser.add_argument("--model", default="")

    @transaction.atomic
    def perform(self, **options: Any) -> dict[str, Any]:
        discharge_kw = options["max_discharge_kw"]
        if discharge_kw is None:
            discharge_kw = options["max_charge_kw"] if options["protocol"] in DISCHARGING_PROTOCOLS else 0.0
        specification = EvseSpecification(
            max_charge_kw=options["max_charge_kw"],
            max_discharge_kw=discharge_kw,
            min_charge_kw=options["min_charge_kw"],
            fail_safe_kw=options["fail_safe_kw"],
        )
        charger = register_charger(
            identity=options["identity"],
            protocol=options["protocol"],
            site_identity=site_or_default(options["site"]),
            password=options["password"],
            phases=options["phases"],
            evses=[specification] * options["evses"],
            vendor=options["vendor"],
            model=options["model"],
        )
        return {
            "identity": charger.identity,
            "protocol": charger.protocol,
            "site": charger.site_identity,
            "password": charger.password,
            "charger_id": charger.charger_id,
            "evses": [
                {"number": evse.number, "asset_id": evse.asset_id, "asset": evse.asset_identity}
                for evse in charger.evses
            ],
            "warnings": charger.warnings,
        }
