"""Write what a baseline-and-credit project saved, with every monitored time behind it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from aggregator.management.json_command import JsonCommand
from grid.queries.carbon import credit_report


class Command(JsonCommand):
    help = "Print a project's EM_BL, EM_PJ and reduction, and write what was monitored as CSV if wanted."
    option_of_field = {"project_code": "project"}

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--project", required=True, help="code of the project")
        parser.add_argument("--csv", type=Path, help="file for the monitored times")

    def perform(self, **options: Any) -> dict[str, Any]:
        report = credit_report(options["project"])
        if options["csv"]:
            with options["csv"].open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["starts_at", "ends_at", "baseline_kwh", "project_kwh", "kg_per_kwh", "evidence"])
                writer.writerows((row[0].isoformat(), row[1].isoformat(), *row[2:]) for row in report.rows)
        return {
            "project": report.project_code,
            "methodology": report.methodology,
            "approved": report.approved,
            "baseline_kg": report.baseline_kg,
            "project_kg": report.project_kg,
            "reduction_kg": report.reduction_kg,
            "credit_kg": report.credit_kg,
            "monitored": len(report.rows),
        }
