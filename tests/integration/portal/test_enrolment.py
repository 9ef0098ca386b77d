"""Enrolling a car: five steps, a draft, three separate consents, and a test that shows what really happened."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from fleet.models import ChargingSession, Consent, DeviceCommand, IdToken, Vehicle, VehicleModel
from fleet.queries.state import STATE_FORMAT, STATE_KEY, redis_client
from tests.portal_world import World

GOAL = {
    "kind": "weekly",
    "weekdays": ["0", "4"],
    "ready_by": "08:15",
    "target_percent": "85",
    "floor_percent": "25",
    "keep_charging_if_late": "on",
}


def step(browser: Client, number: int, answers: dict):
    return browser.post(f"/my/cars/new/{number}/", answers)


def walk(browser: Client, *, car: dict, charger: str, consents: dict):
    assert step(browser, 1, car).url == "/my/cars/new/2/"
    assert step(browser, 2, {"charger_code": charger}).url == "/my/cars/new/3/"
    assert step(browser, 3, GOAL).url == "/my/cars/new/4/"
    return step(browser, 4, consents)


@pytest.fixture
def leaf(world: World) -> dict:
    return {"label": "Family car", "model": str(VehicleModel.objects.get(name="Leaf e+").pk), "two_way": "unknown"}


def test_five_steps_enrol_a_car_with_exactly_the_consents_that_were_ticked(
    owner: Client, world: World, leaf: dict
) -> None:
    done = walk(owner, car=leaf, charger="cp-00001", consents={"flexibility": "on"})
    vehicle = Vehicle.objects.get(label="Family car")
    assert done.url == f"/my/cars/{vehicle.pk}/test/"
    assert (vehicle.owner, vehicle.home_site.identity, vehicle.battery_capacity_kwh) == (world.owner, "HOME-00001", 60)
    assert vehicle.v2g_capable  # what the model says, as the owner did not know better
    assert list(Consent.objects.filter(vehicle=vehicle).values_list("service", flat=True)) == ["flexibility"]
    assert (vehicle.goal.weekdays, vehicle.goal.target_soc_fraction, vehicle.goal.floor_soc_fraction) == (
        [0, 4],
        0.85,
        0.25,
    )
    token = IdToken.objects.get(vehicle=vehicle).token
    assert token in owner.get(done.url).content.decode()


def test_no_box_is_ticked_for_anybody(owner: Client, leaf: dict) -> None:
    for number, answers in ((1, leaf), (2, {"charger_code": ""}), (3, GOAL)):
        step(owner, number, answers)
    page = owner.get("/my/cars/new/4/").content.decode()
    assert page.count('type="checkbox"') == 3 and "checked" not in page
    done = step(owner, 4, {})
    assert done.status_code == 302
    assert not Consent.objects.filter(vehicle__label="Family car").exists()


def test_an_unlisted_car_needs_its_battery_and_counts_as_one_way_unless_known(owner: Client, leaf: dict) -> None:
    unlisted = {"label": "Kit car", "model": "", "two_way": "unknown"}
    refused = step(owner, 1, unlisted)
    assert refused.status_code == 422 and "say how large the battery is" in refused.content.decode()
    walk(owner, car={**unlisted, "battery_capacity_kwh": "33"}, charger="", consents={})
    vehicle = Vehicle.objects.get(label="Kit car")
    assert (vehicle.battery_capacity_kwh, vehicle.v2g_capable, vehicle.home_site) == (33, False, None)


@pytest.mark.parametrize(
    ("code", "message"), [("CP-NOWHERE", "No charger has this code"), ("CP-00004", "another owner")]
)
def test_a_wrong_charger_code_is_refused_where_it_was_typed(owner: Client, leaf: dict, code: str, message: str) -> None:
    step(owner, 1, leaf)
    refused = step(owner, 2, {"charger_code": code})
    assert refused.status_code == 422 and message in refused.content.decode()
    assert f'value="{code}"' in refused.content.decode()


def test_the_draft_is_kept_and_no_step_can_be_skipped(owner: Client, leaf: dict) -> None:
    assert owner.get("/my/cars/new/3/").url == "/my/cars/new/1/"
    step(owner, 1, leaf)
    assert owner.get("/my/cars/new/3/").url == "/my/cars/new/2/"
    assert 'value="Family car"' in owner.get("/my/cars/new/1/").content.decode()
    assert owner.get("/my/cars/new/5/").status_code == 404
    assert not Vehicle.objects.filter(label="Family car").exists()


def test_the_test_is_done_only_when_it_is_measured(owner: Client, world: World) -> None:
    session = ChargingSession.objects.get(vehicle=world.vehicles[0])
    asset_id = session.evse.asset_id
    page = f"/my/cars/{world.vehicles[0].pk}/test/"
    assert owner.post(page).url == page
    command = DeviceCommand.objects.filter(asset_id=asset_id).order_by("-sequence").first()
    assert (command.power_kw, command.offset_s, command.state) == ([0.0, 6.6], [0.0, 60.0], "queued")

    def good_ticks() -> int:
        return owner.get(page, headers={"HX-Request": "true"}).content.decode().count("chip good")

    assert good_ticks() == 0
    sent_at = timezone.now() - timedelta(seconds=2)
    DeviceCommand.objects.filter(pk=command.pk).update(state="sent", sent_at=sent_at)
    assert good_ticks() == 1
    DeviceCommand.objects.filter(pk=command.pk).update(state="confirmed", answered_at=timezone.now())
    at = timezone.now().timestamp()
    for power_kw, ticks in ((6.4, 2), (0.02, 3)):
        numbers = [at, power_kw, at, 120.0, at, 4.0, at, 0.62, at, 24.0]
        redis_client().set(f"{STATE_KEY}{asset_id}", STATE_FORMAT.pack(*numbers))
        assert good_ticks() == ticks


def test_a_car_that_is_away_cannot_be_tested(owner: Client, world: World) -> None:
    page = f"/my/cars/{world.vehicles[1].pk}/test/"
    assert "Pause charging" not in owner.get(page).content.decode()
    owner.post(page)
    assert "Plug it in first" in owner.get(page).content.decode()
