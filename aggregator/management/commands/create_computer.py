"""Register the computer of a vehicle and print the token with which its agent logs in, once."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.json_command import JsonCommand
from fleet.operations.assets import register_computer


class Command(JsonCommand):
    help = "Register an on-board computer. It computes only if its vehicle's owner has agreed to computing."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--identity", required=True, help="such as CPU-0001")
        parser.add_argument("--vehicle", required=True, help="identity of its vehicle")
        parser.add_argument("--token", default="", help="of its agent; default: one is generated")
        parser.add_argument("--cpu-cores", type=int, default=4)
        parser.add_argument("--memory-mib", type=int, default=4096)
        parser.add_argument("--active-power-kw", type=float, default=0.3, help="drawn under load, beyond standing idle")

    def perform(self, **options: Any) -> dict[str, Any]:
        same = ("identity", "token", "cpu_cores", "memory_mib", "active_power_kw")
        return asdict(register_computer(vehicle_identity=options["vehicle"], **{name: options[name] for name in same}))
