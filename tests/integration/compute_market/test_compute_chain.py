"""The chain with every part real: web server, PostgreSQL, agents as processes, programs in their sandboxes."""

from __future__ import annotations

import hashlib
import signal
from decimal import Decimal

import pytest
from django.db.models import Sum
from django.utils import timezone

from compute_market.core.terms import OwnerTerms
from compute_market.models import Job, Lease, Offer, Result, WorkSlice
from compute_market.operations.jobs import cancel_job
from compute_market.operations.offers import set_terms
from compute_market.queries import computer_summary, job_of_tenant, unbooked_work
from compute_market.runners.driver import RunLimits
from compute_market.runners.wasm.runner import WasmRunner
from compute_market.runners.wasm.samples import monte_carlo_input, prime_sum_input, prime_sum_result, sample_program
from fleet.models import ChargingSession, Vehicle
from tests.integration.compute_market.garage import (
    TENANT,
    Garage,
    job_state,
    park_car,
    submit,
    wait_for,
    withdraw_consent,
)
from tests.integration.compute_market.reference import primes_below

pytestmark = pytest.mark.django_db(transaction=True)

# a second or two of work, which a computer that rests most of the time draws out: enough to interrupt
INTERRUPTIBLE = 150_000_000
UNHURRIED = ("--duty-fraction", "0.2")
ENDLESS = 10**15


def uninterrupted(points: int) -> bytes:
    """What the program puts out when nobody disturbs it."""
    run = WasmRunner().start(
        program=sample_program("monte_carlo_pi"),
        program_input=monte_carlo_input(seed=11, points=points),
        checkpoint=None,
        limits=RunLimits(memory_mib=16, cpu_s=600),
    )
    try:
        run.begin(600)
        stretch = run.wait(120)
        assert stretch is not None
        assert stretch.done
        return run.output()
    finally:
        run.close()


def secured_slices(job_id: int) -> int:
    return WorkSlice.objects.filter(lease__job_id=job_id, secured_at__isnull=False).count()


def test_a_job_is_computed_and_its_owner_earns(garage: Garage) -> None:
    car = park_car(1)
    garage.start_agent(car, "--soc-fraction", "0.8")
    job_id = submit(
        program=sample_program("prime_sum"), program_input=prime_sum_input(limit=30_000_000), memory_limit_mib=32
    )
    wait_for(lambda: job_state(job_id) == "completed", what="the job completes")

    result = Result.objects.get(job_id=job_id)
    assert prime_sum_result(bytes(result.output)) == primes_below(30_000_000)
    assert result.sha256 == hashlib.sha256(bytes(result.output)).hexdigest()
    assert result.computer_id == car.computer_id
    view = job_of_tenant(tenant=TENANT, job_id=job_id)
    assert view is not None
    assert view.progress_fraction == 1.0
    assert view.interruptions == ()
    assert 0 < view.cpu_s < view.cpu_limit_s
    assert view.cost <= view.cost_cap
    assert secured_slices(job_id) == WorkSlice.objects.filter(lease__job_id=job_id).count() > 0
    summary = computer_summary(car.vehicle_id)
    assert summary is not None
    assert summary.cpu_hours == pytest.approx(float(view.cpu_s) / 3600)


def test_a_departure_moves_the_job_to_another_computer_with_the_same_result(garage: Garage) -> None:
    leaving, staying = park_car(1), park_car(2)
    agent = garage.start_agent(leaving, *UNHURRIED)
    job_id = submit(points=INTERRUPTIBLE)
    wait_for(lambda: WorkSlice.objects.filter(lease__job_id=job_id).exists(), what="work is reported")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(timeout=30) == 0

    first = Lease.objects.get(job_id=job_id)
    assert (first.state, first.end_reason) == ("given_back", "departure")
    assert job_state(job_id) == "queued"
    assert 0 < (Job.objects.get(pk=job_id).progress_fraction or 0) < 1
    garage.start_agent(staying)
    wait_for(lambda: job_state(job_id) == "completed", what="the job completes elsewhere")
    result = Result.objects.get(job_id=job_id)
    assert result.computer_id == staying.computer_id
    assert bytes(result.output) == uninterrupted(INTERRUPTIBLE)
    assert "resumed from checkpoint" in garage.log_of(staying)
    view = job_of_tenant(tenant=TENANT, job_id=job_id)
    assert view is not None
    assert [(item.reason, item.computer) for item in view.interruptions] == [("departure", leaving.computer)]
    assert not WorkSlice.objects.filter(voided_at__isnull=False).exists()


