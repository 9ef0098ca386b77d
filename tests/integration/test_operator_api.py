"""The operator's API as a program sees it: tokens, scopes, problem bodies, paging, and a constant number of queries."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aggregator import tasks
from aggregator.models import DeliverySample
from aggregator.operations.clients import CreatedClient, create_client
from aggregator.operations.settlements import settle_event
from grid.models import GridEvent
from grid.operations.events import mark_planned
from tests.integration.description import check_answer
from tests.integration.places import REGION, register_test_place

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Caller:
    """A client with a token. Every answer is held against the API's description."""

    web: Client
    token: str

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        given = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        answer = self.web.generic(
            method, path, "" if body is None else json.dumps(body), content_type="application/json", headers=given
        )
        local = path.removeprefix("http://testserver")
        check_answer(method, local, answer.status_code, answer["Content-Type"], answer.json())
        return answer


def token_of(web: Client, client: CreatedClient, scope: str = "", *, basic: bool = True) -> Any:
    form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
    if basic:
        pair = b64encode(f"{client.client_id}:{client.client_secret}".encode()).decode()
        return web.post("/oauth/token/", form, headers={"Authorization": f"Basic {pair}"})
    return web.post("/oauth/token/", {**form, "client_id": client.client_id, "client_secret": client.client_secret})


@pytest.fixture
def enqueued() -> Any:
    """The ids for which planning was enqueued; the broker itself is tested where a worker runs."""
    with mock.patch.object(tasks.plan_event, "delay_on_commit") as delayed:
        yield delayed


@pytest.fixture
def caller(enqueued: Any) -> Callable[..., Caller]:
    register_test_place(now=datetime(2026, 1, 1, tzinfo=UTC))

    def make(name: str = "grid-co", role: str = "operator", scope: str = "") -> Caller:
        web = Client()
        return Caller(web, token_of(web, create_client(name=name, role=role), scope).json()["access_token"])

    return make


def tomorrow(hour: int) -> str:
    at = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (at + timedelta(hours=hour)).isoformat()


def wish(hour: int = 0, **changes: Any) -> dict[str, Any]:
    body = {
        "programme": "utility-dr",
        "direction": "reduce",
        "target_kw": 40.0,
        "starts_at": tomorrow(hour),
        "ends_at": tomorrow(hour + 1),
    }
    return {**body, **changes}


class TestTokens:
    @pytest.mark.parametrize("basic", [True, False])
    def test_a_client_shows_its_secret_in_either_way(self, basic: bool) -> None:
        answer = token_of(Client(), create_client(name="a", role="operator"), basic=basic)
        assert answer.status_code == 200 and answer.json()["token_type"] == "Bearer"
        assert set(answer.json()["scope"].split()) == {"events:read", "events:write", "fleet:read", "settlements:read"}

    def test_a_wrong_secret_is_refused(self) -> None:
        made = create_client(name="a", role="operator")
        wrong = CreatedClient(made.client_id, "wrong", made.name, made.role, made.scopes)
        assert token_of(Client(), wrong).status_code == 401
        assert token_of(Client(), wrong).json()["error"] == "invalid_client"

    def test_nobody_gets_a_scope_beyond_the_role(self) -> None:
        tenant = create_client(name="a", role="tenant")
        answer = token_of(Client(), tenant, "jobs:read events:write")
        assert answer.status_code == 400 and answer.json()["error"] == "invalid_scope"
        assert token_of(Client(), tenant, "jobs:read").json()["scope"] == "jobs:read"

    def test_without_a_token_401_without_the_scope_403(self, caller: Callable[..., Caller]) -> None:
        anonymous = Client().get("/api/events")
        assert anonymous.status_code == 401 and anonymous["WWW-Authenticate"].startswith("Bearer")
        assert anonymous["Content-Type"] == "application/problem+json" and anonymous.json()["status"] == 401
        reader = caller(scope="events:read")
        assert reader("GET", "/api/events").status_code == 200
        refused = reader("POST", "/api/events", wish())
        assert refused.status_code == 403 and refused.json()["type"] == "urn:problem:permission_denied"
        assert caller("tenant", "tenant")("GET", "/api/events").status_code == 403
        assert reader("PUT", "/api/events").status_code == 405


