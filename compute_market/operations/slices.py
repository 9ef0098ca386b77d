"""Recording work: what an agent's CPU time is worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Max, Sum

from common.errors import InvalidInput
from compute_market.core.pricing import energy_kwh, slice_amounts
from compute_market.models import Job, JobState, Lease, LeaseEnd, LeaseState, WorkSlice
from compute_market.operations.endings import close_job, end_lease
from compute_market.operations.holding import HeldLease, OutOfOrder, hold_lease, note_progress
from compute_market.operations.rules import MOST_CPU_S

# Clocks differ and a report is on its way for a moment: so much more CPU time than wall time is believed.
CPU_TOLERANCE_S = Decimal(2)
CPU_QUANTUM = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class SliceRecorded:
    """What the slice was worth, and whether the agent must stop."""

    sequence: int
    amount: Decimal
    stop_reason: str


@transaction.atomic
def record_slice(
    *,
    held: HeldLease,
    sequence: int,
    cpu_s: Decimal,
    elapsed_s: float,
    progress_fraction: float | None = None,
    now: datetime,
) -> SliceRecorded:
    """Record CPU time that was spent since the last report. It is due once a checkpoint or the result holds it.

    A job is charged for `cpu_limit_s` at most; when that is used up it fails, and the agent is told to stop.

    Args:
        sequence: 1 for the lease's first slice, then one more each time.
        cpu_s: CPU time of the sandbox.
        elapsed_s: wall time since the last report, as the agent's clock has it.

    Raises:
        UnknownLease, LeaseLost, OutOfOrder, InvalidInput: more CPU time than has passed.
    """
    if not cpu_s.is_finite() or not 0 <= cpu_s <= MOST_CPU_S:
        raise InvalidInput(f"lies outside 0 to {MOST_CPU_S}", field="cpu_s", remedy="Send seconds.")
    if not 0 <= elapsed_s <= MOST_CPU_S:
        raise InvalidInput(f"lies outside 0 to {MOST_CPU_S}", field="elapsed_s", remedy="Send seconds.")
    cpu_s = cpu_s.quantize(CPU_QUANTUM)
    known = _repeated_slice(held, sequence, cpu_s)
    if known is not None:
        return known
    job, lease = hold_lease(held, now)
    known = _repeated_slice(held, sequence, cpu_s)
    if known is not None:
        return known
    spent_s = _spent_s(lease, sequence, cpu_s, now)
    left_s = job.cpu_limit_s - cpu_charged_s(job)
    charged_s = min(cpu_s, max(left_s, Decimal(0)))
    amounts = slice_amounts(
        cpu_s_before=spent_s,
        cpu_s=charged_s,
        price_per_cpu_hour=lease.price_per_cpu_hour,
        platform_share_fraction=lease.platform_share_fraction,
    )
    WorkSlice.objects.create(
        lease=lease,
        sequence=sequence,
        cpu_s=charged_s,
        reported_cpu_s=cpu_s,
        energy_kwh=energy_kwh(cpu_s, lease.power_kw_per_core),
        currency=lease.currency,
        amount=amounts.amount,
        owner_amount=amounts.owner,
        platform_amount=amounts.platform,
        progress_fraction=progress_fraction,
        started_at=max(lease.granted_at, now - timedelta(seconds=elapsed_s)),
        ended_at=now,
        recorded_at=now,
    )
    note_progress(job, progress_fraction)
    if cpu_s > left_s:
        _fail_at_cpu_limit(job, lease, now)
        return SliceRecorded(sequence, amounts.amount, str(LeaseEnd.CPU_LIMIT))
    return SliceRecorded(sequence, amounts.amount, "")


def cpu_charged_s(job: Job) -> Decimal:
    """CPU seconds that the tenant pays, or will pay if the live lease's work is kept."""
    charged = WorkSlice.objects.filter(lease__job=job, voided_at__isnull=True)
    return charged.aggregate(total=Sum("cpu_s"))["total"] or Decimal(0)


def _spent_s(lease: Lease, sequence: int, cpu_s: Decimal, now: datetime) -> Decimal:
    """CPU seconds charged under the lease so far, if the next slice may follow them.

    Raises:
        OutOfOrder, InvalidInput: more CPU time than has passed.
    """
    done = lease.slices.aggregate(last=Max("sequence"), cpu_s=Sum("cpu_s"))
    if sequence != (done["last"] or 0) + 1:
        raise OutOfOrder(
            f"is {sequence}, but {(done['last'] or 0) + 1} is next",
            field="sequence",
            remedy="Send slices in order.",
        )
    spent_s = done["cpu_s"] or Decimal(0)
    passed_s = Decimal(str((now - lease.granted_at).total_seconds())) * lease.cpu_cores
    if spent_s + cpu_s > passed_s + CPU_TOLERANCE_S:
        raise InvalidInput(
            f"adds up to {spent_s + cpu_s} s, more than the lease has lasted",
            field="cpu_s",
            remedy="Report the CPU time of the sandbox alone.",
        )
    return spent_s


def _repeated_slice(held: HeldLease, sequence: int, cpu_s: Decimal) -> SliceRecorded | None:
    known = WorkSlice.objects.filter(
        lease_id=held.lease_id,
        lease__computer_id=held.computer_id,
        lease__fencing_token=held.fencing_token,
        sequence=sequence,
    ).first()
    if known is None:
        return None
    if known.reported_cpu_s != cpu_s:
        raise OutOfOrder(
            f"slice {sequence} is recorded with {known.reported_cpu_s} s, not {cpu_s} s",
            field="sequence",
            remedy="Repeat a report unchanged, or count on.",
        )
    stopped = Lease.objects.filter(pk=held.lease_id, end_reason=LeaseEnd.CPU_LIMIT).exists()
    return SliceRecorded(sequence, known.amount, str(LeaseEnd.CPU_LIMIT) if stopped else "")


def _fail_at_cpu_limit(job: Job, lease: Lease, now: datetime) -> None:
    end_lease(lease, state=LeaseState.REVOKED, reason=LeaseEnd.CPU_LIMIT, pay_all=True, now=now)
    close_job(job, state=JobState.FAILED, reason=f"used up its {job.cpu_limit_s} s of CPU time", now=now)
