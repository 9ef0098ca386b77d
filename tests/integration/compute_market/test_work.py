"""Work and its money, against the real database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from aggregator.operations.work import book_finished_work
from aggregator.queries.ledger import ledger_is_balanced
from common.errors import InvalidInput
from compute_market.models import Job, Lease, Offer, Result, WorkSlice
from compute_market.operations.expiry import expire_leases
from compute_market.operations.holding import LeaseLost, OutOfOrder
from compute_market.operations.jobs import UnknownJob, cancel_job
from compute_market.operations.leases import give_back_lease, renew_lease
from compute_market.operations.matching import match_jobs
from compute_market.operations.offers import CarReport
from compute_market.queries import (
    ComputerSummary,
    MarketState,
    TenantTotals,
    compute_value,
    computer_summary,
    job_of_tenant,
    market_state,
    tenant_totals,
    unbooked_work,
)
from fleet.models import ChargingSession, Region, Vehicle
from tests.integration.compute_market.garage import TENANT, ParkedCar, job_state, park_car, submit
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


def test_the_database_lets_no_lease_rise_again_and_no_money_change() -> None:
    now = timezone.now()
    held = lease_after_submit(now)
    report(held, now + LATER / 5)
    give_back_lease(held=held, reason="departure", now=now + LATER / 4)
    for change in (
        lambda: Lease.objects.update(state="live", ended_at=None, end_reason=""),
        lambda: WorkSlice.objects.update(amount=1, owner_amount=1),
        lambda: WorkSlice.objects.update(amount=1),
        lambda: WorkSlice.objects.update(secured_at=now),
        lambda: WorkSlice.objects.update(booked_at=now),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()


def test_repeats_change_nothing() -> None:
    now = timezone.now()
    held = lease_after_submit(now, dear=True)
    now += LATER / 4
    for _ in range(2):
        assert report(held, now) == ""
        assert save(held, now) == 1
    with pytest.raises(OutOfOrder, match="recorded"):
        report(held, now, cpu_s="11")
    with pytest.raises(OutOfOrder, match="2 is next"):
        report(held, now, sequence=4)
    with pytest.raises(OutOfOrder):
        save(held, now, content=b"another state")
    for _ in range(2):
        complete(held, now)
    with pytest.raises(LeaseLost):
        complete(held, now, output=b"something else")
    # what the agent repeats after the end is answered as it was
    assert report(held, now) == ""
    assert WorkSlice.objects.count() == Result.objects.count() == 1


def test_only_work_that_is_kept_is_paid() -> None:
    now = timezone.now()
    held = lease_after_submit(now, dear=True)
    now += LATER / 4
    report(held, now)
    save(held, now)
    report(held, now, sequence=2, cpu_s="5")
    expire_leases(now=now + LATER)
    # 3.60 to the owner is 4.50 to the tenant, an hour: 10 s are 0.0125; the 5 s that are lost are due from nobody
    assert amounts() == {"secured": Decimal("0.0125"), "voided": Decimal("0.00625"), "open": Decimal(0)}
    (due,) = unbooked_work()
    assert (due.amount, due.platform_amount, due.tenant_amount) == (
        Decimal("0.0100"),
        Decimal("0.0025"),
        Decimal("0.0125"),
    )


def test_work_is_booked_once_and_the_books_balance() -> None:
    now = timezone.now()
    held = lease_after_submit(now, dear=True)
    now += LATER / 4
    report(held, now)
    complete(held, now)
    assert book_finished_work(now=now) == 1
    assert book_finished_work(now=now) == 0
    assert ledger_is_balanced()
    summary = computer_summary(Vehicle.objects.get().pk, since=now - LATER)
    assert summary is not None
    assert summary.earned == summary.earned_since == Decimal("0.0100")


def test_a_cancelled_job_pays_what_was_reported() -> None:
    now = timezone.now()
    held = lease_after_submit(now, dear=True)
    report(held, now + LATER / 4)
    for _ in range(2):
        cancel_job(tenant=TENANT, job_id=Job.objects.get().pk, now=now + LATER / 4)
    assert amounts() == {"secured": Decimal("0.0125"), "voided": Decimal(0), "open": Decimal(0)}
    with pytest.raises(LeaseLost, match="cancelled"):
        renew_lease(held=held, report=CarReport(), now=now + LATER / 4)
    with pytest.raises(UnknownJob):
        cancel_job(tenant="somebody else", job_id=Job.objects.get().pk, now=now)


def test_cpu_time_beyond_the_limit_is_not_charged() -> None:
    now = timezone.now()
    held = lease_after_submit(now, dear=True, cpu_limit_s=12)
    now += LATER / 4
    assert report(held, now) == ""
    assert report(held, now, sequence=2, cpu_s="7") == "cpu_limit"
    view = job_of_tenant(tenant=TENANT, job_id=Job.objects.get().pk)
    assert view is not None
    assert (view.state, view.cpu_s) == ("failed", 12)
    assert view.cost == Decimal("0.0150") < view.cost_cap


def test_more_cpu_time_than_has_passed_is_not_believed() -> None:
    now = timezone.now()
    held = lease_after_submit(now)
    with pytest.raises(InvalidInput, match="more than the lease has lasted"):
        report(held, now + timedelta(seconds=5), cpu_s="30")


def test_price_cap_currency_and_memory_are_respected() -> None:
    now = timezone.now()
    car = park_car(1)
    assert offer(car, now) == ""
    ask = Offer.objects.get().ask_per_cpu_hour
    submit(key="cheap", price_cap_per_cpu_hour=ask - Decimal("0.000001"))
    submit(key="yen", currency="JPY", price_cap_per_cpu_hour=Decimal(100))
    submit(key="large", memory_limit_mib=512)
    assert match_jobs(now=now) == []
    fair = submit(key="fair", price_cap_per_cpu_hour=ask)
    assert [grant.job_id for grant in match_jobs(now=now)] == [fair]
    assert Lease.objects.get().price_per_cpu_hour == ask


def test_a_passed_deadline_ends_the_job_and_nobody_pays_what_is_lost() -> None:
    now = timezone.now()
    held = lease_after_submit(now, deadline_at=now + timedelta(seconds=15))
    report(held, now + timedelta(seconds=10))
    assert expire_leases(now=now + timedelta(seconds=16)).missed_jobs == 1
    assert job_state(Job.objects.get().pk) == "missed"
    assert WorkSlice.objects.filter(secured_at__isnull=False).count() == 0


def test_planning_sees_what_computing_is_worth() -> None:
    now = timezone.now()
    idle, busy = park_car(1), park_car(2)
    region_id = Region.objects.get().pk
    submit(key="one")
    held = lease(busy, now)
    assert offer(idle, now) == ""
    loads = compute_value(region_id=region_id, now=now)
    assert [load.computer_id for load in loads] == [held.computer_id]
    submit(key="two")
    loads = compute_value(region_id=region_id, now=now)
    assert {load.computer_id for load in loads} == {idle.computer_id, busy.computer_id}
    price = Lease.objects.get().price_per_cpu_hour
    assert all(load.active_power_kw == pytest.approx(0.075) for load in loads)
    assert all(load.value_per_kwh == pytest.approx(float(price) / 0.075) for load in loads)
    assert compute_value(region_id=region_id + 1, now=now) == []


def test_owner_tenant_and_console_see_the_same_work() -> None:
    now = timezone.now()
    held = lease_after_submit(now, dear=True)
    vehicle_id = Vehicle.objects.get().pk
    assert market_state() == MarketState(queued_jobs=0, running_jobs=1, completed_jobs=0, idle_computers=0)
    assert tenant_totals(tenant=TENANT) == TenantTotals(open_jobs=1, completed_jobs=0, charged={})
    assert seen(vehicle_id).state == "computing"
    now += LATER / 4
    report(held, now)
    complete(held, now)
    assert market_state() == MarketState(queued_jobs=0, running_jobs=0, completed_jobs=1, idle_computers=1)
    totals = tenant_totals(tenant=TENANT)
    assert (totals.completed_jobs, totals.charged) == (1, {"EUR": Decimal("0.0125")})
    assert (seen(vehicle_id).state, seen(vehicle_id).earned) == ("waiting", Decimal("0.0100"))
    assert seen(vehicle_id).energy_kwh == pytest.approx(10 / 3600 * 0.075)
    ChargingSession.objects.update(ended_at=now)
    offer(ParkedCar("", vehicle_id, held.computer_id, "", ""), now)
    assert (seen(vehicle_id).state, seen(vehicle_id).paused_because) == ("paused", "unplugged")


def seen(vehicle_id: int) -> ComputerSummary:
    summary = computer_summary(vehicle_id)
    assert summary is not None
    return summary
