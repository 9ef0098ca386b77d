"""Take certificates over from a registry's CSV file."""

from __future__ import annotations

import csv
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction
from django.utils import timezone

from aggregator.management.json_command import JsonCommand
from common.errors import InvalidInput
from grid.operations.certificates import CertificateInput, record_certificate

COLUMNS = ("serial", "kind", "produced_from", "produced_until", "kwh")


class Command(JsonCommand):
    help = (
        "Record every lot of a CSV file once, all or none. Columns: serial, kind (fit, non_fit_re, non_fit_other, go), "
        "produced_from, produced_until (with time zone), kwh; optional: holder, technology, kg_per_kwh."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--registry", required=True)
        parser.add_argument("--region", required=True, help="code of the region that it was produced in")

    def perform(self, **options: Any) -> dict[str, Any]:
        now = timezone.now()
        with options["file"].open(encoding="utf-8-sig", newline="") as file, transaction.atomic():
            lots = [
                record_certificate(given=_lot(row, line, options), now=now)
                for line, row in enumerate(csv.DictReader(file), start=2)
            ]
        return {"lots": len(set(lots))}


def _lot(row: dict[str, str], line: int, options: dict[str, Any]) -> CertificateInput:
    for column in COLUMNS:
        if not row.get(column):
            raise InvalidInput(f"line {line} has none.", field=column, remedy="Fill the column.")
    try:
        return CertificateInput(
            registry=options["registry"],
            serial=row["serial"],
            kind=row["kind"],
            region_code=options["region"],
            produced_from=datetime.fromisoformat(row["produced_from"]),
            produced_until=datetime.fromisoformat(row["produced_until"]),
            kwh=Decimal(row["kwh"]),
            holder=row.get("holder") or "",
            technology=row.get("technology") or "",
            kg_per_kwh=float(row.get("kg_per_kwh") or 0),
            source=options["file"].name,
        )
    except (ValueError, InvalidOperation) as error:
        raise InvalidInput(f"line {line}: {error}.", field="file", remedy="Correct the line.") from error
