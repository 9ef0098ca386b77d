"""What makes a VTN conformant, rule by rule: tokens, status codes, problems, names, lists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.test import Client

from aggregator.operations.clients import CreatedClient, create_client
from grid.api.openadr.description import _validator
from tests.conformance.openadr.parties import REPORT, Party, ask_for_token, enrol, node, operator, party, quiet
from tests.conformance.openadr.server import ROOT

__all__ = ["node", "operator", "party", "quiet"]
pytestmark = pytest.mark.django_db


class TestTokens:
    @pytest.mark.parametrize("basic", [True, False])
    def test_a_client_shows_its_secret_in_either_way(self, basic: bool) -> None:
        answer = ask_for_token(create_client(name="a", role="ven"), basic=basic)
        assert answer.status_code == 200
        _validator("clientCredentialResponse").validate(answer.json())
        assert {"read_targets", "read_ven_objects", "write_reports"} <= set(answer.json()["scope"].split())

    def test_a_wrong_secret_and_a_wrong_grant(self) -> None:
        made = create_client(name="a", role="ven")
        wrong = ask_for_token(CreatedClient(made.client_id, "wrong", made.name, made.role, made.scopes))
        assert wrong.status_code == 401 and wrong.json()["error"] == "invalid_client"
        assert wrong["Content-Type"] == "application/json" and wrong.json()["status"] == 401
        grant = ask_for_token(made, grant_type="made_up")
        assert grant.status_code == 400 and grant.json()["error"] == "unsupported_grant_type"

    @pytest.mark.parametrize(("role", "scope"), [("ven", "read_all"), ("ven", "write_events"), ("bl", "write_reports")])
    def test_nobody_gets_the_other_partys_scopes(self, role: str, scope: str) -> None:
        answer = ask_for_token(create_client(name="a", role=role), scope=scope)
        assert answer.status_code == 400 and answer.json()["error"] == "invalid_scope"

    def test_the_server_says_where_tokens_are(self) -> None:
        answer = Client().get(f"{ROOT}/auth/server")
        assert answer.json() == {"tokenURL": f"http://testserver{ROOT}/auth/token"}


class TestStatuses:
    def test_without_a_token_401(self) -> None:
        answer = Client().get(f"{ROOT}/programs")
        assert answer.status_code == 401 and answer.json()["status"] == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        ("role", "method", "path"),
        [
            ("ven", "POST", "/programs"),
            ("ven", "POST", "/events"),
            ("bl", "POST", "/reports"),
            ("ven", "GET", "/notifiers/mqtt/topics/events"),
            ("ven", "GET", "/notifiers/mqtt/topics/vens"),
            ("tenant", "GET", "/programs"),
        ],
    )
    def test_without_the_scope_403(self, party: Callable[..., Party], role: str, method: str, path: str) -> None:
        assert party(role)(method, path, {} if method == "POST" else None).status_code == 403

    def test_a_narrow_token_can_no_more_than_it_says(self, party: Callable[..., Party]) -> None:
        narrow = party("bl", scope="write_programs")
        assert narrow("POST", "/programs", {"programName": "a"}).status_code == 201
        assert narrow("GET", "/programs").status_code == 403

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/programs", {}, ""),
            ("/programs", {"programName": ""}, "programName"),
            ("/programs", {"programName": "a", "targets": [7]}, "targets.0"),
            ("/events", {"eventName": "x"}, ""),
            ("/events", {"programID": "no", "intervals": [{"id": "0", "payloads": []}]}, "intervals.0.id"),
            ("/events", {"programID": "no", "intervalPeriod": {"start": "yesterday"}}, "intervalPeriod.start"),
            ("/events", {"programID": "no", "duration": "an hour"}, "duration"),
            ("/vens", {"venName": "a"}, ""),
            ("/resources", {"objectType": "BL_RESOURCE_REQUEST", "resourceName": "a"}, ""),
            ("/subscriptions", {"clientName": "a"}, ""),
        ],
    )
    def test_what_lacks_or_breaks_a_property_is_400_and_makes_nothing(
        self, operator: Party, path: str, body: dict[str, Any], field: str
    ) -> None:
        answer = operator("POST", path, body)
        assert answer.status_code == 400 and answer.json().get("field", "") == field
        assert operator.ids(path) == []

    @pytest.mark.parametrize("text", ["{", "[]", "null", '"x"', '{"programName": 1e999}'])
    def test_a_body_that_is_no_object_is_400(self, operator: Party, text: str) -> None:
        answer = Client().generic(
            "POST",
            f"{ROOT}/programs",
            text,
            content_type="application/json",
            headers={"Authorization": f"Bearer {operator.token}"},
        )
        assert answer.status_code == 400 and answer.json()["status"] == 400

    @pytest.mark.parametrize("kind", ["programs", "events", "vens", "resources", "subscriptions"])
    def test_what_does_not_exist_is_404(self, operator: Party, kind: str) -> None:
        for method in ("GET", "DELETE"):
            assert operator(method, f"/{kind}/nothing").status_code == 404

    def test_an_address_that_does_not_exist_is_a_problem_too(self, operator: Party) -> None:
        assert operator("GET", "/nothing").status_code == 404
        assert operator("PUT", "/programs", {}).status_code == 405

    def test_a_second_name_is_409(self, operator: Party, node: Party) -> None:
        first = operator.make("/programs", programName="a")
        other = operator.make("/programs", programName="b")
        assert operator("POST", "/programs", {"programName": "a"}).status_code == 409
        assert operator("PUT", f"/programs/{other['id']}", {"programName": "a"}).status_code == 409
        assert operator("PUT", f"/programs/{first['id']}", {"programName": "a"}).status_code == 200
        ven = enrol(operator, node)
        again = {"objectType": "BL_VEN_REQUEST", "clientID": "x", "venName": "node-1"}
        assert operator("POST", "/vens", again).status_code == 409
        resource = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "r", "venID": ven["id"]}
        assert node("POST", "/resources", resource).status_code == 201
        assert node("POST", "/resources", resource).status_code == 409

    def test_what_refers_to_nothing_is_409_or_404(self, operator: Party, node: Party) -> None:
        assert operator("POST", "/events", {"programID": "none"}).status_code == 409
        assert node("POST", "/reports", {**REPORT, "eventID": "none"}).status_code == 409
        resource = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "r", "venID": "none"}
        assert node("POST", "/resources", resource).status_code == 404

    def test_what_nobody_expected_is_a_problem_with_500(self, operator: Party) -> None:
        with mock.patch("grid.api.openadr.programs.programs", side_effect=RuntimeError):
            assert operator("GET", "/programs").status_code == 500


class TestObjects:
    def test_the_vtn_writes_the_metadata_whatever_is_sent(self, operator: Party) -> None:
        body = {"programName": "a", "id": "mine", "objectType": "EVENT", "createdDateTime": "2020-01-01T00:00:00Z"}
        made = operator.make("/programs", **body)
        assert made["id"] != "mine" and made["objectType"] == "PROGRAM"
        assert not made["createdDateTime"].startswith("2020")
        changed = operator("PUT", f"/programs/{made['id']}", {**made, "programName": "b", "id": "other"}).json()
        assert changed["id"] == made["id"] and changed["createdDateTime"] == made["createdDateTime"]
        assert changed["modificationDateTime"] >= made["modificationDateTime"] and changed["programName"] == "b"

    def test_what_no_schema_defines_is_left_out(self, operator: Party) -> None:
        assert "own" not in operator.make("/programs", programName="a", own=1)

    def test_any_text_of_json_comes_back_as_it_was_sent(self, operator: Party) -> None:
        name = "需要\x00\ud800\\u0000 é"
        made = operator.make("/programs", programName=name, targets=[name])
        read = operator("GET", f"/programs/{made['id']}").json()
        assert read["programName"] == name and operator.ids("/programs", targets="\\") == []
        assert operator("POST", "/programs", {"programName": name}).status_code == 409
        ven = operator.make("/vens", objectType="BL_VEN_REQUEST", clientID=name, venName=name)
        assert ven["clientID"] == name and operator("GET", f"/vens/{ven['id']}").json() == ven

    def test_every_representation_has_the_shape_that_is_described(self, operator: Party, node: Party) -> None:
        program = operator.make("/programs", programName="a", targets=None, attributes=[{"type": "X", "values": [1]}])
        event = operator.make("/events", programID=program["id"], intervals=[], priority=3)
        _validator("program").validate(program)
        _validator("event").validate(event)
        _validator("report").validate(node.make("/reports", eventID=event["id"], **REPORT))
        # the description wants two values of objectType at once in these two; the rest of them holds
        ven = enrol(operator, node)
        assert ven["objectType"] == "VEN"
        _validator("BlVenRequest").validate({**ven, "objectType": "BL_VEN_REQUEST"})
        resource = node.make("/resources", objectType="VEN_RESOURCE_REQUEST", resourceName="r", venID=ven["id"])
        assert resource["objectType"] == "RESOURCE" and resource["clientID"] == node.made.client_id
        _validator("BlResourceRequest").validate({**resource, "objectType": "BL_RESOURCE_REQUEST"})

    def test_a_programme_that_goes_takes_its_events_but_not_what_was_reported(
        self, operator: Party, node: Party
    ) -> None:
        program = operator.make("/programs", programName="a")
        event = operator.make("/events", programID=program["id"])
        report = node.make("/reports", eventID=event["id"], **REPORT)
        assert operator("DELETE", f"/programs/{program['id']}").json()["id"] == program["id"]
        assert operator.ids("/events") == [] and operator.ids("/reports") == [report["id"]]
        assert node("PUT", f"/reports/{report['id']}", {**REPORT, "eventID": event["id"]}).status_code == 200


class TestLists:
    def test_skip_and_limit(self, operator: Party) -> None:
        made = [operator.make("/programs", programName=str(number))["id"] for number in range(55)]
        assert operator.ids("/programs") == made[:50]
        assert operator.ids("/programs", skip=50) == made[50:]
        assert operator.ids("/programs", skip=3, limit=2) == made[3:5] and operator.ids("/programs", limit=0) == []
        for query in ({"limit": 51}, {"limit": "x"}, {"skip": -1}, {"skip": 1e9 * 10}):
            assert operator("GET", "/programs", **query).status_code == 400

    def test_filters_are_anded(self, operator: Party, node: Party) -> None:
        first, second = (operator.make("/programs", programName=name)["id"] for name in "ab")
        events = [
            operator.make("/events", programID=program, targets=targets)["id"]
            for program, targets in ((first, ["x", "y"]), (first, ["x"]), (second, ["x"]))
        ]
        assert operator.ids("/events", programID=first, targets="x") == events[:2]
        assert operator.ids("/events", programID=first, targets=["x", "y"]) == events[:1]
        assert operator.ids("/events", programID="none") == []
        reports = [
            node.make("/reports", eventID=operator.make("/events", programID=p)["id"], **REPORT)["id"]
            for p in (first, second)
        ]
        assert operator.ids("/reports", programID=first) == reports[:1]
        assert operator.ids("/reports", programID=first, clientName="other") == []
        assert operator("GET", "/events", programID="no way").status_code == 400

    def test_active_leaves_out_what_is_over(self, operator: Party) -> None:
        program = operator.make("/programs", programName="a")["id"]
        hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        interval = {"id": 0, "payloads": []}

        def event(start: str | None, each: str, **more: Any) -> str:
            period = {"duration": each, **({"start": start} if start else {})}
            return operator.make("/events", programID=program, intervalPeriod=period, intervals=[interval], **more)[
                "id"
            ]

        over = event(hour_ago, "PT30M")
        running = event(hour_ago, "PT90M")
        looping = event(hour_ago, "PT30M", duration="P1D")
        endless, timeless, now = event(hour_ago, "P9999Y"), event(None, "PT1M"), event("0001-01-01", "PT5M")
        assert operator.ids("/events", active="true") == [running, looping, endless, timeless, now]
        assert over in operator.ids("/events", active="false") and over in operator.ids("/events")
        assert operator("GET", "/events", active="maybe").status_code == 400
