"""A tenant's jobs: how far, what it cost, why it paused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum

from compute_market.core.pricing import cost_cap
from compute_market.models import OPEN_JOB_STATES, Job, JobState, Lease, LeaseEnd, LeaseState, Result, WorkSlice


@dataclass(frozen=True, slots=True)
class Interruption:
    """A lease that ended before the job did: when, why, and on which computer."""

    ended_at: datetime
    reason: str
    detail: str
    computer: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as its tenant sees it. `cost` counts work that is kept or still running; `cost_cap` is the most it can reach."""

    job_id: int
    label: str
    state: str
    latency_class: str
    program_sha256: str
    progress_fraction: float | None
    memory_limit_mib: int
    cpu_limit_s: int
    cpu_s: Decimal
    currency: str
    price_cap_per_cpu_hour: Decimal
    cost: Decimal
    cost_cap: Decimal
    energy_kwh: float
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None
    computer: str
    failure_reason: str
    result_sha256: str
    interruptions: tuple[Interruption, ...]


@dataclass(frozen=True, slots=True)
class JobOutput:
    """What a job put out."""

    job_id: int
    output: bytes
    sha256: str
    computer: str
    completed_at: datetime


@dataclass(frozen=True, slots=True)
class TenantTotals:
    """A tenant's account at one look: open and completed jobs, and what is charged by currency."""

    open_jobs: int
    completed_jobs: int
    charged: dict[str, Decimal]


def jobs_of_tenant(*, tenant: str, before_id: int | None = None, state: str = "", limit: int = 100) -> list[JobView]:
    """A tenant's jobs, newest first, those below `before_id`: four queries, however many."""
    rows = Job.objects.filter(tenant=tenant)
    if state:
        rows = rows.filter(state=state)
    if before_id is not None:
        rows = rows.filter(pk__lt=before_id)
    return _views(rows.order_by("-id")[:limit])


def job_of_tenant(*, tenant: str, job_id: int) -> JobView | None:
    """One job of a tenant; None if they have no such job."""
    views = _views(Job.objects.filter(tenant=tenant, pk=job_id))
    return views[0] if views else None


def job_output(*, tenant: str, job_id: int) -> JobOutput | None:
    """The output of a tenant's completed job; None while there is none."""
    row = Result.objects.select_related("computer").filter(job_id=job_id, job__tenant=tenant).first()
    if row is None:
        return None
    return JobOutput(job_id, bytes(row.output), row.sha256, row.computer.identity, row.completed_at)


def tenant_totals(*, tenant: str) -> TenantTotals:
    """A tenant's totals."""
    jobs = Job.objects.filter(tenant=tenant)
    charged = (
        WorkSlice.objects.filter(lease__job__tenant=tenant, secured_at__isnull=False)
        .values("currency")
        .annotate(total=Sum("amount"))
        .order_by("currency")
    )
    return TenantTotals(
        open_jobs=jobs.filter(state__in=OPEN_JOB_STATES).count(),
        completed_jobs=jobs.filter(state=JobState.COMPLETED).count(),
        charged={row["currency"]: row["total"] for row in charged},
    )


def _views(rows: QuerySet[Job]) -> list[JobView]:
    jobs = list(rows.defer("input").select_related("result", "program").defer("program__content", "result__output"))
    if not jobs:
        return []
    ids = [job.pk for job in jobs]
    work = {
        row["lease__job_id"]: row
        for row in WorkSlice.objects.filter(lease__job_id__in=ids, voided_at__isnull=True)
        .values("lease__job_id")
        .annotate(cpu_s_sum=Sum("cpu_s"), amount_sum=Sum("amount"), energy_sum=Sum("energy_kwh"))
        .order_by()
    }
    leases = _leases(ids)
    return [_view(job, work.get(job.pk, {}), leases[job.pk]) for job in jobs]


def _leases(job_ids: Iterable[int]) -> defaultdict[int, list[Lease]]:
    by_job: defaultdict[int, list[Lease]] = defaultdict(list)
    for lease in Lease.objects.filter(job_id__in=job_ids).select_related("computer").order_by("fencing_token"):
        by_job[lease.job_id].append(lease)
    return by_job


def _view(job: Job, work: Mapping[str, Any], leases: Sequence[Lease]) -> JobView:
    result = getattr(job, "result", None)
    last = leases[-1] if leases else None
    return JobView(
        job_id=job.pk,
        label=job.label,
        state=job.state,
        latency_class=job.latency_class,
        program_sha256=job.program.sha256,
        progress_fraction=job.progress_fraction,
        memory_limit_mib=job.memory_limit_mib,
        cpu_limit_s=job.cpu_limit_s,
        cpu_s=work.get("cpu_s_sum", Decimal(0)),
        currency=job.currency,
        price_cap_per_cpu_hour=job.price_cap_per_cpu_hour,
        cost=work.get("amount_sum", Decimal("0.000000")),
        cost_cap=cost_cap(job.price_cap_per_cpu_hour, job.cpu_limit_s),
        energy_kwh=work.get("energy_sum", 0.0),
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        deadline_at=job.deadline_at,
        computer=last.computer.identity if last and last.state in (LeaseState.LIVE, LeaseState.COMPLETED) else "",
        failure_reason=job.failure_reason,
        result_sha256=result.sha256 if result else "",
        interruptions=tuple(
            Interruption(lease.ended_at, lease.end_reason, lease.end_detail, lease.computer.identity)
            for lease in leases
            if lease.ended_at is not None and lease.end_reason != LeaseEnd.COMPLETED
        ),
    )
