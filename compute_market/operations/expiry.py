"""What time does by itself: leases of lost agents end, deadlines pass, silent offers close."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from compute_market.models import OPEN_JOB_STATES, Job, JobState, Lease, LeaseEnd, LeaseState, Offer, OfferState
from compute_market.operations.endings import close_job, end_lease, requeue_job
from compute_market.operations.rules import market_rules


@dataclass(frozen=True, slots=True)
class Expired:
    """How many of each ended."""

    leases: int
    missed_jobs: int
    offers: int


def expire_leases(*, now: datetime) -> Expired:
    """End what time has ended. A lost agent's job goes on from its last checkpoint; work after it is paid to nobody.

    Each job is a transaction of its own; jobs that somebody else holds wait for the next round.
    """
    lost = Lease.objects.filter(state=LeaseState.LIVE, expires_at__lte=now).values_list("job_id", flat=True)
    leases = sum(_expire_lease_of(job_id, now) for job_id in list(lost))
    late = Job.objects.filter(state__in=OPEN_JOB_STATES, deadline_at__lte=now).values_list("pk", flat=True)
    missed = sum(_miss_deadline(job_id, now) for job_id in list(late))
    silent = Offer.objects.filter(state=OfferState.OPEN, last_seen_at__lt=now - 2 * market_rules().offer_stale)
    working = Lease.objects.filter(state=LeaseState.LIVE).values("computer_id")
    offers = silent.exclude(computer_id__in=working).update(
        state=OfferState.WITHDRAWN, withdrawal_reason=LeaseEnd.AGENT_LOST, withdrawn_at=now
    )
    return Expired(leases, missed, offers)


@transaction.atomic
def _expire_lease_of(job_id: int, now: datetime) -> int:
    job = Job.objects.select_for_update(skip_locked=True).defer("input").filter(pk=job_id).first()
    if job is None:
        return 0
    lease = job.leases.select_for_update().filter(state=LeaseState.LIVE, expires_at__lte=now).first()
    if lease is None:
        return 0
    end_lease(lease, state=LeaseState.EXPIRED, reason=LeaseEnd.AGENT_LOST, pay_all=False, now=now)
    # an agent that lives makes its offer anew; until then its computer gets nothing
    Offer.objects.filter(pk=lease.offer_id, state=OfferState.OPEN).update(
        state=OfferState.WITHDRAWN, withdrawal_reason=LeaseEnd.AGENT_LOST, withdrawn_at=now
    )
    requeue_job(job, now=now)
    return 1


@transaction.atomic
def _miss_deadline(job_id: int, now: datetime) -> int:
    job = (
        Job.objects.select_for_update(skip_locked=True)
        .defer("input")
        .filter(pk=job_id, state__in=OPEN_JOB_STATES, deadline_at__lte=now)
        .first()
    )
    if job is None:
        return 0
    lease = job.leases.select_for_update().filter(state=LeaseState.LIVE).first()
    if lease is not None:
        end_lease(lease, state=LeaseState.REVOKED, reason=LeaseEnd.DEADLINE, pay_all=False, now=now)
    close_job(job, state=JobState.MISSED, reason="the deadline passed", now=now)
    return 1
