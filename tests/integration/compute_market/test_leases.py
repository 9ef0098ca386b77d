"""Leases, fences and owners' terms, against the real database."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from common.errors import InvalidInput
from compute_market.core.wasm_module import InvalidProgram
from compute_market.models import Checkpoint, Job, Lease, Offer, Result
from compute_market.operations.expiry import expire_leases
from compute_market.operations.holding import LeaseLost, UnknownLease
from compute_market.operations.jobs import JobIsClosed, JobKeyReused, cancel_job
from compute_market.operations.leases import complete_job, give_back_lease, renew_lease
from compute_market.operations.matching import match_jobs
from compute_market.operations.offers import CarReport
from fleet.models import ChargingSession, Vehicle
from tests.integration.compute_market.garage import TENANT, job_state, park_car, submit, withdraw_consent
from tests.integration.compute_market.steps import (
    LATER,
    amounts,
    complete,
    lease,
    lease_after_submit,
    offer,
    report,
    save,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("place")]


def test_late_words_of_a_replaced_agent_are_refused_and_the_database_agrees() -> None:
    now = timezone.now()
    first, second = park_car(1), park_car(2)
    job_id = submit()
    old = lease(first, now)
    report(old, now + LATER / 5)
    now += LATER
    assert expire_leases(now=now).leases == 1
    new = lease(second, now)
    assert new.fencing_token == old.fencing_token + 1
    for late in (
        lambda: report(old, now, sequence=2),
        lambda: save(old, now),
        lambda: complete(old, now),
        lambda: renew_lease(held=old, report=CarReport(), now=now),
        lambda: give_back_lease(held=old, reason="departure", now=now),
    ):
        with pytest.raises(LeaseLost):
            late()
    # even with the newer token an older lease stays what it is
    with pytest.raises(LeaseLost):
        complete(replace(old, fencing_token=new.fencing_token), now)
    # and a lease belongs to its computer
    with pytest.raises(UnknownLease):
        complete(replace(new, computer_id=old.computer_id), now)
    with pytest.raises(IntegrityError), transaction.atomic():
        Result.objects.create(
            job_id=job_id,
            lease_id=old.lease_id,
            computer_id=old.computer_id,
            output=b"late",
            sha256="0" * 64,
            size_bytes=4,
            completed_at=now,
        )
    assert complete(new, now) == job_id
    assert amounts(lease_id=old.lease_id)["secured"] == 0


def test_returning_a_lease_twice_is_returning_it_once() -> None:
    now = timezone.now()
    held = lease_after_submit(now)
    for _ in range(2):
        give_back_lease(held=held, reason="departure", now=now)
    assert Job.objects.get().failed_attempts == 0
    assert Lease.objects.get().state == "given_back"


def test_a_completed_job_cannot_be_cancelled() -> None:
    now = timezone.now()
    job_id = complete(lease_after_submit(now), now)
    with pytest.raises(JobIsClosed):
        cancel_job(tenant=TENANT, job_id=job_id, now=now)


@pytest.mark.parametrize(
    ("change", "stop_reason"),
    [
        (lambda car: withdraw_consent(car), "consent_withdrawn"),
        (lambda car: ChargingSession.objects.update(ended_at=timezone.now()), "unplugged"),
        (lambda car: Vehicle.objects.update(soc_fraction=0.1), "low_battery"),
        (lambda car: ChargingSession.objects.update(departure_at=timezone.now() + LATER), "departure"),
        (lambda car: Vehicle.objects.update(withdrawn_at=timezone.now()), "consent_withdrawn"),
    ],
)
def test_a_renewal_holds_to_the_owner_s_terms(change: object, stop_reason: str) -> None:
    now = timezone.now()
    car = park_car(1)
    submit()
    held = lease(car, now)
    ends_at = Lease.objects.get().expires_at
    change(car)
    renewed = renew_lease(held=held, report=CarReport(), now=now + timedelta(seconds=1))
    assert (renewed.stop_reason, renewed.expires_at) == (stop_reason, ends_at)
    give_back_lease(held=held, reason=stop_reason, now=now + timedelta(seconds=2))
    assert offer(car, now) != ""
    assert match_jobs(now=now + timedelta(seconds=3)) == []


def test_the_agent_s_word_counts_where_it_is_stricter() -> None:
    now = timezone.now()
    car = park_car(1, soc_fraction=0.9)
    assert offer(car, now, CarReport(soc_fraction=0.2)) == "low_battery"
    assert offer(car, now, CarReport(plugged_in=False)) == "unplugged"
    assert offer(car, now, CarReport(departure_at=now + LATER)) == "departure"
    assert offer(park_car(2, soc_fraction=0.1), now, CarReport(soc_fraction=0.9)) == "low_battery"
    assert offer(park_car(3, soc_fraction=None), now) == "soc_unknown"
    assert offer(park_car(4, soc_fraction=None), now, CarReport(soc_fraction=0.9)) == ""


def test_consent_withdrawn_between_offer_and_match_is_heard() -> None:
    now = timezone.now()
    car = park_car(1)
    submit()
    assert offer(car, now) == ""
    withdraw_consent(car)
    assert match_jobs(now=now) == []
    assert offer(car, now) == "no_consent"
    assert not Offer.objects.filter(state="open").exists()


def test_a_silent_computer_gets_nothing() -> None:
    now = timezone.now()
    car = park_car(1)
    assert offer(car, now) == ""
    submit()
    assert match_jobs(now=now + LATER) == []
    assert expire_leases(now=now + LATER).offers == 1


def test_a_program_that_faults_twice_has_failed() -> None:
    now = timezone.now()
    first, second = park_car(1), park_car(2)
    job_id = submit()
    give_back_lease(held=lease(first, now), reason="program_fault", detail="wasm trap: unreachable", now=now)
    assert job_state(job_id) == "queued"
    give_back_lease(held=lease(second, now), reason="program_fault", detail="wasm trap: unreachable", now=now)
    assert job_state(job_id) == "failed"
    assert "unreachable" in Job.objects.get().failure_reason


def test_a_job_that_no_computer_can_start_has_failed() -> None:
    now = timezone.now()
    cars = [park_car(number) for number in range(1, 4)]
    job_id = submit()
    for car in cars:
        assert job_state(job_id) == "queued"
        give_back_lease(held=lease(car, now), reason="computer_fault", detail="damaged image", now=now)
        now += LATER
    assert job_state(job_id) == "failed"
    assert "damaged image" in Job.objects.get().failure_reason


def test_only_the_last_checkpoints_are_kept() -> None:
    now = timezone.now()
    held = lease_after_submit(now)
    for sequence in range(1, 5):
        save(held, now, sequence=sequence, slice_sequence=0, content=b"state %d" % sequence)
    assert list(Checkpoint.objects.values_list("sequence", flat=True)) == [4, 3]
    complete(held, now)
    assert not Checkpoint.objects.exists()


def test_damaged_uploads_are_refused() -> None:
    now = timezone.now()
    held = lease_after_submit(now)
    with pytest.raises(InvalidInput, match="SHA-256"):
        complete_job(held=held, output=b"done", sha256="0" * 64, now=now)
    with pytest.raises(InvalidInput, match="reason"):
        give_back_lease(held=held, reason="boredom", now=now)


def test_submitting_again_is_the_same_job_and_a_reused_key_is_told() -> None:
    assert submit() == submit()
    with pytest.raises(JobKeyReused, match="job"):
        submit(points=1)
    with pytest.raises(InvalidProgram):
        submit(key="two", program=b"not wasm")
    for field, value in (
        ("memory_limit_mib", 0),
        ("cpu_limit_s", 10**9),
        ("currency", "XXX"),
        ("price_cap_per_cpu_hour", Decimal("NaN")),
        ("latency_class", "now"),
        ("deadline_at", timezone.now() - LATER),
    ):
        with pytest.raises(InvalidInput) as caught:
            submit(key="three", **{field: value})
        assert caught.value.field == field
        assert caught.value.remedy or field == "deadline_at"


@pytest.mark.django_db(transaction=True)
def test_clearings_at_once_grant_nothing_twice() -> None:
    now = timezone.now()
    cars = [park_car(number) for number in range(1, 9)]
    for car in cars:
        assert offer(car, now) == ""
    for number in range(8):
        submit(key=str(number))
    barrier, failures = threading.Barrier(4), []

    def clear() -> None:
        try:
            barrier.wait(30)
            match_jobs(now=now)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=clear) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    match_jobs(now=now)
    assert failures == []
    leases = list(Lease.objects.values_list("job_id", "computer_id"))
    assert len(leases) == len({job for job, _ in leases}) == len({computer for _, computer in leases}) == 8
