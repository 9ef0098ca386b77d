"""The owner's limits on a car's use, filled in and read back."""

from __future__ import annotations

from datetime import time

from django.test import Client

from fleet.models import UseContract
from tests.portal_world import World


def test_an_owner_sets_limits_and_reads_them_back(owner: Client, world: World) -> None:
    vehicle = world.vehicles[0]
    address = f"/my/cars/{vehicle.pk}/limits/"
    assert address in owner.get("/my/consent/").content.decode()
    answer = owner.post(
        address,
        {"max_discharge_kwh_per_day": "7.5", "discharge_from": "21:00", "discharge_until": "05:30"},
        follow=True,
    )
    page = answer.content.decode()
    assert "Kept. The limits hold from now on." in page and "7.5" in page and "21:00–05:30" in page
    row = UseContract.objects.get(vehicle=vehicle)
    assert (row.max_discharge_kwh_per_day, row.discharge_from, row.max_events_per_month) == (7.5, time(21), None)
    assert owner.post(address, {}, follow=True).status_code == 200
    assert not UseContract.objects.filter(vehicle=vehicle, valid_until__isnull=True).exists()


def test_what_makes_no_sense_is_said_at_its_field(owner: Client, world: World) -> None:
    address = f"/my/cars/{world.vehicles[0].pk}/limits/"
    answer = owner.post(address, {"discharge_from": "21:00"})
    assert answer.status_code == 422 and "Give both times, or neither." in answer.content.decode()
    assert owner.post(address, {"max_discharge_kwh_per_day": "-1"}).status_code == 422
    assert not UseContract.objects.exists()


def test_another_owners_car_is_nobodys(owner: Client, world: World) -> None:
    strange = next(one for one in world.vehicles if one.owner_id != world.owner.pk)
    assert owner.get(f"/my/cars/{strange.pk}/limits/").status_code == 404
    assert owner.post(f"/my/cars/{strange.pk}/limits/", {}).status_code == 404
    assert Client().get(f"/my/cars/{strange.pk}/limits/").status_code == 302
