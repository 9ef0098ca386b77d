"""Submits a computing job straight to the database: for operators and trials. Tenants use the API (docs/compute-abi.md)."""

from __future__ import annotations

import json
import secrets
import time
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from common.errors import PlatformError
from compute_market.operations.jobs import JobRequest, submit_job
from compute_market.queries import job_of_tenant, job_output
from compute_market.runners.wasm.samples import (
    SAMPLES,
    monte_carlo_input,
    monte_carlo_result,
    prime_sum_input,
    prime_sum_result,
    sample_program,
)
from compute_market.tasks import request_matching

POLL_S = 0.5


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--sample", choices=SAMPLES, help="a program that comes with the platform")
        what.add_argument("--program", type=Path, help="a .wasm file")
        parser.add_argument("--input", type=Path, help="file that the program's init function gets")
        parser.add_argument("--size", type=int, default=100_000_000, help="points or limit of a sample")
        parser.add_argument("--tenant", default="operator", help="on whose account")
        parser.add_argument("--key", default="", help="idempotency key; left out: a new job")
        parser.add_argument("--label", default="")
        parser.add_argument("--currency", default="EUR")
        parser.add_argument("--price-cap", default="0.10", help="most that you pay for a cpu-hour")
        parser.add_argument("--cpu-limit-s", type=int, default=3600)
        parser.add_argument("--memory-limit-mib", type=int, default=64)
        parser.add_argument("--latency-class", default="batch", choices=("interactive", "batch"))
        parser.add_argument("--wait", type=float, default=0.0, help="seconds to wait for the result")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            job_id = self.submit(options)
        except PlatformError as error:
            raise CommandError(str(error)) from error
        request_matching()
        ends_at = time.monotonic() + options["wait"]
        view = job_of_tenant(tenant=options["tenant"], job_id=job_id)
        while view and view.state in ("queued", "leased") and time.monotonic() < ends_at:
            time.sleep(POLL_S)
            view = job_of_tenant(tenant=options["tenant"], job_id=job_id)
        assert view is not None
        shown: dict[str, Any] = {
            "job_id": job_id,
            "state": view.state,
            "cost": str(view.cost),
            "currency": view.currency,
        }
        if view.state == "completed":
            shown["result"] = self.result(options, job_id)
        self.stdout.write(json.dumps(shown))

    def submit(self, options: dict[str, Any]) -> int:
        try:
            cap = Decimal(options["price_cap"])
        except InvalidOperation as error:
            raise CommandError(f"--price-cap {options['price_cap']!r} is no number.") from error
        try:
            program = sample_program(options["sample"]) if options["sample"] else options["program"].read_bytes()
            given = (
                options["input"].read_bytes() if options["input"] else sample_input(options["sample"], options["size"])
            )
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be read: {error.strerror}.") from error
        request = JobRequest(
            program=program,
            input=given,
            cpu_limit_s=options["cpu_limit_s"],
            price_cap_per_cpu_hour=cap,
            currency=options["currency"],
            memory_limit_mib=options["memory_limit_mib"],
            latency_class=options["latency_class"],
            label=options["label"],
        )
        key = options["key"] or secrets.token_urlsafe(16)
        return submit_job(tenant=options["tenant"], idempotency_key=key, request=request, now=timezone.now()).job_id

    def result(self, options: dict[str, Any], job_id: int) -> Any:
        found = job_output(tenant=options["tenant"], job_id=job_id)
        assert found is not None
        if options["sample"] == "monte_carlo_pi":
            return dict(zip(("hits", "points", "pi"), monte_carlo_result(found.output), strict=True))
        if options["sample"] == "prime_sum":
            return dict(zip(("primes", "sum"), prime_sum_result(found.output), strict=True))
        return {"sha256": found.sha256, "bytes": len(found.output)}


def sample_input(sample: str | None, size: int) -> bytes:
    """The input of a sample; none for a program of one's own."""
    if sample == "monte_carlo_pi":
        return monte_carlo_input(seed=secrets.randbits(63), points=size)
    if sample == "prime_sum":
        return prime_sum_input(limit=size)
    return b""
