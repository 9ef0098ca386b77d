"""Register a vehicle and print the token that its driver shows a station."""

from datetime import time
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from aggregator.management.json_command import JsonCommand, decimal_option
from fleet.operations.assets import (
    CONSENT_SERVICES,
    DEFAULT_IDENTITY,
    AlreadyRegistered,
    Goal,
    VehicleSpecification,
    register_owner,
    register_vehicle,
)


class Command(JsonCommand):
    help = "Register a vehicle. Without --owner it belongs to an owner called 'default'."
    option_of_field = {"consents": "consent"}

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--identity", required=True, help="such as EV-0001")
        parser.add_argument("--owner", default="", help="identity of its owner")
        parser.add_argument("--label", default="", help="what the owner calls it")
        parser.add_argument("--id-token", default="", help="card or car identifier; default: one is generated")
        parser.add_argument("--home-site", default="", help="identity of the site whose local time the wish is in")
        parser.add_argument("--make", default="Generic")
        parser.add_argument("--model", default="Car")
        parser.add_argument("--battery-capacity-kwh", type=float, default=60.0)
        parser.add_argument("--max-charge-kw", type=float, default=11.0)
        parser.add_argument("--max-discharge-kw", type=float, default=0.0, help="above zero: it can discharge")
        parser.add_argument("--charge-efficiency", type=float, default=0.92)
        parser.add_argument("--discharge-efficiency", type=float, default=0.92)
        parser.add_argument("--soc-fraction", type=float, default=None, help="0 to 1, as last known")
        parser.add_argument("--target-soc-fraction", type=float, default=0.8)
        parser.add_argument("--floor-soc-fraction", type=float, default=0.3)
        parser.add_argument("--ready-by", type=time.fromisoformat, default=None, help="HH:MM; default: no fixed time")
        parser.add_argument("--wear-per-kwh", type=decimal_option, default="0", help="cost of a kWh discharged")
        parser.add_argument(
            "--consent",
            action="append",
            default=[],
            choices=CONSENT_SERVICES,
            help="a service that the owner has agreed to; give it once for each",
        )

    def perform(self, **options: Any) -> dict[str, Any]:
        figures = (
            "make",
            "model",
            "battery_capacity_kwh",
            "max_charge_kw",
            "max_discharge_kw",
            "charge_efficiency",
            "discharge_efficiency",
        )
        vehicle = register_vehicle(
            identity=options["identity"],
            owner_identity=options["owner"] or _default_owner(),
            now=timezone.now(),
            specification=VehicleSpecification(**{name: options[name] for name in figures}),
            label=options["label"],
            home_site_identity=options["home_site"],
            id_token=options["id_token"],
            goal=Goal(
                target_soc_fraction=options["target_soc_fraction"],
                floor_soc_fraction=options["floor_soc_fraction"],
                ready_by=options["ready_by"],
            ),
            soc_fraction=options["soc_fraction"],
            wear_per_kwh=decimal_option(str(options["wear_per_kwh"])),
            consents=options["consent"],
        )
        return {
            "identity": vehicle.identity,
            "owner": vehicle.owner_identity,
            "id_token": vehicle.id_token,
            "vehicle_id": vehicle.vehicle_id,
            "consents": list(vehicle.consents),
        }


def _default_owner() -> str:
    try:
        return register_owner(identity=DEFAULT_IDENTITY, name="Default owner").identity
    except AlreadyRegistered:
        return DEFAULT_IDENTITY
