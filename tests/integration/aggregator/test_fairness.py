"""Fairness from the books: what owners offered and gave, and whose turn it is."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from aggregator.models import OwnerContribution, Plan
from aggregator.operations.fairness import fair_discounts, update_contributions
from aggregator.operations.plans import plan_event
from aggregator.operations.settlements import settle_event
from fleet.models import ChargingSession, Consent, Owner, Pack, Region, Vehicle
from fleet.queries.assets import fleet_snapshot
from tests.integration.aggregator.parked_fleet import NOW, park_fleet
from tests.integration.aggregator.test_plans import ask
from tests.integration.test_settling import NOW as SETTLED_NOW
from tests.integration.test_settling import START, after, build_fleet, meter
from tests.integration.test_settling import ask as ask_to_settle

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_books_hold_what_was_offered_and_what_settlements_credit(transactional_db: None) -> None:
    fleet = build_fleet()
    car_owner = Vehicle.objects.get().owner
    Consent.objects.get_or_create(
        vehicle=Vehicle.objects.get(),
        service="flexibility",
        withdrawn_at=None,
        defaults={"owner": car_owner, "terms_version": "1", "granted_at": SETTLED_NOW},
    )
    session = ChargingSession.objects.select_related("evse", "vehicle__model").get()
    view = ask_to_settle([fleet.car])
    meter(fleet.car, ends_at=START + timedelta(minutes=30))
    first = settle_event(event_id=view.event_id, now=after(view))
    # readings that come late make a revision: its shares count, and not both
    meter(fleet.car, starts_at=START + timedelta(minutes=31))
    second = settle_event(event_id=view.event_id, now=after(view) + timedelta(hours=3))
    assert (first.revision, second.revision) == (1, 2)
    now = SETTLED_NOW + timedelta(days=1)
    assert update_contributions(now=now) >= 1
    row = OwnerContribution.objects.get(owner_id=car_owner.pk)
    assert row.events == 1 and row.delivered_kwh == pytest.approx(10.0, rel=0.02)  # from 8 kW to -2 kW for an hour
    assert row.offered_h == pytest.approx(30 * 24)  # plugged in all the time
    model = session.vehicle.model
    assert row.offered_kwh == pytest.approx(30 * 24 * min(session.evse.max_charge_kw, model.max_charge_kw))
    # a month later it is forgotten
    update_contributions(now=now + timedelta(days=31))
    assert OwnerContribution.objects.get(owner_id=car_owner.pk).delivered_kwh == 0.0


def test_withdrawing_consent_offers_nothing(transactional_db: None) -> None:
    park_fleet(vehicles=4, hub=False)
    update_contributions(now=NOW)
    before = OwnerContribution.objects.count()
    Consent.objects.filter(service="flexibility").update(withdrawn_at=NOW + timedelta(minutes=1))
    update_contributions(now=NOW + timedelta(hours=1))
    assert before > 0 and OwnerContribution.objects.count() == 0


def test_packs_offer_all_the_time(transactional_db: None) -> None:
    region = park_fleet(vehicles=2)
    Pack.objects.first().asset.site.__class__.objects.filter(kind="hub").update(owner=Owner.objects.first())
    update_contributions(now=NOW)
    packs = Pack.objects.filter(asset__site__owner=Owner.objects.first())
    range_kw = sum(pack.max_charge_kw + pack.max_discharge_kw for pack in packs)
    row = OwnerContribution.objects.get(region=region, owner_id=Owner.objects.first().pk)
    assert row.offered_h >= packs.count() * 720
    assert row.offered_kwh >= 720 * range_kw


def test_of_equal_cars_those_called_least_discharge(transactional_db: None, django_assert_num_queries: object) -> None:
    region = park_fleet(hub=False)
    Vehicle.objects.update(wear_per_kwh="0.0400")
    update_contributions(now=NOW)
    two_way = [a for a in fleet_snapshot(region_id=region.pk, now=NOW).assets if a.discharge_kw > 0]
    owners = sorted({asset.owner_id for asset in two_way})
    often = set(owners[: len(owners) // 2])
    OwnerContribution.objects.filter(owner_id__in=often).update(delivered_kwh=500.0, events=20)
    view = ask(15.0 * len(two_way) / 2, length_s=600.0)
    plan = Plan.objects.get(pk=plan_event(event_id=view.event_id, now=NOW).plan_id)
    rows = {row.asset_id: np.array(row.power_kw) for row in plan.schedules.all()}
    hours = np.array(plan.step_h)

    def given_kwh(owned_by: set[int]) -> float:
        return sum(float(np.maximum(-rows[a.asset_id], 0) @ hours) for a in two_way if a.owner_id in owned_by)

    assert given_kwh(set(owners) - often) > given_kwh(often)
    assert plan.lower_bound <= plan.cost
    bound = 0.02 * float(np.abs(plan.price_per_kwh).mean()) * given_kwh(set(owners))
    assert plan.cost - plan.lower_bound <= bound + 1e-6


def test_discounts_are_read_in_one_statement(transactional_db: None, django_assert_num_queries: object) -> None:
    region: Region = park_fleet(hub=False)
    update_contributions(now=NOW)
    assets = fleet_snapshot(region_id=region.pk, now=NOW).assets
    for some in (assets[:2], assets):
        with django_assert_num_queries(1):
            fair_discounts(region_id=region.pk, assets=some, price_per_kwh=np.full(4, 0.2))
