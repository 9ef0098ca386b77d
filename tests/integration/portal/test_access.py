"""Who gets in where: signing up, logging in, roles, headers."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from aggregator.models import User
from fleet.models import Owner
from tests.portal_world import OPERATOR_EMAIL, OWNER_EMAIL, PASSWORD, World

OWNER_PAGES = ["/my/", "/my/earnings/", "/my/consent/", "/my/compute/", "/my/cars/new/"]
OPERATOR_PAGES = [
    "/ops/",
    "/ops/devices/",
    "/ops/devices/CP-00000/",
    "/ops/events/",
    "/ops/events/new/",
    "/ops/packs/",
    "/ops/packs/new/",
]


@pytest.mark.parametrize("page", OWNER_PAGES + OPERATOR_PAGES)
def test_strangers_are_asked_to_log_in(world: World, page: str) -> None:
    response = Client().get(page)
    assert (response.status_code, response.url) == (302, f"/login/?next={page}")


@pytest.mark.parametrize("page", OPERATOR_PAGES)
def test_owners_are_told_that_the_console_is_not_theirs(owner: Client, page: str) -> None:
    response = owner.get(page)
    assert response.status_code == 403
    assert "for operators of the portfolio" in response.content.decode()


def test_an_operator_without_cars_is_led_to_the_console(operator: Client) -> None:
    assert operator.get("/my/").url == "/ops/"
    assert operator.get("/my/earnings/").status_code == 403


def test_logging_in_leads_to_ones_own_page_or_the_one_asked_for(world: World) -> None:
    for email, wanted, target in (
        (OWNER_EMAIL, "", "/my/"),
        (OPERATOR_EMAIL, "", "/ops/"),
        (OWNER_EMAIL, "/my/consent/", "/my/consent/"),
        (OWNER_EMAIL, "https://evil.example/", "/my/"),
        (OWNER_EMAIL, "//evil.example/", "/my/"),
    ):
        response = Client().post("/login/", {"email": email, "password": PASSWORD, "next": wanted})
        assert (response.status_code, response.url) == (302, target)


def test_logging_in_is_slowed_down_after_failures(world: World) -> None:
    cache.clear()
    browser = Client()
    for _ in range(8):
        response = browser.post("/login/", {"email": OWNER_EMAIL, "password": "wrong"})
        assert response.status_code == 422 and "do not match" in response.content.decode()
    blocked = browser.post("/login/", {"email": OWNER_EMAIL.upper(), "password": PASSWORD})
    assert blocked.status_code == 429 and "Wait five minutes" in blocked.content.decode()
    assert browser.post("/login/", {"email": OPERATOR_EMAIL, "password": PASSWORD}).status_code == 302
    cache.clear()


SIGN_UP = {"email": "New@World.test", "name": "新しい人", "password": "a-long-enough-secret", "language": "ja"}


def test_signing_up_makes_a_login_and_an_owner(db: None) -> None:
    browser = Client()
    response = browser.post("/sign-up/", SIGN_UP)
    assert (response.status_code, response.url) == (302, "/my/cars/new/")
    user = User.objects.get(email="New@world.test")
    assert user.check_password("a-long-enough-secret") and not user.is_operator and not user.is_staff
    assert Owner.objects.get(user=user).name == "新しい人"
    assert '<html lang="ja">' in browser.get("/my/").content.decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "short"}, "at least 12 characters"),
        ({"email": OWNER_EMAIL.upper()}, "There is an account with this address already"),
        ({"email": "nobody"}, "valid email"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_a_wrong_sign_up_names_the_field(world: World, change: dict, message: str) -> None:
    response = Client().post("/sign-up/", {**SIGN_UP, "language": "en", **change})
    assert response.status_code == 422 and message in response.content.decode()
    assert User.objects.count() == 2


def test_changes_need_the_forms_token(world: World) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(world.owner_user)
    change = {"vehicle": world.vehicles[0].pk, "service": "flexibility", "change": "withdraw"}
    assert browser.post("/my/consent/", change).status_code == 403
    assert browser.post("/logout/").status_code == 403


def test_the_language_is_remembered_with_the_person(owner: Client, world: World) -> None:
    owner.post("/i18n/setlang/", {"language": "ja", "next": "/my/"})
    world.owner_user.refresh_from_db()
    assert world.owner_user.language == "ja"
    assert '<html lang="ja">' in owner.get("/my/").content.decode()
    owner.post("/i18n/setlang/", {"language": "xx", "next": "/my/"})
    world.owner_user.refresh_from_db()
    assert world.owner_user.language == "ja"


@pytest.mark.parametrize("page", ["/", "/login/", "/my/", "/nowhere/"])
def test_pages_forbid_foreign_and_inline_script(owner: Client, page: str) -> None:
    response = owner.get(page)
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy
    assert response.headers["X-Frame-Options"] == "DENY"


def test_the_start_page_shows_totals_to_anybody(world: World) -> None:
    page = Client().get("/").content.decode()
    assert "6" in page and "cars enrolled" in page and "The grid is asking now." in page
    for private in ("EV-0000", "CP-0000", "Aiko", "Owner 1", OWNER_EMAIL, "HOME-"):
        assert private not in page
