"""The portfolio as a node of outside VTNs: ours plays the outside one, as a real process over real HTTP and a real broker."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from django.utils import timezone
from paho.mqtt.enums import CallbackAPIVersion

from aggregator.operations.openadr_reports import make_due_reports
from common.errors import InvalidInput
from grid import tasks as grid_tasks
from grid.core.openadr.wishes import Portfolio
from grid.markets.openadr_ven.client import _tokens
from grid.markets.openadr_ven.listening import listen
from grid.markets.openadr_ven.reading import read_vtn, send_reports
from grid.models import GridEvent, OutsideEvent, OutsideReport, OutsideVtn
from grid.operations.openadr.outside import VtnExists, join_vtn
from tests.conformance.openadr.server import ROOT, vtn_client, web_server
from tests.integration.places import register_test_place

pytestmark = pytest.mark.django_db(transaction=True)
PORTFOLIO = Portfolio(80.0, ((4.0, 60.0, 40.0),))
SECRET = "OPENADR_SECRET_OF_NORTH"


def read(key: int) -> Any:
    outcome = read_vtn(key, portfolio=lambda region: PORTFOLIO, now=timezone.now())
    send_reports(key, now=timezone.now())
    return outcome


@pytest.fixture(scope="module")
def servers_of_this_file() -> Iterator[ExitStack]:
    """What runs until the last test of this file is over."""
    with ExitStack() as running:
        yield running


@pytest.fixture
def environment(platform_environment: dict[str, str], mqtt_broker: Any) -> Iterator[dict[str, str]]:
    """For a VTN; a region with programmes is there as well."""
    register_test_place(now=datetime(2026, 1, 1, tzinfo=UTC))
    _tokens.clear()
    uri = f"mqtt://{mqtt_broker.host}:{mqtt_broker.port}"
    yield {**platform_environment, "OPENADR_ALLOW_INSECURE_CALLBACKS": "1", "OPENADR_MQTT_URIS": uri}
    os.environ.pop(SECRET, None)


@pytest.fixture
def address(environment: dict[str, str], servers_of_this_file: ExitStack) -> str:
    """Where the outside VTN is: one process for all tests that do not stop it."""
    held: Any = servers_of_this_file
    if not hasattr(held, "address"):
        held.address = servers_of_this_file.enter_context(web_server(environment))
    return held.address


def join(address: str, **more: Any) -> tuple[int, httpx.Client, httpx.Client]:
    """A VTN joined: its key, its operator, and the node's own view of it."""
    operator, _ = vtn_client(address, "bl")
    node, made = vtn_client(address, "ven")
    os.environ[SECRET] = made.client_secret
    key = join_vtn(
        name="north",
        base_url=f"{address}{ROOT}",
        client_id=made.client_id,
        secret_variable=SECRET,
        ven_name="V2G-1",
        programmes={"their-tariff": "utility-dr"},
        now=timezone.now(),
        **more,
    )
    return key, operator, node


