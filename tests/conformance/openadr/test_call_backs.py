"""Subscriptions: the challenge, who is told what, where calls may go, and what becomes of call-backs that fail."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone

from grid import tasks as grid_tasks
from grid.markets.openadr_notifier import webhook
from grid.models import OpenAdrNotification, OpenAdrSubscription
from grid.operations.openadr import notifications
from tests.conformance.openadr.listener import Listener, listening
from tests.conformance.openadr.parties import REPORT, Party, enrol, node, operator, party, quiet

__all__ = ["node", "operator", "party", "quiet"]
# delivery answers the database from the main thread alone, but commits between claiming and marking
pytestmark = pytest.mark.django_db(transaction=True)
EVERYTHING = ["PROGRAM", "EVENT", "REPORT", "SUBSCRIPTION", "VEN", "RESOURCE"]


@pytest.fixture
def listener(settings: Any) -> Iterator[Listener]:
    settings.OPENADR_ALLOW_INSECURE_CALLBACKS = True
    with listening() as running:
        yield running


def wish(listener: Listener, *objects: str, **more: Any) -> dict[str, Any]:
    entry = {
        "objects": list(objects) or EVERYTHING,
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "callbackUrl": listener.url,
        "bearerToken": "let-me-in",
    }
    return {"clientName": "x", "objectOperations": [entry], **more}


def told(listener: Listener) -> list[tuple[str, str, dict[str, Any]]]:
    """Everything that is due, as it arrives."""
    grid_tasks.deliver_notifications()
    heard = []
    while not listener.told.empty():
        body = listener.told.get()[1]
        heard.append((body["objectType"], body["operation"], body["object"]))
    return sorted(heard, key=lambda entry: (entry[0], entry[1]))


class TestChallenge:
    def test_a_call_back_that_echoes_is_taken(self, node: Party, listener: Listener) -> None:
        made = node.make("/subscriptions", **wish(listener, "EVENT"))
        assert made["clientID"] == node.made.client_id and made["objectOperations"][0]["bearerToken"] == "let-me-in"
        assert listener.challenges[0]["Authorization"] == "Bearer let-me-in"

    @pytest.mark.parametrize("fault", ["silent", "failing", "redirecting", "dead"])
    def test_another_is_refused_on_create_and_on_update(self, node: Party, listener: Listener, fault: str) -> None:
        made = node.make("/subscriptions", **wish(listener, "EVENT"))
        request = wish(listener, "PROGRAM")
        if fault == "silent":
            listener.echoes = False
        elif fault == "failing":
            listener.status = 500
        elif fault == "redirecting":
            listener.status, listener.location = 302, listener.url
        else:
            request["objectOperations"][0]["callbackUrl"] = "http://127.0.0.1:9/"
        refused = node("POST", "/subscriptions", request)
        assert refused.status_code == 403 and refused.json()["field"] == "callbackUrl"
        assert node("PUT", f"/subscriptions/{made['id']}", request).status_code == 403
        assert node("GET", "/subscriptions").json() == [made]

    def test_a_token_that_no_header_can_carry_is_refused(self, node: Party, listener: Listener) -> None:
        request = wish(listener)
        request["objectOperations"][0]["bearerToken"] = "a\r\nX-Injected: b"
        assert node("POST", "/subscriptions", request).status_code == 403 and not listener.challenges

    def test_nobody_elses_subscription_is_called_or_changed(
        self, party: Callable[..., Party], node: Party, operator: Party, listener: Listener
    ) -> None:
        made = node.make("/subscriptions", **wish(listener))
        calls = len(listener.challenges)
        other = party("ven", "another")
        assert other("PUT", f"/subscriptions/{made['id']}", wish(listener)).status_code == 404
        assert other("DELETE", f"/subscriptions/{made['id']}").status_code == 404 and len(listener.challenges) == calls
        # an operator sees that there is one, but not the secret that calls carry
        assert operator("GET", "/subscriptions").json()[0]["objectOperations"][0]["bearerToken"] is None


class TestWhereCallsMayGo:
    """No call leaves for an address that is not public, however it is written or looked up."""

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.8",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ],
    )
    def test_a_name_that_leads_to_such_an_address_is_refused(self, address: str, settings: Any) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for insecure in (False, True):
            settings.OPENADR_ALLOW_INSECURE_CALLBACKS = insecure
            answer = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
            with mock.patch("socket.getaddrinfo", return_value=answer):
                if insecure and ip_address(address).is_loopback:
                    assert str(webhook.safe_target("https://a.example/").address) == address
                    continue
                with pytest.raises(webhook.CallbackRefused, match="not public"):
                    webhook.safe_target("https://a.example/call-back")

    def test_one_private_address_among_public_ones_is_enough(self) -> None:
        answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("93.184.215.14", "10.0.0.1")]
        with mock.patch("socket.getaddrinfo", return_value=answer), pytest.raises(webhook.CallbackRefused):
            webhook.safe_target("https://a.example/")

    @pytest.mark.parametrize(
        "url",
        [
            "http://a.example/",
            "http://127.0.0.1:8000/",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "ftp://a.example/",
            "file:///etc/passwd",
            "https:///x",
            "https://user:word@a.example/",
            "https://a.example:99999/",
            "https://a.example/#x",
            "urn:x",
        ],
    )
    def test_the_api_refuses_them(self, node: Party, url: str) -> None:
        request = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": url}
        answer = node("POST", "/subscriptions", {"clientName": "x", "objectOperations": [request]})
        assert answer.status_code == 403 and node.ids("/subscriptions") == []

    def test_the_address_that_was_checked_is_the_one_that_is_called(self, settings: Any, listener: Listener) -> None:
        port = int(listener.url.split(":")[2].split("/")[0])
        answers = [
            [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))],
            [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.255.255.1", port))],
        ]
        original = socket.getaddrinfo

        def rebinding(host: Any, *rest: Any, **more: Any) -> Any:
            return answers.pop(0) if host == "rebind.example" else original(host, *rest, **more)

        with mock.patch("socket.getaddrinfo", side_effect=rebinding):
            webhook.challenge(f"http://rebind.example:{port}/call-back", "")
        assert listener.challenges[0]["Host"] == f"rebind.example:{port}" and len(answers) == 1


class TestWhoIsTold:
    def test_every_change_of_every_kind(self, operator: Party, node: Party, listener: Listener) -> None:
        own = operator.make("/subscriptions", **wish(listener))
        program = operator.make("/programs", programName="p")
        event = operator.make("/events", programID=program["id"])
        ven = node.make("/vens", objectType="VEN_VEN_REQUEST", venName="n")
        resource = node.make("/resources", objectType="VEN_RESOURCE_REQUEST", resourceName="r", venID=ven["id"])
        report = node.make("/reports", eventID=event["id"], **REPORT)
        heard = told(listener)
        assert [entry[:2] for entry in heard] == [
            ("EVENT", "CREATE"),
            ("PROGRAM", "CREATE"),
            ("REPORT", "CREATE"),
            ("RESOURCE", "CREATE"),
            ("SUBSCRIPTION", "CREATE"),
            ("VEN", "CREATE"),
        ]
        assert [entry[2] for entry in heard] == [event, program, report, resource, own, ven]
        operator("PUT", f"/events/{event['id']}", {"programID": program["id"], "eventName": "x"})
        node("DELETE", f"/vens/{ven['id']}")
        operator("DELETE", f"/programs/{program['id']}")
        assert [entry[:2] for entry in told(listener)] == [
            ("EVENT", "DELETE"),
            ("EVENT", "UPDATE"),
            ("PROGRAM", "DELETE"),
            ("RESOURCE", "DELETE"),
            ("VEN", "DELETE"),
        ]

    def test_only_what_is_named_and_of_the_programme(self, operator: Party, node: Party, listener: Listener) -> None:
        first, second = (operator.make("/programs", programName=name)["id"] for name in "ab")
        node.make("/subscriptions", **wish(listener, "EVENT", programID=first))
        event = operator.make("/events", programID=first)
        operator.make("/events", programID=second)
        operator("PUT", f"/programs/{first}", {"programName": "c"})
        assert [entry[2] for entry in told(listener)] == [event]

    def test_targets_are_granted_asked_for_and_hidden(self, operator: Party, node: Party, listener: Listener) -> None:
        program = operator.make("/programs", programName="p")["id"]
        enrol(operator, node, "group-1")
        node.make("/subscriptions", **wish(listener, "EVENT", targets=["group-1", "group-2"]))
        for targets in (None, ["group-1", "secret"], ["group-2"], ["secret"]):
            operator.make("/events", programID=program, targets=targets)
        heard = told(listener)
        assert [entry[2]["targets"] for entry in heard] == [["group-1"]]

    def test_other_parties_hear_nothing(
        self, party: Callable[..., Party], operator: Party, node: Party, listener: Listener
    ) -> None:
        for outsider in (party("ven", "another"), party("bl", "another operator")):
            outsider.make("/subscriptions", **wish(listener, "EVENT", "REPORT", "PROGRAM"))
        program = operator.make("/programs", programName="p", targets=["secret"])
        event = operator.make("/events", programID=program["id"], targets=["secret"])
        enrol(operator, node, "secret")
        node.make("/reports", eventID=event["id"], **REPORT)
        assert told(listener) == []

    def test_a_notification_carries_token_and_key_and_is_sent_once(self, operator: Party, listener: Listener) -> None:
        operator.make("/subscriptions", **wish(listener, "PROGRAM"))
        operator.make("/programs", programName="p")
        assert grid_tasks.deliver_notifications() == 1 and grid_tasks.deliver_notifications() == 0
        headers, body = listener.told.get_nowait()
        assert headers["Authorization"] == "Bearer let-me-in" and headers["Idempotency-Key"]
        assert headers["Content-Type"] == "application/json" and set(body) == {"objectType", "operation", "object"}

    def test_one_call_back_hears_changes_in_their_order(self, operator: Party, listener: Listener) -> None:
        operator.make("/subscriptions", **wish(listener, "PROGRAM"))
        program = operator.make("/programs", programName="0")
        for number in range(1, 8):
            operator("PUT", f"/programs/{program['id']}", {"programName": str(number)})
        grid_tasks.deliver_notifications()
        assert [listener.next()["object"]["programName"] for _ in range(8)] == list("01234567")


class TestFailures:
    def test_what_failed_is_tried_again_ever_later(self, operator: Party, listener: Listener) -> None:
        operator.make("/subscriptions", **wish(listener, "PROGRAM"))
        operator.make("/programs", programName="p")
        listener.status = 503
        waits = []
        for attempt in range(1, 5):
            OpenAdrNotification.objects.update(due_at=timezone.now())
            assert grid_tasks.deliver_notifications() == 0
            row = OpenAdrNotification.objects.get()
            assert row.attempts == attempt and "503" in row.last_error and row.state == "waiting"
            waits.append(round((row.due_at - timezone.now()).total_seconds()))
        assert waits == [5, 10, 20, 40]
        listener.status = 200
        OpenAdrNotification.objects.update(due_at=timezone.now())
        assert grid_tasks.deliver_notifications() == 1
        assert OpenAdrSubscription.objects.get().failing_since is None

    def test_one_that_fails_for_long_is_broken_until_it_is_renewed(self, operator: Party, listener: Listener) -> None:
        made = operator.make("/subscriptions", **wish(listener, "PROGRAM"))
        operator.make("/programs", programName="p")
        listener.status = 500
        grid_tasks.deliver_notifications()
        OpenAdrSubscription.objects.update(failing_since=timezone.now() - notifications.BROKEN_AFTER)
        OpenAdrNotification.objects.update(due_at=timezone.now())
        grid_tasks.deliver_notifications()
        assert OpenAdrSubscription.objects.get().broken_at is not None
        assert OpenAdrNotification.objects.get().state == "given_up"
        operator.make("/programs", programName="q")
        assert OpenAdrNotification.objects.count() == 1
        listener.status = 200
        assert operator("PUT", f"/subscriptions/{made['id']}", wish(listener, "PROGRAM")).status_code == 200
        operator.make("/programs", programName="r")
        assert [entry[2]["programName"] for entry in told(listener)] == ["r"]

    def test_who_dies_while_it_delivers_frees_what_it_held(self, operator: Party, listener: Listener) -> None:
        operator.make("/subscriptions", **wish(listener, "PROGRAM"))
        operator.make("/programs", programName="p")
        now = timezone.now()
        assert len(notifications.claim_due(now=now)) == 1 and notifications.claim_due(now=now) == []
        again = notifications.claim_due(now=now + notifications.LEASE)
        assert len(again) == 1
        notifications.mark_delivered(row_id=again[0].row_id)
        assert notifications.claim_due(now=now + timedelta(days=1)) == []

    def test_a_change_that_is_rolled_back_is_not_told(self, operator: Party, listener: Listener) -> None:
        operator.make("/subscriptions", **wish(listener, "PROGRAM"))
        operator.make("/programs", programName="p")
        operator("POST", "/programs", {"programName": "p"})
        assert len(told(listener)) == 1

    def test_old_ones_are_forgotten_waiting_ones_are_not(self, operator: Party, listener: Listener) -> None:
        operator.make("/subscriptions", **wish(listener, "PROGRAM"))
        operator.make("/programs", programName="p")
        told(listener)
        operator.make("/programs", programName="q")
        later = timezone.now() + timedelta(days=30)
        assert notifications.forget_old_notifications(now=later) == 1
        assert json.loads(json.dumps(OpenAdrNotification.objects.get().payload))["object"]["programName"] == "q"
