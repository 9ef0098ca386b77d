"""Enrol the portfolio at an outside OpenADR 3.1 VTN."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from aggregator.management.json_command import JsonCommand
from grid.operations.openadr.outside import join_vtn


class Command(JsonCommand):
    help = "Take events from an outside OpenADR 3.1 VTN. The client secret stays in the environment."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="its events stand under this name")
        parser.add_argument("--url", required=True, help="address of the VTN, before /programs")
        parser.add_argument("--client-id", required=True)
        parser.add_argument(
            "--secret-variable", required=True, help="environment variable that holds the client secret"
        )
        parser.add_argument("--ven-name", required=True, help="what our node is called there")
        parser.add_argument("--programme", action="append", required=True, help="THEIR-NAME=OUR-CODE; may be repeated")
        parser.add_argument(
            "--target", action="append", default=[], help="a target that we were granted; may be repeated"
        )
        parser.add_argument("--transport", default="poll", help="poll, webhook or mqtt")
        parser.add_argument("--poll-s", type=int, default=60, help="seconds between readings, whatever the transport")
        parser.add_argument("--scope", default="", help="scopes to ask for; without it, what the client gets by itself")

    def perform(self, **options: Any) -> dict[str, Any]:
        pairs = [entry.partition("=") for entry in options["programme"]]
        if not all(theirs and ours for theirs, _, ours in pairs):
            raise CommandError("--programme wants THEIR-NAME=OUR-CODE.")
        key = join_vtn(
            name=options["name"],
            base_url=options["url"],
            client_id=options["client_id"],
            secret_variable=options["secret_variable"],
            ven_name=options["ven_name"],
            programmes={theirs: ours for theirs, _, ours in pairs},
            transport=options["transport"],
            poll_s=options["poll_s"],
            targets=options["target"],
            scope=options["scope"],
            now=timezone.now(),
        )
        return {"vtn": key, "name": options["name"]}