def test_a_killed_agents_job_goes_on_from_its_checkpoint_and_is_paid_once(garage: Garage) -> None:
    dying, heir = park_car(1), park_car(2)
    for car in (dying, heir):
        # dear enough that seconds count in the books
        terms = OwnerTerms(0.3, 600, floor_price_per_cpu_hour=Decimal("0.72"))
        set_terms(computer_id=car.computer_id, terms=terms, now=timezone.now())
    agent = garage.start_agent(dying, *UNHURRIED)
    job_id = submit(points=INTERRUPTIBLE)
    wait_for(lambda: secured_slices(job_id) > 0, what="a checkpoint secures work")
    agent.kill()
    agent.wait()
    wait_for(lambda: Lease.objects.filter(job_id=job_id, state="expired").exists(), what="the lease expires")
    garage.start_agent(heir)
    wait_for(lambda: job_state(job_id) == "completed", what="the job completes elsewhere")

    assert bytes(Result.objects.get(job_id=job_id).output) == uninterrupted(INTERRUPTIBLE)
    lost = Lease.objects.get(job_id=job_id, state="expired")
    assert lost.end_reason == "agent_lost"
    assert not lost.slices.filter(secured_at__isnull=True, voided_at__isnull=True).exists()
    due = sum((work.tenant_amount for work in unbooked_work()), Decimal(0))
    view = job_of_tenant(tenant=TENANT, job_id=job_id)
    assert view is not None
    assert due == view.cost > 0
    kept = WorkSlice.objects.filter(lease__job_id=job_id, voided_at__isnull=True).aggregate(cpu_s=Sum("cpu_s"))["cpu_s"]
    assert kept == view.cpu_s


def test_withdrawn_consent_stops_the_computer(garage: Garage) -> None:
    car = park_car(1)
    garage.start_agent(car)
    job_id = submit(points=ENDLESS)
    wait_for(lambda: secured_slices(job_id) > 0, what="work is done")
    withdraw_consent(car)
    wait_for(lambda: not Lease.objects.filter(state="live").exists(), what="the lease ends")
    lease = Lease.objects.get(job_id=job_id)
    assert lease.end_reason == "consent_withdrawn"
    # one renewal after the withdrawal is the last: had it gone on, the lease would have been extended
    consent = Vehicle.objects.get(pk=car.vehicle_id).consents.get()
    assert consent.withdrawn_at is not None
    assert lease.renewed_at <= consent.withdrawn_at
    assert job_state(job_id) == "queued"


def test_an_unplugged_car_gets_no_lease_and_unplugging_ends_one(garage: Garage) -> None:
    unplugged, plugged = park_car(1, plugged_in=False), park_car(2)
    garage.start_agent(unplugged)
    job_id = submit(points=ENDLESS)
    wait_for(lambda: refused_because(unplugged.computer_id) == "unplugged", what="the unplugged car offers")
    assert job_state(job_id) == "queued"
    garage.start_agent(plugged)
    wait_for(lambda: secured_slices(job_id) > 0, what="the plugged-in car works")
    assert set(Lease.objects.values_list("computer_id", flat=True)) == {plugged.computer_id}
    ChargingSession.objects.filter(vehicle_id=plugged.vehicle_id).update(ended_at=timezone.now())
    wait_for(lambda: job_state(job_id) == "queued", what="the lease ends")
    assert Lease.objects.get(job_id=job_id).end_reason == "unplugged"


def refused_because(computer_id: int) -> str:
    """Why the platform gives an offered computer no work; empty before it has offered."""
    found = (
        Offer.objects.filter(computer_id=computer_id, state="open").values_list("refused_because", flat=True).first()
    )
    return found or ""


def test_a_cancelled_job_stops_its_agent(garage: Garage) -> None:
    car = park_car(1)
    garage.start_agent(car)
    job_id = submit(points=ENDLESS)
    wait_for(lambda: secured_slices(job_id) > 0, what="work is done")
    cancel_job(tenant=TENANT, job_id=job_id, now=timezone.now())
    wait_for(lambda: f"job {job_id}: lost" in garage.log_of(car), what="the agent lets go")
    other = submit(points=100_000, key="two")
    wait_for(lambda: job_state(other) == "completed", what="the computer takes the next job")


def test_a_job_fails_when_its_cpu_time_is_used_up_and_costs_no_more(garage: Garage) -> None:
    car = park_car(1)
    garage.start_agent(car)
    job_id = submit(points=ENDLESS, cpu_limit_s=1)
    wait_for(lambda: job_state(job_id) == "failed", what="the job fails")
    view = job_of_tenant(tenant=TENANT, job_id=job_id)
    assert view is not None
    assert view.cpu_s == 1
    assert view.cost <= view.cost_cap
    assert "CPU time" in view.failure_reason
