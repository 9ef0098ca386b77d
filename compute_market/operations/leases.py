"""What an agent does under its lease: renew, report, save, finish, give back. Every call may be repeated safely.

A call names the lease and its fencing token. Once a lease has ended, or another was granted for the job, every write
under it is refused with `LeaseLost`; a repeat of a write that went through is answered as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Max

from common.errors import InvalidInput
from compute_market.core.terms import refusal
from compute_market.core.verification import require_sha256
from compute_market.models import Checkpoint, Job, JobState, Lease, LeaseEnd, LeaseState, Result
from compute_market.operations.endings import close_job, count_fault, end_lease, requeue_job
from compute_market.operations.holding import HeldLease, OutOfOrder, hold_lease, note_progress
from compute_market.operations.offers import CarReport, car_condition, computer_state
from compute_market.operations.rules import (
    CHECKPOINTS_KEPT,
    COMPUTERS_THAT_FAULT,
    MOST_CHECKPOINT_BYTES,
    MOST_COMPUTER_FAULTS,
    MOST_OUTPUT_BYTES,
    market_rules,
)

STOP_OF_REFUSAL = {
    "no_consent": LeaseEnd.CONSENT_WITHDRAWN,
    "unplugged": LeaseEnd.UNPLUGGED,
    "emergency": LeaseEnd.EMERGENCY,
    "soc_unknown": LeaseEnd.LOW_BATTERY,
    "low_battery": LeaseEnd.LOW_BATTERY,
    "departure": LeaseEnd.DEPARTURE,
}
# what an agent may give as its reason
REASONS_TO_GIVE_BACK = frozenset(LeaseEnd.values) - {
    LeaseEnd.COMPLETED,
    LeaseEnd.AGENT_LOST,
    LeaseEnd.CANCELLED,
    LeaseEnd.CPU_LIMIT,
}


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    """Until when the lease holds. `stop_reason`, if any, says why the agent must stop, save and give it back."""

    expires_at: datetime
    stop_reason: str


@transaction.atomic
def renew_lease(
    *, held: HeldLease, report: CarReport, progress_fraction: float | None = None, now: datetime
) -> LeaseRenewed:
    """Extend a lease as long as the owner's terms hold, consent included; where they do not, it runs out.

    Raises:
        UnknownLease, LeaseLost.
    """
    job, lease = hold_lease(held, now)
    offer = lease.offer
    because = refusal(
        car_condition(computer_state(lease.computer_id), report),
        minimum_soc_fraction=offer.minimum_soc_fraction,
        departure_margin_s=offer.departure_margin_s,
        now=now,
    )
    stop_reason = str(STOP_OF_REFUSAL[because]) if because else ""
    if not stop_reason and job.deadline_at is not None and job.deadline_at <= now:
        stop_reason = str(LeaseEnd.DEADLINE)
    if not stop_reason:
        lease.renewed_at = now
        lease.expires_at = now + market_rules().lease
        lease.save(update_fields=["renewed_at", "expires_at"])
    note_progress(job, progress_fraction)
    offer.__class__.objects.filter(pk=offer.pk).update(
        last_seen_at=now,
        agent_soc_fraction=report.soc_fraction,
        agent_departure_at=report.departure_at,
        agent_plugged_in=report.plugged_in,
        refused_because=because,
    )
    return LeaseRenewed(lease.expires_at, stop_reason)


@transaction.atomic
def save_checkpoint(
    *,
    held: HeldLease,
    sequence: int,
    content: bytes,
    sha256: str,
    slice_sequence: int,
    progress_fraction: float | None = None,
    now: datetime,
) -> int:
    """Keep the job's state and secure the slices up to `slice_sequence` whose work it holds.

    Args:
        sequence: one above the job's last checkpoint, whoever made that.

    Returns:
        The checkpoint's sequence.

    Raises:
        UnknownLease, LeaseLost, OutOfOrder, InvalidInput: too large, or not what the digest says.
    """
    if not 1 <= len(content) <= MOST_CHECKPOINT_BYTES:
        raise InvalidInput(
            f"has {len(content)} bytes, outside 1 to {MOST_CHECKPOINT_BYTES}",
            field="checkpoint",
            remedy="Give the job less memory.",
        )
    digest = require_sha256(content, sha256, field="checkpoint")
    if Checkpoint.objects.filter(lease_id=held.lease_id, sequence=sequence, sha256=digest).exists():
        return sequence
    job, lease = hold_lease(held, now)
    last = job.checkpoints.aggregate(last=Max("sequence"))["last"] or 0
    if sequence != last + 1:
        raise OutOfOrder(f"is {sequence}, but {last + 1} is next", field="sequence", remedy="Count on from the last.")
    Checkpoint.objects.create(
        job=job,
        lease=lease,
        sequence=sequence,
        content=content,
        sha256=digest,
        size_bytes=len(content),
        progress_fraction=progress_fraction,
        created_at=now,
    )
    job.checkpoints.filter(sequence__lte=sequence - CHECKPOINTS_KEPT).delete()
    lease.slices.filter(sequence__lte=slice_sequence, secured_at__isnull=True, voided_at__isnull=True).update(
        secured_at=now
    )
    note_progress(job, progress_fraction)
    return sequence


@transaction.atomic
def complete_job(*, held: HeldLease, output: bytes, sha256: str, now: datetime) -> int:
    """Hand in the result: the job is done, and all its lease's work is due.

    Returns:
        The job's id.

    Raises:
        UnknownLease, LeaseLost, InvalidInput: too large, or not what the digest says.
    """
    if len(output) > MOST_OUTPUT_BYTES:
        raise InvalidInput(
            f"has {len(output)} bytes, above the limit of {MOST_OUTPUT_BYTES}", field="output", remedy="Put out less."
        )
    digest = require_sha256(output, sha256, field="output")
    known = Result.objects.filter(lease_id=held.lease_id, computer_id=held.computer_id, sha256=digest).first()
    if known is not None:
        return known.job_id
    job, lease = hold_lease(held, now)
    Result.objects.create(
        job=job,
        lease=lease,
        computer_id=lease.computer_id,
        output=output,
        sha256=digest,
        size_bytes=len(output),
        completed_at=now,
    )
    end_lease(lease, state=LeaseState.COMPLETED, reason=LeaseEnd.COMPLETED, pay_all=True, now=now)
    job.progress_fraction = 1.0
    close_job(job, state=JobState.COMPLETED, reason="", now=now)
    return job.pk


@transaction.atomic
def give_back_lease(*, held: HeldLease, reason: str, detail: str = "", now: datetime) -> None:
    """End a lease before its job is done; the job goes on elsewhere from its last checkpoint.

    A fault of the program counts against the job: after the second it has failed. Giving back again changes nothing.

    Raises:
        UnknownLease, LeaseLost, InvalidInput: not a reason that an agent may give.
    """
    if reason not in REASONS_TO_GIVE_BACK:
        allowed = ", ".join(sorted(REASONS_TO_GIVE_BACK))
        raise InvalidInput(f"is {reason[:40]!r}", field="reason", remedy=f"Use one of {allowed}.")
    ended = Lease.objects.filter(pk=held.lease_id, computer_id=held.computer_id, state=LeaseState.GIVEN_BACK)
    if ended.filter(fencing_token=held.fencing_token).exists():
        return
    job, lease = hold_lease(held, now)
    program_fault = reason == LeaseEnd.PROGRAM_FAULT
    end_lease(
        lease, state=LeaseState.GIVEN_BACK, reason=LeaseEnd(reason), pay_all=program_fault, detail=detail, now=now
    )
    if program_fault:
        count_fault(job, detail=detail or "the program broke its rules", now=now)
    elif reason == LeaseEnd.COMPUTER_FAULT and _no_computer_can(job):
        close_job(job, state=JobState.FAILED, reason=f"no computer could run it: {detail}", now=now)
    else:
        requeue_job(job, now=now)


def _no_computer_can(job: Job) -> bool:
    """Whether so many computers, or so many tries, have failed to start a job that the fault is not theirs."""
    faults = job.leases.filter(end_reason=LeaseEnd.COMPUTER_FAULT)
    tried = faults.aggregate(times=Count("pk"), computers=Count("computer", distinct=True))
    return bool(tried["times"] >= MOST_COMPUTER_FAULTS or tried["computers"] >= COMPUTERS_THAT_FAULT)
