"""Plans, forecasts and fairness as operators and owners read them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import DepartureForecast, OwnerContribution, Plan
from aggregator.queries.plans import MOST_LINES
from tests.portal_world import World


def text_of(response) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


def miss(kind: str, **values) -> dict:
    usual = {"kind": kind, "step": 2, "kw": 3.5, "kwh": 1.75, "price": 0.0, "money": 0.0, "reason": "because"}
    return usual | {"asset_id": None, "site_id": None, "event_id": None} | values


def say(world: World, count: int, *, early: int) -> None:
    now = timezone.now()
    DepartureForecast.objects.bulk_create(
        DepartureForecast(
            region=world.region,
            session_id=10_000 + number,
            vehicle_id=1,
            site_id=1,
            made_at=now - timedelta(hours=9),
            arrived_at=now - timedelta(hours=9),
            stated_at=now - timedelta(hours=1),
            expected_at=now - timedelta(hours=2),
            served_at=now - timedelta(hours=8),
            leaves_after=now - timedelta(hours=5),
            probability=0.9,
            basis="site",
            samples=40,
            left_at=now - timedelta(hours=6 if number < early else 1),
        )
        for number in range(count)
    )


def test_every_missed_promise_stands_with_whose_when_how_much_and_why(operator: Client, world: World) -> None:
    evse = world.sessions[0].evse.asset
    site = world.vehicles[0].home_site
    Plan.objects.filter(pk=world.plan.pk).update(
        probability=0.95,
        departure_basis={"own": 3, "stated": 4},
        event_margins=[{"event_id": world.running.pk, "target_kw": -20.0, "margin_kw": 4.3}],
        missed=[
            miss("departure_need", asset_id=evse.pk, kwh=2.5),
            miss("early_need", asset_id=evse.pk, kwh=1.2),
            miss("site_import_limit", site_id=site.pk, kw=7.5),
            miss("event_target", event_id=world.running.pk, kw=6.5, price=3.0, money=9.75),
            miss("rebound", event_id=world.running.pk, kw=8.5, price=0.2, money=0.4),
            miss("something_new"),
        ],
    )
    page = text_of(operator.get(f"/ops/plans/{world.plan.pk}/"))
    assert "held with a probability of 95 %" in page and "planned with up to 4.3 kW more" in page
    assert f'/ops/devices/{evse.identity}/">{evse.identity}</a>' in page and site.identity in page
    assert "2.5 kWh short at departure" in page and "1.2 kWh short if the driver leaves early" in page
    assert "7.5 kW beyond the site’s limit" in page and "6.5 kW off the event’s target" in page
    assert "8.5 kW above what may come back" in page and "because" in page
    assert page.count('<tr><th scope="row">') == 6
    assert operator.get("/ops/plans/999999/").status_code == 404
    operator.cookies["django_language"] = "ja"
    japanese = text_of(operator.get(f"/ops/plans/{world.plan.pk}/"))
    assert (
        "95 %の確率で守ります" in japanese and "最低残量" not in japanese and "拠点の限度を7.5 kW超えます" in japanese
    )


def test_a_plan_that_misses_nothing_says_so_and_an_old_one_has_no_probability(operator: Client, world: World) -> None:
    Plan.objects.filter(pk=world.plan.pk).update(missed=[], probability=None)
    page = text_of(operator.get(f"/ops/plans/{world.plan.pk}/"))
    assert "Every promise that physics allow is kept." in page
    assert "made before probabilities were kept" in page


def test_a_long_list_is_cut_and_says_so_with_as_many_queries(
    operator: Client, world: World, django_assert_max_num_queries
) -> None:
    evse = world.sessions[0].evse.asset
    lines = [miss("floor", asset_id=evse.pk) for _ in range(MOST_LINES + 5)]
    address = f"/ops/plans/{world.plan.pk}/"
    Plan.objects.filter(pk=world.plan.pk).update(missed=lines[:1])
    with django_assert_max_num_queries(12) as few:
        operator.get(address)
    Plan.objects.filter(pk=world.plan.pk).update(missed=lines)
    with django_assert_max_num_queries(12) as many:
        page = text_of(operator.get(address))
    assert len(few) == len(many)
    assert f"The first {MOST_LINES} of {MOST_LINES + 5}." in page


def test_forecasts_show_what_was_said_and_what_was(operator: Client, world: World) -> None:
    page = text_of(operator.get("/ops/plans/"))
    assert "No forecast has come true yet." in page and "Nothing has been offered yet." in page
    assert str(world.plan.pk) in page
    say(world, 20, early=1)
    page = text_of(operator.get("/ops/plans/"))
    assert "stays at its site" in page and "said 90 %, was 95 %" in page
    assert '<td class="num">20</td>' in page


def test_fairness_is_a_figure_for_operators_and_a_sentence_for_owners(
    operator: Client, owner: Client, world: World
) -> None:
    assert "Nothing on offer in the last 30 days" in text_of(owner.get("/my/earnings/"))
    now = timezone.now()
    common = {"region": world.region, "as_of": now, "offered_h": 100.0, "offered_kwh": 1000.0}
    mine = OwnerContribution.objects.create(owner_id=world.owner.pk, delivered_kwh=0.0, events=0, **common)
    OwnerContribution.objects.create(owner_id=world.owner.pk + 5000, delivered_kwh=30.0, events=3, **common)
    page = text_of(operator.get("/ops/plans/"))
    assert "0.0 ‰" in page and "30.0 ‰" in page and ">0.50<" in page
    assert "among equals it is your turn first" in text_of(owner.get("/my/earnings/"))
    OwnerContribution.objects.filter(pk=mine.pk).update(delivered_kwh=12.0, events=4)
    assert "Called in 4 events for 12.0 kWh, of 100 hours" in text_of(owner.get("/my/earnings/"))


@pytest.mark.parametrize("address", ["/ops/plans/", "/ops/plans/1/"])
def test_plans_are_for_operators(owner: Client, address: str) -> None:
    assert owner.get(address).status_code == 403
    assert Client().get(address).status_code == 302
