"""What the operator sees: the live portfolio, devices, traces, events; and that none of it slows down with size."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.models import DeliverySample
from fleet.models import Asset, Vehicle
from grid.models import GridEvent
from tests.portal_world import World


def text_of(response) -> str:
    return response.content.decode()


def chart_of(page: str) -> dict:
    return json.loads(re.search(r'<script id="live-data" type="application/json">(.*?)</script>', page).group(1))


def look(world: World, delivered_share: float) -> None:
    """The tracking loop's newest look at the running event."""
    event = world.running
    DeliverySample.objects.create(
        grid_event_id=event.pk,
        at=timezone.now(),
        target_kw=event.target_kw,
        baseline_kw=1.5 * event.target_kw,
        measured_kw=(1.5 - delivered_share) * event.target_kw,
        delivered_kw=delivered_share * event.target_kw,
    )


def test_live_says_the_gap_and_its_cause_before_any_chart(operator: Client, world: World) -> None:
    look(world, 0.9)
    Asset.objects.filter(identity="CP-00003/1").update(connected=False)
    Vehicle.objects.filter(identity="EV-00005").update(soc_fraction=0.2)
    page = text_of(operator.get("/ops/"))
    sentence = re.search(r'class="sentence">(.*?)</p>', page, re.DOTALL).group(1)
    assert "23.4 kW of 26.0 kW until" in sentence
    assert "Short 2.6 kW: 1 offline, 1 at floor." in sentence
    assert page.index("Short 2.6") < page.index("data-chart")


def test_live_is_calm_when_the_target_is_met(operator: Client, world: World) -> None:
    look(world, 1.0)
    assert "26.0 kW of 26.0 kW (100 %) until" in text_of(operator.get("/ops/"))


def test_chart_and_table_hold_the_same_values(operator: Client, world: World) -> None:
    DeliverySample.objects.filter(at__gt=timezone.now() - timedelta(seconds=60)).delete()
    look(world, 0.5)
    page = text_of(operator.get("/ops/", headers={"HX-Request": "true"}))
    assert "<html" not in page
    chart = chart_of(page)
    assert chart["timeZone"] == "Asia/Tokyo"
    times, target, metered, baseline = chart["columns"]
    assert (target[-1], metered[-1], baseline[-1]) == (13.0, 26.0, 39.0)
    row = re.search(r"<h2 id=\"looks\">.*?<tbody>\s*<tr>(.*?)</tr>", page, re.DOTALL).group(1)
    assert re.findall(r'class="num">([^<]+)<', row)[:5] == ["39.0 kW", "13.0 kW", "26.0 kW", "26.0 kW", "13.0 kW"]
    # nothing was seen for a while before this look: a gap, not a line
    assert None in metered and times == sorted(times)


def test_without_anything_the_console_says_what_will_appear(db: None, django_user_model) -> None:
    browser = Client()
    browser.force_login(django_user_model.objects.create_user("op@x.test", "x", is_operator=True))
    from django.core.cache import cache

    cache.clear()
    page = text_of(browser.get("/ops/"))
    assert "No region yet." in page and "No event yet." in page
    assert "Nothing matches." in text_of(browser.get("/ops/devices/"))
    assert "There is no programme yet." in text_of(browser.get("/ops/events/new/"))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 14),
        ("q=cp-0000", 6),
        ("q=stadium", 8),
        ("kind=pack", 8),
        ("kind=evse&state=connected", 6),
        ("state=offline", 0),
        ("state=fault", 0),
        ("protocol=mqtt", 1),
        ("region=JP-KYUSHU", 14),
        ("region=NOWHERE", 0),
    ],
)
def test_devices_are_narrowed_by_the_address(operator: Client, query: str, count: int) -> None:
    page = text_of(operator.get(f"/ops/devices/?{query}"))
    assert f"{count} found" in page
    assert page.count('<th scope="row">') == count


