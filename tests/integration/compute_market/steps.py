"""What an agent and the market do, one call a step, with an instant for each."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal

from compute_market.core.terms import OwnerTerms
from compute_market.models import WorkSlice
from compute_market.operations.holding import HeldLease
from compute_market.operations.leases import complete_job, save_checkpoint
from compute_market.operations.matching import match_jobs
from compute_market.operations.offers import CarReport, publish_offer, set_terms
from compute_market.operations.slices import record_slice
from compute_market.queries import lease_task
from tests.integration.compute_market.garage import ParkedCar, park_car, submit

LATER = timedelta(seconds=60)
QUIET = CarReport()
DEAR = OwnerTerms(0.3, 600, floor_price_per_cpu_hour=Decimal("3.60"))


def offer(car: ParkedCar, now: datetime, report: CarReport = QUIET) -> str:
    """Why the platform would give it no work; empty if it would."""
    return publish_offer(computer_id=car.computer_id, report=report, memory_mib=256, now=now).refused_because


def lease(car: ParkedCar, now: datetime) -> HeldLease:
    """Offer and clear the market; the computer must get a lease."""
    assert offer(car, now) == ""
    assert [grant.computer_id for grant in match_jobs(now=now)] == [car.computer_id]
    task = lease_task(computer_id=car.computer_id)
    assert task is not None
    return HeldLease(car.computer_id, task.lease_id, task.fencing_token)


def report(held: HeldLease, now: datetime, *, sequence: int = 1, cpu_s: str = "10") -> str:
    recorded = record_slice(held=held, sequence=sequence, cpu_s=Decimal(cpu_s), elapsed_s=10.0, now=now)
    return recorded.stop_reason


def save(
    held: HeldLease, now: datetime, *, sequence: int = 1, slice_sequence: int = 1, content: bytes = b"state"
) -> int:
    digest = hashlib.sha256(content).hexdigest()
    return save_checkpoint(
        held=held, sequence=sequence, content=content, sha256=digest, slice_sequence=slice_sequence, now=now
    )


def complete(held: HeldLease, now: datetime, output: bytes = b"done") -> int:
    return complete_job(held=held, output=output, sha256=hashlib.sha256(output).hexdigest(), now=now)


def amounts(**of: object) -> dict[str, Decimal]:
    """Sums of slices by what became of them."""
    found = {"secured": Decimal(0), "voided": Decimal(0), "open": Decimal(0)}
    for item in WorkSlice.objects.filter(**of):
        found["secured" if item.secured_at else "voided" if item.voided_at else "open"] += item.amount
    return found


def lease_after_submit(now: datetime, *, dear: bool = False, **limits: object) -> HeldLease:
    car = park_car(1)
    if dear:
        set_terms(computer_id=car.computer_id, terms=DEAR, now=now)
        limits = {"price_cap_per_cpu_hour": Decimal("5"), **limits}
    submit(**limits)
    return lease(car, now)
