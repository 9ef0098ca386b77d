"""Make an OAuth2 client of the API and print its secret, once."""

from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.json_command import JsonCommand
from aggregator.models import ClientRole
from aggregator.operations.clients import create_client


class Command(JsonCommand):
    help = "Make an API client (OAuth2 client credentials). The secret is shown once."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="who it is; events and books carry this name")
        parser.add_argument("--role", required=True, choices=ClientRole.values)

    def perform(self, **options: Any) -> dict[str, Any]:
        client = create_client(name=options["name"], role=options["role"])
        return {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "name": client.name,
            "role": client.role,
            "scopes": list(client.scopes),
        }