def make(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def wish(program: dict[str, Any], kw: float, hours: float = 0, **more: Any) -> dict[str, Any]:
    start = timezone.now().replace(microsecond=0) + timedelta(days=1, hours=hours)
    payload = {"type": "DISPATCH_SETPOINT_RELATIVE", "values": [kw]}
    return {
        "programID": program["id"],
        "intervalPeriod": {"start": start.isoformat(), "duration": "PT1H"},
        "intervals": [{"id": 0, "payloads": [payload]}],
        **more,
    }


def standing() -> list[tuple[str, str, float]]:
    rows = GridEvent.objects.exclude(state="cancelled").order_by("starts_at")
    return [(row.requested_by, row.direction, row.target_kw) for row in rows]


def test_enrols_takes_events_follows_them_and_answers(address: str) -> None:
    key, operator, node = join(address)
    program = make(operator, "/programs", programName="their-tariff")
    make(operator, "/events", **wish(make(operator, "/programs", programName="other"), -99))
    event = make(operator, "/events", **wish(program, -20))
    assert len(read(key).grid_event_ids) == 1 and standing() == [("north", "reduce", 20.0)]
    (ven,) = node.get("/vens").json()
    assert ven["venName"] == "V2G-1"
    (report,) = operator.get("/reports", params={"eventID": event["id"]}).json()
    assert report["reportName"] == "answer" and report["clientName"] == "V2G-1"
    assert report["resources"][0]["intervals"][0]["payloads"][0]["values"] == ["ACCEPTED"]
    # nothing new: nothing happens, and nothing is told twice
    assert read(key).grid_event_ids == () and len(operator.get("/reports").json()) == 1
    assert operator.put(f"/events/{event['id']}", json=wish(program, -30)).status_code == 200
    read(key)
    assert standing() == [("north", "reduce", 30.0)] and len(operator.get("/reports").json()) == 2
    assert operator.delete(f"/events/{event['id']}").status_code == 200
    assert len(read(key).grid_event_ids) == 1 and standing() == []
    assert OutsideEvent.objects.get().gone_at is not None and len(node.get("/vens").json()) == 1


def test_reads_every_page_and_asks_with_its_targets(address: str) -> None:
    key, operator, _ = join(address, targets=["feeder-7"])
    program = make(operator, "/programs", programName="their-tariff")
    for number in range(52):
        make(operator, "/events", programID=program["id"], eventName=str(number))
    make(operator, "/events", **wish(program, -20, targets=["feeder-7"]))
    read(key)
    assert OutsideEvent.objects.count() == 52
    (ven,) = operator.get("/vens", params={"venName": "V2G-1"}).json()
    granted = {"objectType": "BL_VEN_REQUEST", "venName": "V2G-1", "clientID": ven["clientID"]}
    assert operator.put(f"/vens/{ven['id']}", json={**granted, "targets": ["feeder-7"]}).status_code == 200
    read(key)
    assert OutsideEvent.objects.count() == 53 and standing() == [("north", "reduce", 20.0)]


def test_an_outage_leaves_running_events_as_they_are(environment: dict[str, str]) -> None:
    with web_server(environment) as address:
        key, operator, _ = join(address)
        program = make(operator, "/programs", programName="their-tariff")
        make(operator, "/events", **wish(program, -20, reportDescriptors=[{"payloadType": "READING"}]))
        read(key)
    vtn = OutsideVtn.objects.get()
    OutsideReport.objects.update(sent_at=None)
    waits = []
    for _ in range(3):
        assert read(key).grid_event_ids == ()
        vtn.refresh_from_db()
        assert vtn.due_at is not None
        waits.append(round((vtn.due_at - timezone.now()).total_seconds() / 60))
    assert standing() == [("north", "reduce", 20.0)] and OutsideEvent.objects.get().gone_at is None
    assert "ConnectError" in vtn.last_error and waits == sorted(waits) and waits[-1] <= 5
    with web_server(environment) as address:
        OutsideVtn.objects.update(base_url=f"{address}{ROOT}")
        read(key)
        vtn.refresh_from_db()
        assert vtn.failures == 0 and vtn.last_error == "" and standing() == [("north", "reduce", 20.0)]
        # what could not be reported meanwhile is reported now
        assert OutsideReport.objects.filter(sent_at=None).count() == 0


def test_a_vtn_that_answers_nonsense_changes_nothing(address: str) -> None:
    key, operator, _ = join(address)
    program = make(operator, "/programs", programName="their-tariff")
    make(operator, "/events", **wish(program, -20))
    read(key)
    OutsideVtn.objects.update(base_url=f"{address}/api/docs")
    _tokens.clear()
    assert read(key).grid_event_ids == () and standing() == [("north", "reduce", 20.0)]
    OutsideVtn.objects.update(base_url=f"{address}{ROOT}")
    os.environ.pop(SECRET)
    read(key)
    assert SECRET in OutsideVtn.objects.get().last_error and len(standing()) == 1


def test_reports_what_events_ask_for(address: str) -> None:
    kinds = ["READING", "UP_REGULATION_AVAILABLE", "STORAGE_CHARGE_LEVEL", "OPERATING_STATE"]
    key, operator, _ = join(address)
    program = make(operator, "/programs", programName="their-tariff")
    request = {"intervalPeriod": {"start": "0001-01-01", "duration": "PT0S"}}
    descriptors = [{"payloadType": kind} for kind in kinds]
    event = make(operator, "/events", programID=program["id"], reportDescriptors=descriptors, **request)
    read(key)
    assert make_due_reports(now=timezone.now()) == 1 and make_due_reports(now=timezone.now()) == 0
    assert send_reports(key, now=timezone.now()) == 1 and send_reports(key, now=timezone.now()) == 0
    told = operator.get("/reports", params={"eventID": event["id"]}).json()[-1]
    payloads = {p["type"]: p["values"] for p in told["resources"][0]["intervals"][0]["payloads"]}
    assert payloads["READING"] == [0.0] and payloads["OPERATING_STATE"] == ["NORMAL"]
    # there is no battery here: what cannot be told is not made up
    assert "STORAGE_CHARGE_LEVEL" not in payloads and payloads["DATA_QUALITY"] == ["MISSING"]


def test_a_call_back_wakes_the_reading(address: str, settings: Any) -> None:
    settings.OPENADR_ALLOW_INSECURE_CALLBACKS = True
    settings.OPENADR_CALLBACK_URL = f"{address}/openadr3/callbacks"
    key, operator, node = join(address, transport="webhook", poll_s=3600)
    program = make(operator, "/programs", programName="their-tariff")
    read(key)
    (subscription,) = node.get("/subscriptions").json()
    assert OutsideVtn.objects.get().subscription_id == subscription["id"]
    later = OutsideVtn.objects.get().due_at
    assert later is not None and later > timezone.now() + timedelta(minutes=50)
    make(operator, "/events", **wish(program, -20))
    assert grid_tasks.deliver_notifications() >= 0
    wait_until(lambda: (OutsideVtn.objects.get().due_at or later) <= timezone.now())
    assert read(key).grid_event_ids and standing() == [("north", "reduce", 20.0)]
    callback = f"{address}/openadr3/callbacks/north"
    assert httpx.post(callback, json={}, headers={"Authorization": "Bearer guess"}).status_code == 404
    assert httpx.get(callback, params={"echo": "<b>x"}).headers["Content-Type"].startswith("text/plain")


def test_the_broker_wakes_the_reading_and_shows_nobody_elses(address: str, mqtt_broker: Any) -> None:
    key, operator, node = join(address, transport="mqtt")
    program = make(operator, "/programs", programName="their-tariff")
    read(key)
    woken: queue.Queue[int] = queue.Queue()
    client = listen(OutsideVtn.objects.get(), woken.put)
    try:
        assert woken.get(timeout=20) == key  # it listens: what was missed is read
        make(operator, "/events", **wish(program, -20))
        wait_until(lambda: publish_again(woken))
    finally:
        client.disconnect()
        client.loop_stop()
    read(key)
    assert standing() == [("north", "reduce", 20.0)]
    check_that_branches_are_private(mqtt_broker, node, operator)


def publish_again(woken: queue.Queue[int]) -> bool:
    grid_tasks.deliver_notifications()
    return not woken.empty()


def check_that_branches_are_private(broker: Any, node: httpx.Client, operator: httpx.Client) -> None:
    """A client may subscribe in its own branch, and neither there to speak nor elsewhere to listen."""
    node.get("/notifiers")
    own = node.get("/notifiers/mqtt/topics/programs").json()["topics"]["ALL"]
    foreign = operator.get("/notifiers/mqtt/topics/programs").json()["topics"]["ALL"]
    granted: queue.Queue[bool] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(own.split("/")[2], node.headers["Authorization"].removeprefix("Bearer "))
    client.on_subscribe = lambda *given: granted.put(not given[3][0].is_failure)
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        for topic, allowed in ((own, True), (foreign, False), ("openadr/#", False), ("v2g/#", False), ("#", False)):
            client.subscribe(topic, 1)
            assert granted.get(timeout=20) is allowed, topic
    finally:
        client.disconnect()
        client.loop_stop()


def test_what_cannot_work_is_refused_when_it_is_joined(environment: dict[str, str]) -> None:
    good: dict[str, Any] = {
        "name": "n",
        "base_url": "https://vtn.example/openadr3/3.1.0",
        "client_id": "c",
        "secret_variable": "S",
        "ven_name": "v",
        "programmes": {"a": "utility-dr"},
        "now": timezone.now(),
    }
    for field, value in (("name", "a b"), ("base_url", "http://vtn.example"), ("programmes", {}), ("transport", "fax")):
        with pytest.raises(InvalidInput) as caught:
            join_vtn(**{**good, field: value})
        assert caught.value.field == field
    join_vtn(**good)
    with pytest.raises(VtnExists):
        join_vtn(**good)


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    ends_at = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends_at, "it does not happen"
        time.sleep(0.1)
