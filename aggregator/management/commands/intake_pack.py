"""Take a used pack in: graded by the rules of the day, and registered unless it is refused."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date

from aggregator.management.json_command import JsonCommand
from common.errors import InvalidInput
from fleet.core.pack_intake import PackInspection
from fleet.operations.assets import PackSpecification, intake_pack


class Command(JsonCommand):
    help = "Grade a used pack by the rules of the day (accept, derate, refuse, with reasons) and register it unless refused."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--identity", required=True)
        parser.add_argument("--inverter", required=True, help="identity of the inverter that it is to stand behind")
        parser.add_argument("--device-id", type=int, required=True, help="Modbus unit of the pack")
        parser.add_argument("--origin", required=True, help="the vehicle model that it came from")
        parser.add_argument("--serial-number", default="")
        parser.add_argument("--nameplate-kwh", type=float, required=True)
        parser.add_argument("--tested-kwh", type=float, help="energy from full to empty")
        parser.add_argument("--manufactured-on", default="", help="such as 2016-05-30")
        parser.add_argument("--cell-spread-v", type=float, help="strongest less weakest cell at rest")
        parser.add_argument("--resistance-ratio", type=float, help="inner resistance over that of a new pack")
        parser.add_argument("--insulation-ohm-per-v", type=float, help="between cells and casing")
        parser.add_argument("--damaged", action="store_true", help="visible damage, swelling or traces of water")
        parser.add_argument("--max-charge-kw", type=float, default=20.0)
        parser.add_argument("--max-discharge-kw", type=float, default=20.0)
        parser.add_argument("--inspected-by", required=True)

    def perform(self, **options: Any) -> dict[str, Any]:
        made_on = parse_date(options["manufactured_on"]) if options["manufactured_on"] else None
        if options["manufactured_on"] and made_on is None:
            raise InvalidInput("is no date.", field="manufactured_on", remedy="Write it as 2016-05-30.")
        measured = (
            "nameplate_kwh",
            "tested_kwh",
            "cell_spread_v",
            "resistance_ratio",
            "insulation_ohm_per_v",
            "damaged",
        )
        outcome = intake_pack(
            identity=options["identity"],
            inverter_identity=options["inverter"],
            device_id=options["device_id"],
            inspection=PackInspection(**{name: options[name] for name in measured}, manufactured_on=made_on),
            specification=PackSpecification(
                origin=options["origin"],
                serial_number=options["serial_number"],
                max_charge_kw=options["max_charge_kw"],
                max_discharge_kw=options["max_discharge_kw"],
            ),
            inspected_by=options["inspected_by"],
            now=timezone.now(),
        )
        return {
            "identity": options["identity"],
            "verdict": outcome.grade.verdict,
            "power_fraction": outcome.grade.power_fraction,
            "reasons": [
                {"finding": r.finding, "verdict": r.verdict, "measured": r.measured, "mark": r.mark}
                for r in outcome.grade.reasons
            ],
            "rule_from": outcome.rule_from.isoformat(),
            "asset_id": outcome.pack.asset_id if outcome.pack is not None else None,
        }
