"""Submitting a job, and cancelling it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from common.clock import require_aware
from common.errors import Conflict, InvalidInput, NotFound
from compute_market.core.verification import sha256_hex
from compute_market.core.wasm_module import require_runnable
from compute_market.models import OPEN_JOB_STATES, Job, JobState, LatencyClass, LeaseEnd, LeaseState, Program
from compute_market.operations.endings import close_job, end_lease
from compute_market.operations.rules import (
    MOST_CPU_S,
    MOST_INPUT_BYTES,
    MOST_MEMORY_MIB,
    MOST_PROGRAM_BYTES,
    require_currency,
)


class UnknownJob(NotFound):
    """This tenant has no such job."""

    code = "unknown_job"


class JobKeyReused(Conflict):
    """The idempotency key belongs to a job with other content."""

    code = "idempotency_key_reused"


class JobIsClosed(Conflict):
    """The job has ended and cannot be cancelled."""

    code = "job_is_closed"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a tenant asks for. Prices in `currency` per cpu-hour; `memory_limit_mib` bounds the module's linear memory."""

    program: bytes
    input: bytes
    cpu_limit_s: int
    price_cap_per_cpu_hour: Decimal
    currency: str
    memory_limit_mib: int = 64
    deadline_at: datetime | None = None
    latency_class: str = LatencyClass.BATCH.value
    label: str = ""


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """The job, and whether this call made it (False: it was there under the same key)."""

    job_id: int
    created: bool


@transaction.atomic
def submit_job(*, tenant: str, idempotency_key: str, request: JobRequest, now: datetime) -> JobSubmitted:
    """Queue a job. The same request under the same key is the same job.

    Raises:
        InvalidInput: a limit, price or deadline is out of range.
        InvalidProgram: the program is no module that a runner can run.
        JobKeyReused: the key belongs to another request.
    """
    _check(request, idempotency_key, now)
    digest = _request_digest(request)
    program, _ = Program.objects.get_or_create(
        sha256=sha256_hex(request.program),
        defaults={"content": request.program, "size_bytes": len(request.program), "created_at": now},
    )
    job, created = Job.objects.get_or_create(
        tenant=tenant,
        idempotency_key=idempotency_key,
        defaults={
            "request_sha256": digest,
            "label": request.label,
            "program": program,
            "input": request.input,
            "memory_limit_mib": request.memory_limit_mib,
            "cpu_limit_s": request.cpu_limit_s,
            "currency": request.currency,
            "price_cap_per_cpu_hour": request.price_cap_per_cpu_hour,
            "deadline_at": request.deadline_at,
            "latency_class": request.latency_class,
            "submitted_at": now,
        },
    )
    if not created and job.request_sha256 != digest:
        raise JobKeyReused(
            f"belongs to job {job.pk}, which asked for something else",
            field="idempotency_key",
            remedy="Use a new key for a new job.",
        )
    return JobSubmitted(job.pk, created)


@transaction.atomic
def cancel_job(*, tenant: str, job_id: int, now: datetime) -> None:
    """Stop a job for good; its agent learns at its next word. Cancelling again changes nothing.

    Raises:
        UnknownJob: the tenant has no such job.
        JobIsClosed: it has completed, failed or missed its deadline.
    """
    job = Job.objects.select_for_update().filter(pk=job_id, tenant=tenant).first()
    if job is None:
        raise UnknownJob(f"you have no job {job_id}", field="job_id")
    if job.state == JobState.CANCELLED:
        return
    if job.state not in OPEN_JOB_STATES:
        raise JobIsClosed(f"job {job_id} is {job.state}", field="job_id", remedy="There is nothing left to cancel.")
    lease = job.leases.select_for_update().filter(state=LeaseState.LIVE).first()
    if lease is not None:
        end_lease(lease, state=LeaseState.REVOKED, reason=LeaseEnd.CANCELLED, pay_all=True, now=now)
    close_job(job, state=JobState.CANCELLED, reason="", now=now)


def _check(request: JobRequest, idempotency_key: str, now: datetime) -> None:
    if not 1 <= len(idempotency_key) <= 120:
        raise InvalidInput(
            "must have 1 to 120 characters", field="idempotency_key", remedy="Send a key of your own for each job."
        )
    _check_size(request.program, MOST_PROGRAM_BYTES, "program")
    _check_size(request.input, MOST_INPUT_BYTES, "input")
    require_runnable(request.program)
    require_currency(request.currency)
    _check_range(request.memory_limit_mib, MOST_MEMORY_MIB, "memory_limit_mib")
    _check_range(request.cpu_limit_s, MOST_CPU_S, "cpu_limit_s")
    cap = request.price_cap_per_cpu_hour
    if not cap.is_finite() or not 0 < cap < 1_000_000:
        raise InvalidInput(
            "must be above zero and below a million",
            field="price_cap_per_cpu_hour",
            remedy="Give the most you would pay for an hour of one core.",
        )
    if request.latency_class not in LatencyClass.values:
        raise InvalidInput(
            f"is {request.latency_class!r}", field="latency_class", remedy=f"Use {' or '.join(LatencyClass.values)}."
        )
    if request.deadline_at is not None and require_aware(request.deadline_at, "deadline_at") <= now:
        raise InvalidInput("has passed", field="deadline_at", remedy="Give an instant in the future.")
    if len(request.label) > 120:
        raise InvalidInput("is longer than 120 characters", field="label", remedy="Shorten it.")


def _check_size(content: bytes, most_bytes: int, field: str) -> None:
    if len(content) > most_bytes:
        raise InvalidInput(
            f"has {len(content)} bytes, above the limit of {most_bytes}", field=field, remedy="Make it smaller."
        )


def _check_range(value: int, most: int, field: str) -> None:
    if not 1 <= value <= most:
        raise InvalidInput(f"is {value}, outside 1 to {most}", field=field, remedy=f"Give a value from 1 to {most}.")


def _request_digest(request: JobRequest) -> str:
    parts = {
        "program": sha256_hex(request.program),
        "input": sha256_hex(request.input),
        "memory_limit_mib": request.memory_limit_mib,
        "cpu_limit_s": request.cpu_limit_s,
        "price_cap_per_cpu_hour": str(request.price_cap_per_cpu_hour.normalize()),
        "currency": request.currency,
        "deadline_at": request.deadline_at.isoformat() if request.deadline_at else None,
        "latency_class": request.latency_class,
        "label": request.label,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