class TestEvents:
    def test_an_event_is_recorded_planned_and_read(self, caller: Callable[..., Caller], enqueued: Any) -> None:
        call = caller()
        answer = call("POST", "/api/events", wish(), Idempotency_Key="mine")
        assert answer.status_code == 201
        body = answer.json()
        assert body["state"] == "received" and body["idempotency_key"] == "mine" and body["region"] == REGION
        enqueued.assert_called_once_with(body["event_id"])
        assert answer["Location"].endswith(f"/api/events/{body['event_id']}")
        read = call("GET", answer["Location"])
        assert read.status_code == 200 and {**body, "delivery": None, "settlement": None} == read.json()
        assert body["starts_at"] == datetime.fromisoformat(wish()["starts_at"]).strftime("%Y-%m-%dT%H:%M:%SZ")

    def test_the_same_request_again_is_200_and_another_409(self, caller: Callable[..., Caller]) -> None:
        call = caller()
        first = call("POST", "/api/events", wish(idempotency_key="mine"))
        again = call("POST", "/api/events/", wish(), Idempotency_Key="mine")
        assert (first.status_code, again.status_code) == (201, 200) and first.json() == again.json()
        clash = call("POST", "/api/events", wish(target_kw=50.0), Idempotency_Key="mine")
        assert clash.status_code == 409 and clash.json()["type"] == "urn:problem:idempotency_key_reused"
        both = call("POST", "/api/events", wish(idempotency_key="one"), Idempotency_Key="two")
        assert both.status_code == 400 and both.json()["field"] == "idempotency_key"

    @pytest.mark.parametrize(
        ("changes", "status", "problem", "field"),
        [
            ({"programme": "none"}, 400, "unknown_programme", "programme"),
            ({"target_kw": 1e9}, 400, "event_too_large", "target_kw"),
            ({"target_kw": "much"}, 400, "invalid", "target_kw"),
            ({"target_kw": -1}, 400, "invalid_input", "target_kw"),
            ({"ends_at": "2020-01-01T00:00:00Z"}, 400, "event_ends_before_start", "ends_at"),
            (
                {"starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-01-01T01:00:00Z"},
                400,
                "unknown_programme",
                "programme",
            ),
            ({"starts_at": "2027-01-01T00:00:00"}, 400, "invalid", "starts_at"),
            ({"direction": "down"}, 400, "invalid", "direction"),
            ({"targetkw": 4}, 400, "invalid", "targetkw"),
        ],
    )
    def test_a_bad_request_names_its_field(
        self, caller: Callable[..., Caller], changes: dict[str, Any], status: int, problem: str, field: str
    ) -> None:
        answer = caller()("POST", "/api/events", wish(**changes))
        assert answer["Content-Type"] == "application/problem+json"
        body = answer.json()
        assert (answer.status_code, body["type"], body["field"]) == (status, f"urn:problem:{problem}", field)
        assert body["status"] == status and body["detail"] and GridEvent.objects.count() == 0

    def test_too_little_notice(self, caller: Callable[..., Caller]) -> None:
        soon = datetime.now(tz=UTC) + timedelta(seconds=30)
        body = wish(starts_at=soon.isoformat(), ends_at=(soon + timedelta(hours=1)).isoformat())
        answer = caller()("POST", "/api/events", body)
        assert answer.status_code == 400 and answer.json()["type"] == "urn:problem:event_too_late"
        assert "or later" in answer.json()["remedy"]

    def test_a_form_is_no_json_and_a_head_is_read_like_the_rest(self, caller: Callable[..., Caller]) -> None:
        call = caller()
        headers = {"Authorization": f"Bearer {call.token}"}
        answer = call.web.post("/api/events", {"programme": "utility-dr"}, headers=headers)
        assert answer.status_code == 415 and answer["Content-Type"] == "application/problem+json"
        assert call.web.head("/api/events", headers=headers).status_code == 200
        assert call.web.head("/api/events").status_code == 401

    def test_malformed_json_is_no_crash(self, caller: Callable[..., Caller]) -> None:
        call = caller()
        for text in ("{", "[]", '"x"', '{"target_kw": NaN}'):
            answer = call.web.generic(
                "POST",
                "/api/events",
                text,
                content_type="application/json",
                headers={"Authorization": f"Bearer {call.token}"},
            )
            assert answer.status_code == 400 and answer["Content-Type"] == "application/problem+json"

    def test_an_overlap_is_409_and_tells_no_name(self, caller: Callable[..., Caller]) -> None:
        assert caller()("POST", "/api/events", wish()).status_code == 201
        answer = caller("other-grid")("POST", "/api/events", wish())
        assert answer.status_code == 409 and answer.json()["type"] == "urn:problem:event_overlaps"
        assert "grid-co" not in answer.content.decode()

    def test_another_operators_event_is_404(self, caller: Callable[..., Caller]) -> None:
        made = caller()("POST", "/api/events", wish()).json()
        other = caller("other-grid")
        assert other("GET", "/api/events").json() == {"next": None, "results": []}
        for method, path in (
            ("GET", f"/api/events/{made['event_id']}"),
            ("DELETE", f"/api/events/{made['event_id']}"),
            ("GET", f"/api/events/{made['event_id']}/delivery"),
            ("GET", f"/api/events/{made['event_id']}/settlement"),
            ("GET", f"/api/events/{made['event_id']}/settlement/shares"),
        ):
            answer = other(method, path)
            assert answer.status_code == 404 and answer.json()["type"] == "urn:problem:event_not_found"

    def test_calling_off_plans_anew(self, caller: Callable[..., Caller], enqueued: Any) -> None:
        call = caller()
        made = call("POST", "/api/events", wish()).json()
        answer = call("DELETE", f"/api/events/{made['event_id']}")
        assert answer.status_code == 200 and answer.json()["state"] == "cancelled"
        assert enqueued.call_count == 2
        assert call("GET", "/api/events?state=cancelled").json()["results"][0]["event_id"] == made["event_id"]
        assert call("GET", "/api/events?state=planned").json()["results"] == []

    def test_a_broker_that_is_down_loses_no_event(self, caller: Callable[..., Caller], enqueued: Any) -> None:
        enqueued.side_effect = tasks.OperationalError("no broker")
        assert caller()("POST", "/api/events", wish()).status_code == 201 and GridEvent.objects.count() == 1