def test_every_device_is_on_exactly_one_page(operator: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from fleet.queries import devices as queries

    seen, after = [], ""
    for _ in range(20):
        page = queries.devices(narrowed=queries.DeviceFilter(after=after), page_size=4)
        seen += [row.identity for row in page.rows]
        after = page.next_after
        if not after:
            break
    assert seen == sorted(seen) and len(set(seen)) == len(seen) == 14


@pytest.mark.parametrize("address", ["/ops/", "/ops/devices/", "/ops/events/"])
def test_queries_do_not_grow_with_the_portfolio(
    operator: Client, world: World, address: str, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(20) as few:
        assert operator.get(address).status_code == 200
    from django.core.cache import cache

    cache.delete_many(["console:power", "console:public", "console:assets", "console:regions"])
    region = world.region
    site = world.vehicles[0].home_site
    Asset.objects.bulk_create(Asset(identity=f"METER-{number:04d}", kind="meter", site=site) for number in range(40))
    GridEvent.objects.bulk_create(
        GridEvent(
            programme=world.running.programme,
            requested_by="grid",
            idempotency_key=f"k{number}",
            direction="reduce",
            target_kw=5,
            starts_at=timezone.now() - timedelta(days=2, minutes=10 * number),
            ends_at=timezone.now() - timedelta(days=2, minutes=10 * number - 5),
            received_at=timezone.now() - timedelta(days=3),
            state="settled",
        )
        for number in range(30)
    )
    assert region.pk
    with django_assert_max_num_queries(20) as many:
        assert operator.get(address).status_code == 200
    assert len(many) == len(few)


def test_a_device_shows_what_it_is_told_and_what_it_does(operator: Client) -> None:
    page = text_of(operator.get("/ops/devices/CP-00000/"))
    assert "Told -3.0 kW" in page and "Measured 6.4 kW" in page
    assert "Occupied" in page and "firmware_version" in page and "1.2.3" in page
    assert text_of(operator.get("/ops/devices/CP-00000/1/")) != ""  # an EVSE leads to its charger
    pack = text_of(operator.get("/ops/devices/PACK-001/"))
    assert "INV-1" in pack and "79%" in pack
    assert operator.get("/ops/devices/CP-99999/").status_code == 404
    assert operator.get("/ops/devices/CP-00000/?tab=secrets").status_code == 404


def trace_rows(browser: Client, query: str) -> list[dict[str, str]]:
    response = browser.get(f"/ops/devices/CP-00000/?tab=trace&format=csv&{query}")
    return list(csv.DictReader(io.StringIO(text_of(response))))


def test_a_trace_is_filtered_paged_and_exported_as_filtered(operator: Client, world: World) -> None:
    page = text_of(operator.get("/ops/devices/CP-00000/?tab=trace"))
    assert page.count("<details>") == 50
    older = re.search(r'href="\?(tab=trace&amp;before=[^"]+)"', page).group(1).replace("&amp;", "&")
    assert text_of(operator.get(f"/ops/devices/CP-00000/?{older}")).count("<details>") == 50
    assert len(trace_rows(operator, "")) == 120
    profiles = trace_rows(operator, "dir=out&action=SetChargingProfile")
    assert len(profiles) == 30 and {row["result"] for row in profiles} == {"Accepted"}
    assert [row["message_id"] for row in trace_rows(operator, "id=m0007")] == ["m0007"]
    assert len(trace_rows(operator, "text=evseid")) == 120
    assert len(trace_rows(operator, "text=accepted")) == 30
    assert trace_rows(operator, "text=idTag%25") == []
    local = (world.now - timedelta(seconds=95)).astimezone(timezone.get_fixed_timezone(540))
    recent = trace_rows(operator, f"from={local:%Y-%m-%dT%H:%M:%S}")
    assert len(recent) == 10 and recent[0]["message_id"] == "m0000"


@pytest.mark.parametrize("query", ["before=nonsense", "from=yesterday", "from=2026-13-45T00:00", "before=,", "dir=up"])
def test_a_broken_filter_is_no_filter(operator: Client, query: str) -> None:
    assert len(trace_rows(operator, query)) == 120


def test_commands_show_how_far_they_came(operator: Client, world: World) -> None:
    page = text_of(operator.get("/ops/devices/CP-00000/?tab=commands"))
    assert page.count("accepted") == 2 and f"event {world.running.pk}" in page


def test_an_event_page_goes_from_request_to_payment(operator: Client, world: World) -> None:
    page = text_of(operator.get(f"/ops/events/{world.settled.pk}/"))
    assert "98 % of the target after the ramp." in page
    assert page.count("20.") >= 0 and page.count("ramp</small>") == 1
    assert chart_of(page)["columns"][0]
    assert operator.get("/ops/events/999999/").status_code == 404


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The events whose planning was enqueued."""
    from aggregator import tasks

    events: list[int] = []
    monkeypatch.setattr(tasks.plan_event, "delay_on_commit", events.append)
    return events


def wanted(world: World, **change: str) -> dict[str, str]:
    starts_at = (world.now + timedelta(hours=2)).astimezone(timezone.get_fixed_timezone(540))
    return {
        "programme_code": "FAST",
        "direction": "reduce",
        "target_kw": "20",
        "starts_at": f"{starts_at:%Y-%m-%dT%H:%M:%S}",
        "duration_s": "300",
        "idempotency_key": "console-1",
    } | change


def test_asking_for_an_event_records_it_once_and_plans_it(operator: Client, world: World, queued: list[int]) -> None:
    for _ in range(2):  # a double click
        response = operator.post("/ops/events/new/", wanted(world))
    event = GridEvent.objects.get(idempotency_key="console-1")
    assert response.url == f"/ops/events/{event.pk}/"
    assert queued == [event.pk]
    assert (event.target_kw, event.direction) == (20.0, "reduce")
    # the form's time is that of the programme's region
    assert abs(event.starts_at - world.now - timedelta(hours=2)) < timedelta(seconds=1)
    assert (event.ends_at - event.starts_at).total_seconds() == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_kw": "1000000"}, "The programme buys less at once"),
        ({"duration_s": "7300"}, "no event as long as this"),
        ({"starts_at": "2020-01-01T00:00:00"}, "There is no programme"),
        ({"target_kw": "-3"}, "greater than or equal to"),
        ({"starts_at": ""}, "required"),
        ({"programme_code": "OTHER"}, "OTHER"),
    ],
)
def test_an_event_against_the_terms_is_refused_where_it_was_typed(
    operator: Client, world: World, queued: list[int], change: dict, message: str
) -> None:
    response = operator.post("/ops/events/new/", wanted(world, **change))
    assert response.status_code == 422 and message in text_of(response)
    assert not queued and GridEvent.objects.count() == 2


def test_an_event_needs_the_notice_of_its_programme(operator: Client, world: World, queued: list[int]) -> None:
    at_once = timezone.now().astimezone(timezone.get_fixed_timezone(540)) + timedelta(seconds=2)
    response = operator.post("/ops/events/new/", wanted(world, starts_at=f"{at_once:%Y-%m-%dT%H:%M:%S}"))
    assert response.status_code == 422 and "more notice" in text_of(response)
    assert not queued


def test_two_events_at_once_are_refused(operator: Client, world: World, queued: list[int]) -> None:
    operator.post("/ops/events/new/", wanted(world))
    response = operator.post("/ops/events/new/", wanted(world, idempotency_key="console-2"))
    assert response.status_code == 422 and "another event at that time" in text_of(response)


def test_calling_off_ends_a_running_event(operator: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from aggregator import tasks

    asked = []
    monkeypatch.setattr(tasks.replan_region, "delay_on_commit", lambda *arguments: asked.append(arguments))
    operator.post(f"/ops/events/{world.running.pk}/call-off/")
    world.running.refresh_from_db()
    assert world.running.cancelled_at is not None and world.running.ends_at <= timezone.now()
    assert asked == [(world.region.pk, "event")]
    assert operator.post("/ops/events/999999/call-off/").status_code == 404
