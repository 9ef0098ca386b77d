"""Holding a lease while it is written under: who may, and who no longer may."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from common.errors import Conflict, InvalidInput, NotFound
from compute_market.models import Job, Lease, LeaseState


class UnknownLease(NotFound):
    """This computer holds no such lease."""

    code = "unknown_lease"


class LeaseLost(Conflict):
    """The lease has ended or was replaced: nothing may be written under it any more."""

    code = "lease_lost"


class OutOfOrder(Conflict):
    """A report or checkpoint does not follow the last one, or repeats its number with other content."""

    code = "out_of_order"


@dataclass(frozen=True, slots=True)
class HeldLease:
    """How an agent names its lease."""

    computer_id: int
    lease_id: int
    fencing_token: int


def hold_lease(held: HeldLease, now: datetime) -> tuple[Job, Lease]:
    """Lock the job, then the lease, and make sure that the lease may still write.

    Raises:
        UnknownLease, LeaseLost.
    """
    job_id = Lease.objects.filter(pk=held.lease_id, computer_id=held.computer_id).values_list("job_id", flat=True)
    job = Job.objects.select_for_update().defer("input").filter(pk__in=list(job_id)).first()
    if job is None:
        raise UnknownLease(f"you hold no lease {held.lease_id}", field="lease_id")
    lease = Lease.objects.select_for_update(of=("self",)).select_related("offer").get(pk=held.lease_id)
    if (
        lease.state != LeaseState.LIVE
        or lease.fencing_token != held.fencing_token
        or job.fence != held.fencing_token
        or lease.expires_at <= now
    ):
        why = lease.end_reason or ("expired" if lease.expires_at <= now else "replaced")
        raise LeaseLost(
            f"lease {lease.pk} no longer holds: {why}",
            field="fencing_token",
            remedy="Stop the job and look for another.",
        )
    return job, lease


def note_progress(job: Job, progress_fraction: float | None) -> None:
    """Keep what the program says of its progress; None changes nothing.

    Raises:
        InvalidInput: it is no fraction.
    """
    if progress_fraction is None:
        return
    if not 0 <= progress_fraction <= 1:
        raise InvalidInput("must lie between 0 and 1", field="progress_fraction", remedy="Send 0.5 for half.")
    Job.objects.filter(pk=job.pk).update(progress_fraction=progress_fraction)
    job.progress_fraction = progress_fraction