class TestReading:
    def test_pages_follow_one_another_and_cost_the_same(self, caller: Callable[..., Caller]) -> None:
        call = caller()
        made = [call("POST", "/api/events", wish(hour)).json()["event_id"] for hour in range(0, 10)]
        counts, seen = [], []
        url = "/api/events?page_size=4"
        while url:
            with CaptureQueriesContext(connection) as queries:
                page = call("GET", url).json()
            counts.append(len(queries))
            seen += [row["event_id"] for row in page["results"]]
            url = page["next"]
        assert seen == made[::-1] and len(counts) == 3
        with CaptureQueriesContext(connection) as queries:
            assert len(call("GET", "/api/events?page_size=1").json()["results"]) == 1
        assert set(counts) == {len(queries)}, "as many queries for one row as for four"

    @pytest.mark.parametrize("query", ["page_size=0", "page_size=1001", "page_size=x", "cursor=!", "state=odd"])
    def test_a_bad_page_is_named(self, caller: Callable[..., Caller], query: str) -> None:
        answer = caller()("GET", f"/api/events?{query}")
        assert answer.status_code == 400 and answer.json()["field"] == query.split("=")[0]

    def test_delivery_and_settlement_of_an_event(self, caller: Callable[..., Caller]) -> None:
        call = caller()
        made = call("POST", "/api/events", wish()).json()
        event_id, start = made["event_id"], datetime.fromisoformat(made["starts_at"])
        path = f"/api/events/{event_id}"
        assert call("GET", f"{path}/settlement").json()["type"] == "urn:problem:settlement_not_found"
        mark_planned(event_id=event_id, participants=[1, 2], baseline_kw=80.0, now=start - timedelta(minutes=5))
        for second in (2, 4):
            DeliverySample.objects.create(
                grid_event_id=event_id,
                at=start + timedelta(seconds=second),
                target_kw=40.0,
                baseline_kw=80.0,
                measured_kw=41.0,
                delivered_kw=39.0,
            )
        samples = call("GET", f"{path}/delivery").json()
        assert [sample["delivered_kw"] for sample in samples] == [39.0, 39.0]
        since = samples[0]["at"]
        assert call("GET", f"{path}/delivery?since={since}").json() == samples[1:]
        assert call("GET", f"{path}/delivery?since=yesterday").json()["field"] == "since"
        settle_event(event_id=event_id, now=start + timedelta(hours=2))
        body = call("GET", path).json()
        assert body["participants"] == 2 and body["delivery"] == samples[1] and body["state"] == "settled"
        settled = call("GET", f"{path}/settlement").json()
        assert settled == body["settlement"] and len(settled["steps"]) == 4
        # 90 % of 40 kW were owed for an hour less the ramp of 5 minutes: 33 kWh at 0.45
        assert settled["penalty"] == "14.8500" == settled["payment"].removeprefix("-")
        assert call("GET", "/api/settlements").json()["results"] == [settled]
        shares = call("GET", f"{path}/settlement/shares?page_size=1").json()
        assert [row["asset_id"] for row in shares["results"]] == [1] and "owner" not in str(shares)
        assert [row["asset_id"] for row in call("GET", shares["next"]).json()["results"]] == [2]
        assert call("GET", f"{path}/settlement?revision=2").status_code == 404
        assert call("GET", f"{path}/settlement?revision=x").json()["field"] == "revision"

    def test_programmes_flexibility_and_sites(self, caller: Callable[..., Caller]) -> None:
        call = caller()
        programmes = call("GET", "/api/programmes").json()
        assert [row["code"] for row in programmes] == ["fast-response", "utility-dr", "utility-dr-history"]
        assert call("GET", "/api/programmes/utility-dr").json() == programmes[1]
        assert call("GET", "/api/programmes/none").status_code == 404
        flexibility = call("GET", "/api/flexibility").json()
        assert flexibility[0]["region"] == REGION and flexibility[0]["reduction_kw"] == 0.0
        assert call("GET", "/api/flexibility?region=none").status_code == 404
        assert call("GET", "/api/sites").json() == [
            {
                "region": REGION,
                "kind": "depot",
                "sites": 1,
                "assets": 0,
                "import_limit_kw": 500.0,
                "export_limit_kw": 500.0,
            }
        ]

    @pytest.mark.parametrize("path", ["events?programme=%00", "programmes/a%00", "flexibility?region=%00"])
    def test_a_character_that_no_text_holds_is_named(self, caller: Callable[..., Caller], path: str) -> None:
        answer = caller()("GET", f"/api/{path}")
        assert answer.status_code == 400 and answer.json()["field"] in ("programme", "code", "region")

    def test_an_address_that_does_not_exist_is_a_problem_too(self, caller: Callable[..., Caller]) -> None:
        answer = caller()("GET", "/api/nothing")
        assert answer.status_code == 404 and answer["Content-Type"] == "application/problem+json"

    def test_a_client_that_calls_too_often_waits(self, caller: Callable[..., Caller], settings: Any) -> None:
        call = caller(name="busy")
        settings.API_READS_PER_MINUTE = 3
        answers = [call("GET", "/api/sites") for _ in range(9)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 3, "nine calls in at most two minutes of three each"
        assert int(refused[0]["Retry-After"]) <= 60 and refused[0].json()["type"] == "urn:problem:throttled"
        assert caller(name="calm")("GET", "/api/sites").status_code == 200
