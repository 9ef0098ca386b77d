"""What people do, by role and label: with script, and on an owner's pages without."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from fleet.models import Consent, VehicleGoal
from tests.portal_world import OWNER_EMAIL, PASSWORD, World

pytestmark = pytest.mark.browser


def complaints(page) -> list[str]:
    """What the browser refuses or stumbles over on a page, from now on."""
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.append(str(error)))
    return seen


def test_no_page_breaks_its_own_policy_or_asks_another_host(visit, world: World, live_server) -> None:
    foreign: list[str] = []
    for user, addresses in (
        (None, ["/", "/login/"]),
        (world.owner_user, ["/my/", f"/my/cars/{world.vehicles[0].pk}/goals/", "/my/earnings/"]),
        (world.operator, ["/ops/", f"/ops/events/{world.settled.pk}/", "/ops/devices/CP-00003/?tab=trace"]),
    ):
        page = visit(user).new_page()
        page.on("request", lambda request: foreign.append(request.url) if live_server.url not in request.url else None)
        seen = complaints(page)
        for address in addresses:
            page.goto(address)
            page.wait_for_timeout(300)
        assert not seen
    assert not foreign


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_an_owner_logs_in_sets_a_goal_charges_now_and_withdraws(visit, world: World, script: bool) -> None:
    page = visit(java_script_enabled=script, viewport={"width": 360, "height": 800}).new_page()
    page.goto("/my/")
    page.get_by_label("E-mail").fill(OWNER_EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Leaf").wait_for()
    page.get_by_role("link", name="Change goal").first.click()
    page.get_by_label("With (%)").fill("75")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Kept. The plan follows within seconds.").wait_for()
    assert VehicleGoal.objects.get(vehicle=world.vehicles[0]).target_soc_fraction == 0.75

    page.get_by_role("link", name="Charge now").first.click()
    page.get_by_label(re.compile("for one hour")).check()
    page.get_by_role("button", name="Charge now").click()
    page.get_by_text("Charging now because you asked.").wait_for()
    page.get_by_role("button", name="Back to the plan").click()
    page.get_by_text("Undone. The plan resumes.").wait_for()
    assert VehicleGoal.objects.get(vehicle=world.vehicles[0]).charge_now_until is None

    page.get_by_role("link", name="Consent", exact=True).locator("visible=true").first.click()
    page.get_by_role("button", name=re.compile("^Withdraw.*Use for the grid.*Leaf")).click()
    page.get_by_text("Consent withdrawn. Use stops within seconds.").wait_for()
    row = Consent.objects.get(vehicle=world.vehicles[0], service="flexibility")
    assert row.withdrawn_at is not None


def test_an_impossible_goal_is_said_while_it_is_edited(visit, world: World) -> None:
    page = visit(world.owner_user, timezone_id="Asia/Tokyo").new_page()
    page.goto(f"/my/cars/{world.vehicles[0].pk}/goals/")
    soon = timezone.now().astimezone(timezone.get_fixed_timezone(540)) + timedelta(minutes=20)
    page.get_by_text("For a single date").click()
    page.get_by_label("Date and time").fill(f"{soon:%Y-%m-%dT%H:%M}")
    page.get_by_label("once").check()
    page.get_by_label("With (%)").fill("95")
    page.get_by_label("With (%)").blur()
    page.get_by_text("Not possible by").wait_for()
    page.get_by_role("button", name=re.compile("^Accept")).click()
    page.get_by_text("Kept. The plan follows within seconds.").wait_for()
    goal = VehicleGoal.objects.get(vehicle=world.vehicles[0])
    assert goal.kind == "once" and 0.6 < goal.target_soc_fraction < 0.7


def test_the_console_moves_by_itself_and_stops_when_paused(visit, world: World) -> None:
    from aggregator.models import DeliverySample

    page = visit(world.operator, viewport={"width": 1440, "height": 900}).new_page()
    seen = complaints(page)
    page.goto("/ops/")
    page.locator(".chart canvas").wait_for()
    event = world.running
    DeliverySample.objects.create(
        grid_event_id=event.pk,
        at=timezone.now(),
        target_kw=event.target_kw,
        baseline_kw=39,
        measured_kw=13.5,
        delivered_kw=25.5,
    )
    page.get_by_text("25.5 kW of 26.0 kW").wait_for(timeout=10_000)
    assert page.locator(".chart canvas").count() == 1
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Pause").get_attribute("aria-pressed") == "true"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(4500)
    assert not asked and not seen


def test_a_reader_can_skip_to_the_content_by_keyboard(visit, world: World) -> None:
    page = visit(world.owner_user).new_page()
    page.goto("/my/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
