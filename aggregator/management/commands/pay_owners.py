"""Make a payout batch and write its file."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from aggregator.management.json_command import JsonCommand
from aggregator.operations.payouts import make_payout_batch, payment_csv, payment_message


class Command(JsonCommand):
    help = (
        "Pay every owner with an account what the books hold, once per key, and write the bank's file. The same key "
        "again writes the same file."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--currency", required=True)
        parser.add_argument("--key", required=True, help="your name for this batch, such as 2026-11")
        parser.add_argument("--on", type=date.fromisoformat, required=True, help="day of execution, YYYY-MM-DD")
        parser.add_argument("--minimum", type=Decimal, default=Decimal(1))
        parser.add_argument("--pain", type=Path, help="file for ISO 20022 pain.001 (euros)")
        parser.add_argument("--csv", type=Path, help="file for CSV")

    option_of_field = {"idempotency_key": "key", "execution_date": "on"}

    def perform(self, **options: Any) -> dict[str, Any]:
        made = make_payout_batch(
            currency=options["currency"],
            idempotency_key=options["key"],
            execution_date=options["on"],
            minimum=options["minimum"],
            now=timezone.now(),
        )
        if options["pain"]:
            options["pain"].write_bytes(payment_message(made.batch_id))
        if options["csv"]:
            options["csv"].write_text(payment_csv(made.batch_id), encoding="utf-8")
        return {
            "batch_id": made.batch_id,
            "created": made.created,
            "payments": made.payments,
            "total": made.total,
            "currency": made.currency,
            "without_account": list(made.without_account),
        }
