"""Register a second-life pack, and the inverter that it stands behind if that is new."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction
from django.utils import timezone

from aggregator.management.json_command import JsonCommand, decimal_option
from aggregator.management.places import site_or_default
from fleet.devices.modbus.discovery import profile_folders
from fleet.devices.modbus.profile import load_profile
from fleet.operations.assets import (
    CONSENT_SERVICES,
    PackSpecification,
    RegisteredInverter,
    allow_packs,
    find_inverter,
    register_inverter,
    register_pack,
)


class Command(JsonCommand):
    option_of_field = {"consents": "consent"}
    help = "Register a pack at a Modbus address; the inverter there is registered with it if it is not yet."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--host", required=True)
        parser.add_argument("--port", type=int, default=502)
        parser.add_argument("--device-id", type=int, required=True, help="Modbus unit of the pack")
        parser.add_argument("--identity", default="", help="default: PACK-<host>-<port>-<unit>")
        parser.add_argument("--site", default="", help="identity of the site of a new inverter; default: the only one")
        parser.add_argument("--inverter-identity", default="", help="of a new inverter; default: INV-<host>-<port>")
        parser.add_argument("--inverter-device-id", type=int, default=1, help="Modbus unit of a new inverter")
        parser.add_argument(
            "--framing",
            default="tcp",
            choices=("tcp", "rtu_over_tcp"),
            help="of a new inverter: Modbus TCP, or RTU frames passed on by a serial gateway",
        )
        parser.add_argument(
            "--register-profile", default="", help="of a new inverter without SunSpec: the name of its profile"
        )
        parser.add_argument("--inverter-max-charge-kw", type=float, default=100.0)
        parser.add_argument("--inverter-max-discharge-kw", type=float, default=100.0)
        parser.add_argument("--nameplate-kwh", type=float, default=24.0)
        parser.add_argument("--state-of-health-fraction", type=float, default=0.8, help="usable share, as last tested")
        parser.add_argument("--max-charge-kw", type=float, default=20.0)
        parser.add_argument("--max-discharge-kw", type=float, default=20.0)
        parser.add_argument("--minimum-soc-fraction", type=float, default=0.1)
        parser.add_argument("--origin", default="unknown", help="the vehicle model that it came from")
        parser.add_argument("--serial-number", default="")
        parser.add_argument(
            "--consent",
            action="append",
            default=[],
            choices=CONSENT_SERVICES,
            help="a service that the site's owner has agreed to for all its packs; give it once for each",
        )
        parser.add_argument("--wear-per-kwh", type=decimal_option, default="0", help="cost of a kWh discharged")

    @transaction.atomic
    def perform(self, **options: Any) -> dict[str, Any]:
        inverter = find_inverter(host=options["host"], port=options["port"]) or _new_inverter(options)
        figures = (
            "nameplate_kwh",
            "state_of_health_fraction",
            "max_charge_kw",
            "max_discharge_kw",
            "minimum_soc_fraction",
            "origin",
            "serial_number",
        )
        pack = register_pack(
            identity=options["identity"] or f"PACK-{options['host']}-{options['port']}-{options['device_id']}",
            inverter_identity=inverter.identity,
            device_id=options["device_id"],
            now=timezone.now(),
            specification=PackSpecification(
                **{name: options[name] for name in figures}, wear_per_kwh=decimal_option(str(options["wear_per_kwh"]))
            ),
        )
        allowed = allow_packs(site_identity=inverter.site_identity, services=options["consent"], now=timezone.now())
        return {
            "identity": pack.identity,
            "site": inverter.site_identity,
            "consents": list(allowed),
            "asset_id": pack.asset_id,
            "pack_id": pack.pack_id,
            "device_id": pack.device_id,
            "inverter": pack.inverter_identity,
            "host": inverter.host,
            "port": inverter.port,
        }


def _new_inverter(options: dict[str, Any]) -> RegisteredInverter:
    if options["register_profile"]:
        load_profile(options["register_profile"], folders=profile_folders())
    return register_inverter(
        identity=options["inverter_identity"] or f"INV-{options['host']}-{options['port']}",
        site_identity=site_or_default(options["site"]),
        host=options["host"],
        port=options["port"],
        device_id=options["inverter_device_id"],
        max_charge_kw=options["inverter_max_charge_kw"],
        max_discharge_kw=options["inverter_max_discharge_kw"],
        framing=options["framing"],
        register_profile=options["register_profile"],
    )
