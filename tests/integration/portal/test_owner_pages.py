"""What owners see and do: their own cars, wishes, overrides, consents, earnings."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from fleet.models import ChargingSession, Consent, VehicleGoal
from tests.portal_world import World


def text_of(response) -> str:
    return response.content.decode()


def car_url(world: World, page: str, number: int = 0) -> str:
    return f"/my/cars/{world.vehicles[number].pk}/{page}/"


WEEKLY = {
    "kind": "weekly",
    "weekdays": ["0", "1", "2", "3", "4", "5", "6"],
    "ready_by": "07:30",
    "target_percent": "70",
    "floor_percent": "30",
    "keep_charging_if_late": "on",
}


def test_now_shows_each_car_with_its_sentence(owner: Client, world: World) -> None:
    page = text_of(owner.get("/my/"))
    assert "62 %" in page and "about 233 km" in page
    assert "Charging at 6.4 kW" in page  # the first car
    assert "Not plugged in. Plug in by" in page  # the second one is away
    assert "Earned ¥109" in page


def test_now_as_a_fragment_is_the_cards_alone(owner: Client) -> None:
    fragment = text_of(owner.get("/my/", headers={"HX-Request": "true"}))
    assert "<html" not in fragment and 'id="car-' in fragment


@pytest.mark.parametrize(
    "page", ["/my/", "/my/earnings/", "/my/consent/", "/my/compute/", "plan", "goals", "charge-now", "test"]
)
def test_owner_pages_speak_japanese(owner: Client, world: World, page: str) -> None:
    owner.cookies["django_language"] = "ja"
    response = owner.get(page if page.startswith("/") else car_url(world, page))
    content = text_of(response)
    assert response.status_code == 200
    assert '<html lang="ja">' in content
    assert "sentence." not in content


@pytest.mark.parametrize("page", ["goals", "plan", "charge-now", "test"])
def test_another_owners_car_does_not_exist(owner: Client, world: World, page: str) -> None:
    assert owner.get(car_url(world, page, number=4)).status_code == 404
    assert owner.post(car_url(world, page, number=4), {"until": "hour"}).status_code in {404, 405}


def test_another_owners_car_can_be_changed_by_nobody_else(owner: Client, world: World) -> None:
    other = world.vehicles[4]
    assert owner.post(car_url(world, "goals", number=4), WEEKLY).status_code == 404
    assert owner.post(f"/my/cars/{other.pk}/charge-now/undo/").status_code == 404
    change = {"vehicle": other.pk, "service": "flexibility", "change": "withdraw"}
    assert owner.post("/my/consent/", change).status_code == 404
    assert Consent.objects.filter(vehicle=other, withdrawn_at__isnull=True).count() == 2


def test_a_goal_is_kept_and_holds_for_the_present_stay(owner: Client, world: World) -> None:
    response = owner.post(car_url(world, "goals"), WEEKLY)
    assert (response.status_code, response.url) == (302, "/my/")
    goal = VehicleGoal.objects.get(vehicle=world.vehicles[0])
    assert (goal.target_soc_fraction, goal.floor_soc_fraction, goal.weekdays) == (0.7, 0.3, [0, 1, 2, 3, 4, 5, 6])
    session = ChargingSession.objects.get(vehicle=world.vehicles[0])
    assert (session.target_soc_fraction, session.floor_soc_fraction) == (0.7, 0.3)
    assert session.departure_at is not None and timezone.now() < session.departure_at
    assert f"{session.departure_at.astimezone(timezone.get_fixed_timezone(540)):%H:%M}" == "07:30"


def soon(minutes: int) -> str:
    return f"{timezone.now().astimezone(timezone.get_fixed_timezone(540)) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M}"


def test_an_impossible_goal_is_said_at_once_with_three_ways_out(owner: Client, world: World) -> None:
    wish = {**WEEKLY, "kind": "once", "ready_at": soon(30), "target_percent": "95"}
    preview = owner.get(car_url(world, "goals"), wish, headers={"HX-Request": "true"})
    assert "Not possible by" in text_of(preview) and "<html" not in text_of(preview)
    refused = owner.post(car_url(world, "goals"), wish)
    assert refused.status_code == 200 and VehicleGoal.objects.get(vehicle=world.vehicles[0]).kind == "weekly"
    page = text_of(refused)
    assert all(f'value="{way}"' in page for way in ("charge", "later", "accept"))


@pytest.mark.parametrize("way", ["charge", "later", "accept"])
def test_each_way_out_leads_out(owner: Client, world: World, way: str) -> None:
    wish = {**WEEKLY, "kind": "once", "ready_at": soon(30), "target_percent": "95", "resolve": way}
    assert owner.post(car_url(world, "goals"), wish).status_code == 302
    goal = VehicleGoal.objects.get(vehicle=world.vehicles[0])
    half_an_hour = timezone.now() + timedelta(minutes=31)
    if way == "charge":
        assert goal.charge_now_until is not None and goal.charge_now_until > half_an_hour
    elif way == "later":
        assert goal.ready_at > half_an_hour and goal.target_soc_fraction == 0.95
    else:
        # 62 % and half an hour at 6.6 kW
        assert goal.ready_at < half_an_hour and 0.62 < goal.target_soc_fraction < 0.68


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weekdays": []}, "Choose at least one day"),
        ({"ready_by": ""}, "Say by when"),
        ({"floor_percent": "90"}, "The lowest level lies above the goal"),
        ({"target_percent": "130"}, "less than or equal to 100"),
        ({"kind": "once"}, "Say when you need the car"),
        ({"kind": "never"}, "never"),
    ],
)
def test_a_wrong_goal_names_the_field_and_keeps_the_input(
    owner: Client, world: World, change: dict, message: str
) -> None:
    response = owner.post(car_url(world, "goals"), {**WEEKLY, **change})
    assert response.status_code == 422
    page = text_of(response)
    assert 'role="alert"' in page and message in page
    assert 'value="70"' in page or "target_percent" in change
    assert VehicleGoal.objects.get(vehicle=world.vehicles[0]).target_soc_fraction == 0.8


def test_charge_now_says_its_cost_then_does_it_and_can_be_undone(owner: Client, world: World) -> None:
    sheet = text_of(owner.get(car_url(world, "charge-now")))
    assert "until the goal of 80 %" in sheet and "until full" in sheet and "for one hour" in sheet
    assert "more than planned" in sheet
    owner.post(car_url(world, "charge-now"), {"until": "hour"})
    goal = VehicleGoal.objects.get(vehicle=world.vehicles[0])
    assert timedelta(minutes=59) < goal.charge_now_until - timezone.now() <= timedelta(hours=1)
    page = text_of(owner.get("/my/"))
    assert "Charging now because you asked." in page and "Back to the plan" in page
    owner.post(f"/my/cars/{world.vehicles[0].pk}/charge-now/undo/")
    goal.refresh_from_db()
    assert goal.charge_now_until is None


def test_a_car_that_is_away_cannot_charge_now(owner: Client, world: World) -> None:
    assert "not plugged in" in text_of(owner.get(car_url(world, "charge-now", number=1)))
    owner.post(car_url(world, "charge-now", number=1), {"until": "hour"})
    assert VehicleGoal.objects.get(vehicle=world.vehicles[1]).charge_now_until is None


@pytest.mark.django_db(transaction=True)
def test_withdrawing_consent_is_news_for_the_planner_at_once(owner: Client, world: World) -> None:
    listener = connections.create_connection("default")
    with listener.cursor() as cursor:
        cursor.execute("LISTEN fleet_changed")
    vehicle, session = world.vehicles[0], world.sessions[0]
    owner.post("/my/consent/", {"vehicle": vehicle.pk, "service": "flexibility", "change": "withdraw"})
    heard = [json.loads(notice.payload) for notice in listener.connection.notifies(timeout=5, stop_after=1)]
    listener.close()
    assert heard == [{"kind": "owner", "asset_id": session.evse.asset_id, "region_id": world.region.pk}]
    row = Consent.objects.get(vehicle=vehicle, service="flexibility")
    assert row.withdrawn_at is not None


def test_consent_has_a_history_that_is_never_edited(owner: Client, world: World) -> None:
    change = {"vehicle": world.vehicles[0].pk, "service": "flexibility"}
    for step in ("withdraw", "withdraw", "grant", "grant", "withdraw"):
        assert owner.post("/my/consent/", {**change, "change": step}).status_code == 302
    rows = Consent.objects.filter(vehicle=world.vehicles[0], service="flexibility")
    assert rows.count() == 2 and not rows.filter(withdrawn_at__isnull=True).exists()
    page = text_of(owner.get("/my/consent/"))
    assert page.count("<td>2026-11</td>") == 5  # two of this car's flexibility, the others of both cars


def test_plan_page_has_picture_reasons_and_the_same_table(owner: Client, world: World) -> None:
    page = text_of(owner.get(car_url(world, "plan")))
    assert "<svg" in page and 'class="hatch"' in page and 'class="charge"' in page
    assert "Why: the grid asks for it." in page
    assert page.count('<tr><th scope="row">') == page.count("Why: ") == 3
    assert "style=" not in page and "<script>" not in page


def test_earnings_page_and_csv_agree(owner: Client, world: World) -> None:
    month = timezone.now().astimezone(timezone.get_fixed_timezone(540))
    page = text_of(owner.get("/my/earnings/", {"m": f"{month:%Y-%m}"}))
    rows = list(
        csv.DictReader(io.StringIO(text_of(owner.get("/my/earnings/", {"m": f"{month:%Y-%m}", "format": "csv"}))))
    )
    total = sum(Decimal(row["amount"]) for row in rows)
    assert rows and f'<p class="hero">¥{round(total):,}</p>' in page
    assert f"{sum(Decimal(row['energy_kwh']) for row in rows):.1f} kWh" in page
    assert {row["service"] for row in rows} == {"flexibility", "computing"}


def test_an_empty_month_says_what_will_appear(owner: Client) -> None:
    assert "Nothing booked in this month" in text_of(owner.get("/my/earnings/", {"m": "2020-01"}))


def test_queries_do_not_grow_with_cars(owner: Client, world: World, django_assert_max_num_queries) -> None:
    """Two cars and six cost the same."""

    def count() -> int:
        with django_assert_max_num_queries(14) as captured:
            assert owner.get("/my/").status_code == 200
        return len(captured)

    def settled_count() -> int:
        """What is kept for some minutes, such as prices, may just run out: that read does not count."""
        return min(count() for _ in range(3))

    two = settled_count()
    for vehicle in world.vehicles[2:]:
        vehicle.owner = world.owner
        vehicle.save()
    assert settled_count() == two
