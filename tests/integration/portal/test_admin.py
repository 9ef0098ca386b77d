"""The admin console: every list opens in a constant number of queries, and history cannot be changed there."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client

from tests.portal_world import World

OUR_PACKAGES = {"fleet", "grid", "aggregator"}
HISTORY = {
    "consent",
    "chargingsession",
    "devicecommand",
    "gridevent",
    "settlement",
    "settlementshare",
    "plan",
    "plannedschedule",
    "deliverysample",
    "ledgeraccount",
    "ledgertransaction",
    "ledgerentry",
    "pricepoint",
    "emissionfactor",
}


def ours() -> list[tuple[str, str]]:
    return sorted(
        (model._meta.app_label, model._meta.model_name)
        for model in admin.site._registry
        if model._meta.app_label in OUR_PACKAGES
    )


def test_every_list_opens_searches_and_stays_constant_in_queries(
    operator: Client, world: World, django_assert_max_num_queries
) -> None:
    assert len(ours()) >= 30
    for package, model in ours():
        with django_assert_max_num_queries(16):
            response = operator.get(f"/admin/{package}/{model}/")
        assert response.status_code == 200, model
        assert operator.get(f"/admin/{package}/{model}/?q=1").status_code == 200, model


def test_history_is_read_only_even_for_those_with_every_right(operator: Client, world: World) -> None:
    assert {model for _, model in ours()} >= HISTORY
    for package, model in ours():
        if model in HISTORY:
            assert operator.get(f"/admin/{package}/{model}/add/").status_code == 403, model
    entry = world.settled.settlements.get()
    page = f"/admin/grid/settlement/{entry.pk}/change/"
    assert operator.get(page).status_code == 200
    assert operator.post(page, {"payment": "0"}).status_code == 403
    assert operator.post(f"/admin/grid/settlement/{entry.pk}/delete/", {"post": "yes"}).status_code == 403


def test_terms_that_events_were_settled_by_stay(operator: Client, world: World) -> None:
    page = f"/admin/grid/programme/{world.settled.programme_id}/change/"
    assert operator.post(page, {"code": "FAST"}).status_code == 403


def test_a_user_is_added_by_address(operator: Client, world: World, django_user_model) -> None:
    response = operator.post(
        "/admin/aggregator/user/add/",
        {
            "email": "second@world.test",
            "usable_password": "true",
            "password1": "quite-a-long-secret",
            "password2": "quite-a-long-secret",
        },
    )
    assert response.status_code == 302
    assert django_user_model.objects.get(email="second@world.test").check_password("quite-a-long-secret")


@pytest.mark.parametrize("page", ["/admin/", "/admin/aggregator/ledgerentry/"])
def test_owners_stay_out(owner: Client, page: str) -> None:
    assert owner.get(page).status_code == 302
