"""Register an owner."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.json_command import JsonCommand
from fleet.operations.assets import register_owner


class Command(JsonCommand):
    help = "Register an owner of vehicles, sites or packs, who is paid for what they deliver."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--identity", required=True, help="such as OWN-0001")
        parser.add_argument("--name", default="", help="default: the identity")
        parser.add_argument("--email", default="")
        parser.add_argument("--payout-account", default="", help="where payouts go: IBAN or a bank's own form")

    def perform(self, **options: Any) -> dict[str, Any]:
        fields = ("identity", "name", "email", "payout_account")
        return asdict(register_owner(**{field: options[field] for field in fields}))
