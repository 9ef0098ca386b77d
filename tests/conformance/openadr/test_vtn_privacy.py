"""What makes a VTN conformant: privacy, targets, and the broker's topics."""

from __future__ import annotations

from collections.abc import Callable

import jsonschema_rs
import pytest
from django.test import override_settings

from grid.api.openadr.description import _validator
from tests.conformance.openadr.parties import REPORT, Party, enrol, node, operator, party, quiet

__all__ = ["node", "operator", "party", "quiet"]
pytestmark = pytest.mark.django_db


class TestPrivacy:
    def test_the_vtn_writes_the_clientid_of_the_token(self, node: Party) -> None:
        made = node.make("/vens", objectType="VEN_VEN_REQUEST", venName="a", clientID="somebody-else")
        assert made["clientID"] == node.made.client_id

    def test_a_node_sees_what_is_its_own_and_an_empty_list_otherwise(
        self, party: Callable[..., Party], operator: Party, node: Party
    ) -> None:
        other = party("ven", "another")
        ven = node.make("/vens", objectType="VEN_VEN_REQUEST", venName="a")
        resource = node.make("/resources", objectType="VEN_RESOURCE_REQUEST", resourceName="r", venID=ven["id"])
        event = operator.make("/events", programID=operator.make("/programs", programName="p")["id"])
        report = node.make("/reports", eventID=event["id"], **REPORT)
        for kind, made in (("vens", ven), ("resources", resource), ("reports", report)):
            assert node.ids(f"/{kind}") == operator.ids(f"/{kind}") == [made["id"]] and other.ids(f"/{kind}") == []
            for method in ("GET", "DELETE"):
                assert other(method, f"/{kind}/{made['id']}").status_code == 404
            assert node("GET", f"/{kind}/{made['id']}").json() == made
        body = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "s", "venID": ven["id"]}
        assert other("POST", "/resources", body).status_code == 404
        assert other("PUT", f"/vens/{ven['id']}", {"objectType": "VEN_VEN_REQUEST", "venName": "b"}).status_code == 404

    def test_an_operator_does_not_see_anothers_business(
        self, party: Callable[..., Party], operator: Party, node: Party
    ) -> None:
        other = party("bl", "another operator")
        program = operator.make("/programs", programName="p")
        event = operator.make("/events", programID=program["id"])
        node.make("/reports", eventID=event["id"], **REPORT)
        enrol(operator, node)
        for kind in ("programs", "events", "reports", "vens"):
            assert other.ids(f"/{kind}") == [] and len(operator.ids(f"/{kind}")) == 1
        assert other("GET", f"/events/{event['id']}").status_code == 404
        assert other("POST", "/events", {"programID": program["id"]}).status_code == 409
        assert other("PUT", f"/programs/{program['id']}", {"programName": "q"}).status_code == 404

    def test_only_operators_write_targets(self, operator: Party, node: Party) -> None:
        as_operator = {"objectType": "BL_VEN_REQUEST", "clientID": node.made.client_id, "venName": "a"}
        assert node("POST", "/vens", as_operator).status_code == 403
        ven = node.make("/vens", objectType="VEN_VEN_REQUEST", venName="a", targets=["secret"])
        assert not ven.get("targets")
        assert operator("PUT", f"/vens/{ven['id']}", {**as_operator, "targets": ["granted"]}).status_code == 200
        kept = node("PUT", f"/vens/{ven['id']}", {"objectType": "VEN_VEN_REQUEST", "venName": "b", "targets": ["x"]})
        assert kept.json()["targets"] == ["granted"] and kept.json()["venName"] == "b"
        resource = {"objectType": "BL_RESOURCE_REQUEST", "clientID": "foreign", "resourceName": "r", "venID": ven["id"]}
        assert operator("POST", "/resources", resource).status_code == 409


