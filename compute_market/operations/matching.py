"""Clearing the market: queued jobs get leases on idle computers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from compute_market.core.matching import IdleComputer, Match, Order, match
from compute_market.core.pricing import power_kw_per_core
from compute_market.core.terms import available_s, refusal
from compute_market.models import Job, JobState, LatencyClass, Lease, LeaseEnd, LeaseState, Offer, OfferState
from compute_market.operations.offers import CarReport, car_condition
from compute_market.operations.rules import market_rules
from fleet.queries.computers import ComputerState, computer_states

ORDERS_AT_ONCE = 500
# a program is one thread: more CPU time than wall time is not believed
CORES_PER_JOB = 1
FAULTS_OF_COMPUTERS = (LeaseEnd.AGENT_LOST, LeaseEnd.PROGRAM_FAULT, LeaseEnd.COMPUTER_FAULT)


@dataclass(frozen=True, slots=True)
class LeaseGranted:
    """A new lease."""

    lease_id: int
    job_id: int
    computer_id: int


@transaction.atomic
def match_jobs(*, now: datetime) -> list[LeaseGranted]:
    """Lease queued jobs to idle computers whose owners' terms hold now, consent included.

    Rows that another clearing holds are skipped; two at once never grant the same job or computer twice.
    """
    jobs = {
        job.pk: job
        for job in Job.objects.select_for_update(skip_locked=True)
        .filter(state=JobState.QUEUED)
        .only(
            "pk", "currency", "memory_limit_mib", "cpu_limit_s", "progress_fraction", "price_cap_per_cpu_hour",
            "latency_class", "deadline_at", "submitted_at", "fence", "state",
        )
        .order_by("submitted_at")[:ORDERS_AT_ONCE]
        if job.deadline_at is None or job.deadline_at > now
    }  # fmt: skip
    if not jobs:
        return []
    offers, states = _idle(now)
    matches = match(_orders(jobs), _computers(offers, states, now))
    return _grant(matches, jobs, offers, states, now) if matches else []


def _idle(now: datetime) -> tuple[dict[int, Offer], dict[int, ComputerState]]:
    """Open, fresh offers of computers without a live lease, locked, and the computers' states."""
    rows = Offer.objects.select_for_update(skip_locked=True).filter(
        state=OfferState.OPEN, last_seen_at__gte=now - market_rules().offer_stale
    )
    locked = {offer.pk: offer for offer in rows}
    # asked only after the lock: a lease granted by whoever held the offer a moment ago is seen
    busy = set(
        Lease.objects.filter(
            state=LeaseState.LIVE, computer_id__in=[offer.computer_id for offer in locked.values()]
        ).values_list("computer_id", flat=True)
    )
    offers = {pk: offer for pk, offer in locked.items() if offer.computer_id not in busy}
    return offers, computer_states(computer_ids=[offer.computer_id for offer in offers.values()])


def _orders(jobs: dict[int, Job]) -> list[Order]:
    lost_on: defaultdict[int, set[int]] = defaultdict(set)
    for job_id, computer_id in Lease.objects.filter(job_id__in=jobs, end_reason__in=FAULTS_OF_COMPUTERS).values_list(
        "job_id", "computer_id"
    ):
        lost_on[job_id].add(computer_id)
    return [
        Order(
            job_id=job.pk,
            currency=job.currency,
            memory_mib=job.memory_limit_mib,
            remaining_cpu_s=job.cpu_limit_s * (1 - (job.progress_fraction or 0.0)),
            price_cap_per_cpu_hour=job.price_cap_per_cpu_hour,
            interactive=job.latency_class == LatencyClass.INTERACTIVE,
            deadline_at=job.deadline_at,
            submitted_at=job.submitted_at,
            lost_on=lost_on[job.pk],
        )
        for job in jobs.values()
    ]


def _computers(offers: dict[int, Offer], states: dict[int, ComputerState], now: datetime) -> list[IdleComputer]:
    computers = []
    for offer in offers.values():
        report = CarReport(offer.agent_plugged_in, offer.agent_soc_fraction, offer.agent_departure_at)
        condition = car_condition(states[offer.computer_id], report)
        because = refusal(
            condition,
            minimum_soc_fraction=offer.minimum_soc_fraction,
            departure_margin_s=offer.departure_margin_s,
            now=now,
        )
        if because:
            continue
        computers.append(
            IdleComputer(
                offer_id=offer.pk,
                computer_id=offer.computer_id,
                currency=offer.currency,
                memory_mib=offer.memory_mib,
                ask_per_cpu_hour=offer.ask_per_cpu_hour,
                available_s=available_s(condition.departure_at, departure_margin_s=offer.departure_margin_s, now=now),
            )
        )
    return computers


def _grant(
    matches: list[Match],
    jobs: dict[int, Job],
    offers: dict[int, Offer],
    states: dict[int, ComputerState],
    now: datetime,
) -> list[LeaseGranted]:
    """Leases for all matches, each under its job's next token: two statements however many."""
    rules = market_rules()
    Job.objects.filter(pk__in=[pair.job_id for pair in matches]).update(
        fence=F("fence") + 1, state=JobState.LEASED, started_at=Coalesce("started_at", Value(now))
    )
    leases = []
    for pair in matches:
        offer, state = offers[pair.offer_id], states[pair.computer_id]
        leases.append(
            Lease(
                job_id=pair.job_id,
                computer_id=pair.computer_id,
                offer_id=pair.offer_id,
                fencing_token=jobs[pair.job_id].fence + 1,
                granted_at=now,
                renewed_at=now,
                expires_at=now + rules.lease,
                currency=offer.currency,
                price_per_cpu_hour=pair.price_per_cpu_hour,
                platform_share_fraction=rules.platform_share_fraction,
                power_kw_per_core=power_kw_per_core(state.active_power_kw, state.cpu_cores),
                cpu_cores=CORES_PER_JOB,
            )
        )
    return [LeaseGranted(lease.pk, lease.job_id, lease.computer_id) for lease in Lease.objects.bulk_create(leases)]
