"""What an agent needs to know of its lease."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, QuerySet

from compute_market.models import Checkpoint, Job, Lease, LeaseState, Program


@dataclass(frozen=True, slots=True)
class LeaseTask:
    """A live lease and its job's limits. `checkpoint_sequence` is 0 where the job starts from its input."""

    lease_id: int
    fencing_token: int
    job_id: int
    expires_at: datetime
    program_sha256: str
    memory_limit_mib: int
    cpu_limit_s: int
    checkpoint_sequence: int
    checkpoint_sha256: str
    next_slice_sequence: int


def live_lease_of(computer_id: int) -> int | None:
    """The live lease of a computer, if any."""
    return Lease.objects.filter(computer_id=computer_id, state=LeaseState.LIVE).values_list("pk", flat=True).first()


def lease_task(*, computer_id: int) -> LeaseTask | None:
    """The task of the computer's live lease; None if it has none."""
    lease_id = live_lease_of(computer_id)
    if lease_id is None:
        return None
    lease = (
        Lease.objects.filter(pk=lease_id, state=LeaseState.LIVE)
        .select_related("job__program")
        .defer("job__input", "job__program__content")
        .first()
    )
    if lease is None:
        return None
    checkpoint = lease.job.checkpoints.order_by("-sequence").values_list("sequence", "sha256").first() or (0, "")
    last_slice = lease.slices.aggregate(last=Max("sequence"))["last"] or 0
    return LeaseTask(
        lease_id=lease.pk,
        fencing_token=lease.fencing_token,
        job_id=lease.job_id,
        expires_at=lease.expires_at,
        program_sha256=lease.job.program.sha256,
        memory_limit_mib=lease.job.memory_limit_mib,
        cpu_limit_s=lease.job.cpu_limit_s,
        checkpoint_sequence=checkpoint[0],
        checkpoint_sha256=checkpoint[1],
        next_slice_sequence=last_slice + 1,
    )


def program_of(*, computer_id: int, lease_id: int) -> bytes | None:
    """The module that a computer's live lease runs; None if it holds no such lease."""
    held = _held(computer_id, lease_id)
    content = Program.objects.filter(jobs__leases__in=held).values_list("content", flat=True).first()
    return None if content is None else bytes(content)


def input_of(*, computer_id: int, lease_id: int) -> bytes | None:
    """The input of a computer's live lease; None if it holds no such lease."""
    content = Job.objects.filter(leases__in=_held(computer_id, lease_id)).values_list("input", flat=True).first()
    return None if content is None else bytes(content)


def checkpoint_of(*, computer_id: int, lease_id: int) -> tuple[int, bytes] | None:
    """Sequence and content of the last checkpoint of a live lease's job; None if there is none."""
    row = (
        Checkpoint.objects.filter(job__leases__in=_held(computer_id, lease_id))
        .order_by("-sequence")
        .values_list("sequence", "content")
        .first()
    )
    return None if row is None else (row[0], bytes(row[1]))


def _held(computer_id: int, lease_id: int) -> QuerySet[Lease]:
    return Lease.objects.filter(pk=lease_id, computer_id=computer_id, state=LeaseState.LIVE)