class TestTargets:
    def test_a_node_sees_what_it_was_granted_and_asks_for(self, operator: Party, node: Party) -> None:
        enrol(operator, node, "group-1", "group-2")
        program = operator.make("/programs", programName="open")
        opened = operator.make("/events", programID=program["id"])
        one = operator.make("/events", programID=program["id"], targets=["group-1", "hidden"])
        foreign = operator.make("/events", programID=program["id"], targets=["hidden"])
        assert node.ids("/events") == [opened["id"]]
        assert node.ids("/events", targets="group-1") == [one["id"]]
        assert node.ids("/events", targets=["group-1", "hidden"]) == [one["id"]]
        assert node.ids("/events", targets="hidden") == [] and node.ids("/events", targets="group-2") == []
        assert node("GET", "/events", targets="group-1").json()[0]["targets"] == ["group-1"]
        assert node("GET", f"/events/{one['id']}").json()["targets"] == ["group-1"]
        assert node("GET", f"/events/{foreign['id']}").status_code == 404
        assert operator("GET", f"/events/{one['id']}").json()["targets"] == ["group-1", "hidden"]
        assert node("POST", "/reports", {**REPORT, "eventID": foreign["id"]}).status_code == 409

    def test_targets_of_resources_count_and_a_client_without_a_node_has_none(
        self, operator: Party, node: Party
    ) -> None:
        program = operator.make("/programs", programName="p", targets=["feeder-7"])
        assert node.ids("/programs", targets="feeder-7") == []
        ven = enrol(operator, node)
        resource = {"resourceName": "r", "venID": ven["id"], "clientID": node.made.client_id, "targets": ["feeder-7"]}
        operator.make("/resources", objectType="BL_RESOURCE_REQUEST", **resource)
        assert node.ids("/programs", targets="feeder-7") == [program["id"]]
        assert operator.ids("/resources", targets="feeder-7") and operator.ids("/vens", targets="feeder-7") == []


class TestNotifiers:
    def test_call_backs_always_and_the_broker_where_it_is_public(self, node: Party) -> None:
        assert node("GET", "/notifiers").json() == {"WEBHOOK": True}
        with override_settings(OPENADR_MQTT_URIS=["mqtts://broker.example:8883"], MQTT_CREDENTIALS_FILE=""):
            told = node("GET", "/notifiers").json()
        _validator("notifiersResponse").validate(told)
        assert told["MQTT"]["authentication"] == {"method": "OAUTH2_BEARER_TOKEN", "username": "{clientID}"}

    def test_topics_lie_in_the_callers_own_branch(self, operator: Party, node: Party) -> None:
        program, ven = operator.make("/programs", programName="p"), enrol(operator, node)
        secret = operator.make("/programs", programName="q", targets=["x"])
        branch = f"openadr/3.1.0/{node.made.client_id}/"
        for path in (
            "programs",
            f"programs/{program['id']}/events",
            f"vens/{ven['id']}/events",
            f"vens/{ven['id']}/programs",
            f"vens/{ven['id']}/resources",
        ):
            topics = node("GET", f"/notifiers/mqtt/topics/{path}").json()
            _validator("notifierTopicsResponse").validate(topics)
            assert topics["topics"] == {
                "CREATE": f"{branch}{path}/create",
                "UPDATE": f"{branch}{path}/update",
                "DELETE": f"{branch}{path}/delete",
                "ALL": f"{branch}{path}/+",
            }
        for path in (f"programs/{program['id']}", f"vens/{ven['id']}"):
            assert "CREATE" not in node("GET", f"/notifiers/mqtt/topics/{path}").json()["topics"]
        assert node("GET", f"/notifiers/mqtt/topics/programs/{secret['id']}/events").status_code == 404
        for path in ("events", "reports", "subscriptions", "vens", "resources"):
            assert operator("GET", f"/notifiers/mqtt/topics/{path}").status_code == 200


def test_the_description_is_the_official_one_and_read_whole() -> None:
    for name in ("program", "event", "report", "subscription", "venRequest", "resourceRequest", "problem"):
        assert isinstance(_validator(name), jsonschema_rs.Draft7Validator)
