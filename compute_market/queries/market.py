"""What the market means to the rest: load and its value for planning, finished work for the books, counts for pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, F, Max

from compute_market.core.pricing import power_kw_per_core, value_per_kwh
from compute_market.models import Job, JobState, Lease, LeaseState, Offer, OfferState, WorkSlice
from fleet.queries.computers import computer_states


@dataclass(frozen=True, slots=True)
class ComputingLoad:
    """Power that computing draws, or would draw, on board a plugged-in car, and what tenants pay for each of its kWh."""

    vehicle_id: int
    computer_id: int
    active_power_kw: float
    value_per_kwh: float


@dataclass(frozen=True, slots=True)
class FinishedWork:
    """Secured work that is not in the books yet: `amount` goes to the owner, `platform_amount` to us, and the tenant pays
    both."""

    slice_id: int
    job_id: int
    lease_id: int
    tenant: str
    owner_identity: str
    currency: str
    amount: Decimal
    platform_amount: Decimal
    ended_at: datetime
    cpu_s: float
    energy_kwh: float

    @property
    def tenant_amount(self) -> Decimal:
        """What the tenant pays."""
        return self.amount + self.platform_amount


@dataclass(frozen=True, slots=True)
class MarketState:
    """Counts at one moment."""

    queued_jobs: int
    running_jobs: int
    completed_jobs: int
    idle_computers: int


def compute_value(*, region_id: int, now: datetime) -> list[ComputingLoad]:
    """Computing on plugged-in cars of a region: running leases at their price, and idle computers at their asking price
    as far as a queued job would pay it. One job keeps one core busy."""
    loads = []
    leases = {row.computer_id: row for row in Lease.objects.filter(state=LeaseState.LIVE)}
    waiting = {
        row["currency"]: row["highest"]
        for row in Job.objects.filter(state=JobState.QUEUED)
        .values("currency")
        .annotate(highest=Max("price_cap_per_cpu_hour"))
        .order_by()
    }
    offers = Offer.objects.filter(state=OfferState.OPEN, refused_because="") if waiting else Offer.objects.none()
    asks = {
        offer.computer_id: offer.ask_per_cpu_hour
        for offer in offers
        if offer.ask_per_cpu_hour <= waiting.get(offer.currency, Decimal(0))
    }
    prices = {**asks, **{computer_id: lease.price_per_cpu_hour for computer_id, lease in leases.items()}}
    for state in computer_states(computer_ids=list(prices)).values():
        if state.region_id == region_id and state.plugged_in and state.consented:
            core_power_kw = power_kw_per_core(state.active_power_kw, state.cpu_cores)
            value = value_per_kwh(prices[state.computer_id], core_power_kw)
            loads.append(ComputingLoad(state.vehicle_id, state.computer_id, core_power_kw, value))
    return loads


def unbooked_work(*, limit: int = 1000) -> list[FinishedWork]:
    """Secured slices that are not booked yet, oldest first; slices worth nothing at the books' precision are left out."""
    rows = (
        WorkSlice.objects.filter(secured_at__isnull=False, booked_at__isnull=True, amount__gt=0)
        .annotate(
            job_id=F("lease__job_id"),
            tenant=F("lease__job__tenant"),
            owner_identity=F("lease__computer__vehicle__owner__identity"),
        )
        .order_by("id")[:limit]
    )
    return [
        FinishedWork(
            slice_id=row.pk,
            job_id=row.job_id,
            lease_id=row.lease_id,
            tenant=row.tenant,
            owner_identity=row.owner_identity,
            currency=row.currency,
            amount=row.owner_amount,
            platform_amount=row.platform_amount,
            ended_at=row.ended_at,
            cpu_s=float(row.cpu_s),
            energy_kwh=row.energy_kwh,
        )
        for row in rows
    ]


def market_state() -> MarketState:
    """Counts for the console and the demonstration's summary."""
    jobs = dict(Job.objects.values_list("state").annotate(Count("pk")).order_by())
    working = Lease.objects.filter(state=LeaseState.LIVE).values("computer_id")
    idle = Offer.objects.filter(state=OfferState.OPEN, refused_because="").exclude(computer_id__in=working).count()
    return MarketState(
        queued_jobs=jobs.get(JobState.QUEUED, 0),
        running_jobs=jobs.get(JobState.LEASED, 0),
        completed_jobs=jobs.get(JobState.COMPLETED, 0),
        idle_computers=idle,
    )


def completed_jobs() -> int:
    """How many jobs have been completed since the database was made."""
    return Job.objects.filter(state=JobState.COMPLETED).count()
