"""The demonstration's tenant: keeps a few WebAssembly jobs in the market and checks each result against its own sum."""

from __future__ import annotations

import base64
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import httpx
import numpy as np

from aggregator.management.story.api_client import ApiClient
from aggregator.management.story.narrator import Narrator
from compute_market.runners.wasm.samples import (
    monte_carlo_input,
    monte_carlo_result,
    prime_sum_input,
    prime_sum_result,
    sample_program,
)

JOBS_AT_ONCE = 6
LOOK_EVERY_S = 3.0
CLOSED_STATES = {"completed", "failed", "cancelled", "missed"}
PRIME_LIMIT = 20_000_000
# some seconds of a car's computer
RANDOM_POINTS = 400_000_000
# A right estimate is further from π than this many standard deviations less than once in a million runs.
MOST_DEVIATIONS = 5.0


@dataclass(frozen=True)
class Work:
    """A kind of job: what is sent, and whether what comes back can be right."""

    label: str
    program: bytes
    input: bytes
    is_right: Callable[[bytes], bool]


@cache
def primes_below(limit: int) -> tuple[int, int]:
    """Number and sum of the primes below a limit, by the sieve of Eratosthenes: what the job should come to."""
    sieve = np.ones(limit, dtype=bool)
    sieve[:2] = False
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = False
    found = np.flatnonzero(sieve)
    return int(found.size), int(found.sum())


def estimates_pi(output: bytes) -> bool:
    """Whether a Monte Carlo estimate is as near to π as its number of points makes sure of.

    The estimate 4·hits/points has the standard deviation 4·√(p(1 − p)/points) with p = π/4.
    """
    _, points, estimate = monte_carlo_result(output)
    deviation = 4.0 * math.sqrt(math.pi / 4 * (1 - math.pi / 4) / points)
    return points == RANDOM_POINTS and abs(estimate - math.pi) <= MOST_DEVIATIONS * deviation


def work_number(number: int) -> Work:
    """Sums of primes and estimates of π in turn, each estimate from other random points."""
    if number % 3 == 0:
        return Work(
            f"sum of the primes below {PRIME_LIMIT:,}",
            sample_program("prime_sum"),
            prime_sum_input(limit=PRIME_LIMIT),
            lambda output: prime_sum_result(output) == primes_below(PRIME_LIMIT),
        )
    return Work(
        f"π from {RANDOM_POINTS:,} random points",
        sample_program("monte_carlo_pi"),
        monte_carlo_input(seed=number, points=RANDOM_POINTS),
        estimates_pi,
    )


class Tenant:
    """Submits jobs through the API, as anyone could, and verifies what comes back."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._open: dict[int, Work] = {}
        self._submitted = 0
        self._looked_at = 0.0

    def keep_busy(self, *, now: datetime, narrator: Narrator) -> None:
        """Collect what is done and submit anew, every few seconds; a platform that does not answer is asked again later."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            self._collect(now, narrator)
            while len(self._open) < JOBS_AT_ONCE:
                self._submit()
        except httpx.HTTPError as error:
            narrator.say(f"the tenant gets no answer: {error}", now=now)

    def _submit(self) -> None:
        work = work_number(self._submitted)
        self._submitted += 1
        answer = self._api.post(
            "/api/jobs/",
            {
                "program": base64.b64encode(work.program).decode(),
                "input": base64.b64encode(work.input).decode(),
                "label": work.label,
                "cpu_limit_s": 300,
                "currency": "EUR",
                "price_cap_per_cpu_hour": "0.60",
                "latency_class": "batch",
            },
            idempotency_key=uuid.uuid4().hex,
        )
        answer.raise_for_status()
        self._open[answer.json()["id"]] = work

    def _collect(self, now: datetime, narrator: Narrator) -> None:
        for job_id, work in list(self._open.items()):
            job = self._api.get(f"/api/jobs/{job_id}/")
            if job["state"] not in CLOSED_STATES:
                continue
            del self._open[job_id]
            if job["state"] != "completed":
                narrator.say(f"job {job_id} {job['state']}: {job['failure_reason']}", now=now)
                continue
            result = self._api.get(f"/api/jobs/{job_id}/result/")
            if not work.is_right(base64.b64decode(result["output"])):
                narrator.say(f"job {job_id} came back WRONG from {result['computer']}", now=now)
