"""How a lease ends: its slices are secured or voided, its job waits again or closes."""

from __future__ import annotations

from datetime import datetime

from compute_market.models import Job, JobState, Lease, LeaseEnd, LeaseState
from compute_market.operations.rules import MOST_FAULTS


def end_lease(
    lease: Lease, *, state: LeaseState, reason: LeaseEnd | str, pay_all: bool, now: datetime, detail: str = ""
) -> None:
    """End a live, locked lease inside the caller's transaction.

    Args:
        pay_all: True where the tenant owes all reported work (completed, cancelled, its program's fault); False where
            only work that a checkpoint holds counts.
    """
    unsettled = lease.slices.filter(secured_at__isnull=True, voided_at__isnull=True)
    if pay_all:
        unsettled.update(secured_at=now)
    else:
        unsettled.update(voided_at=now)
    lease.state = state
    lease.end_reason = reason
    lease.end_detail = detail[:300]
    lease.ended_at = now
    lease.save(update_fields=["state", "end_reason", "end_detail", "ended_at"])


def requeue_job(job: Job, *, now: datetime) -> None:
    """Let a locked job wait for another computer, or miss its deadline; progress is that of its last checkpoint."""
    last = job.checkpoints.order_by("-sequence").values_list("progress_fraction", flat=True).first()
    job.progress_fraction = last
    if job.deadline_at is not None and job.deadline_at <= now:
        close_job(job, state=JobState.MISSED, reason="the deadline passed", now=now)
        return
    job.state = JobState.QUEUED
    job.save(update_fields=["state", "progress_fraction"])


def count_fault(job: Job, *, detail: str, now: datetime) -> None:
    """Count a fault of the program against a locked job: try elsewhere, or fail it."""
    job.failed_attempts += 1
    job.save(update_fields=["failed_attempts"])
    if job.failed_attempts >= MOST_FAULTS:
        close_job(job, state=JobState.FAILED, reason=detail, now=now)
    else:
        requeue_job(job, now=now)


def close_job(job: Job, *, state: JobState, reason: str, now: datetime) -> None:
    """Close a locked job for good. Checkpoints of a closed job are of no more use."""
    job.state = state
    job.failure_reason = reason[:300]
    job.finished_at = now
    job.save(update_fields=["state", "failure_reason", "finished_at", "progress_fraction"])
    job.checkpoints.all().delete()
