"""Writers that meet: none waits for another for ever, and none sees a server error."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from tests.conformance.openadr.parties import Party, enrol, node, operator, party, quiet

__all__ = ["node", "operator", "party", "quiet"]
pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 25


def together(*calls: Callable[[int], Any]) -> list[int]:
    """Each call so many times, all at once; the statuses."""

    def run(call: Callable[[int], Any]) -> list[int]:
        try:
            return [call(number).status_code for number in range(ROUNDS)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [status for statuses in pool.map(run, calls) for status in statuses]


def test_a_programme_and_its_events_are_changed_at_once(operator: Party) -> None:
    program = operator.make("/programs", programName="p")
    event = operator.make("/events", programID=program["id"])
    statuses = together(
        lambda n: operator("PUT", f"/programs/{program['id']}", {"programName": f"p{n}"}),
        lambda n: operator("PUT", f"/events/{event['id']}", {"programID": program["id"], "priority": n}),
        lambda n: operator("PUT", f"/events/{event['id']}", {"programID": program["id"], "eventName": str(n)}),
    )
    assert set(statuses) == {200}


def test_a_node_and_its_resources_are_changed_at_once(operator: Party, node: Party) -> None:
    ven = enrol(operator, node)
    body = {"objectType": "VEN_RESOURCE_REQUEST", "resourceName": "r", "venID": ven["id"]}
    resource = node.make("/resources", **body)
    change = {"objectType": "BL_VEN_REQUEST", "clientID": node.made.client_id, "venName": "node-1"}
    statuses = together(
        lambda n: operator("PUT", f"/vens/{ven['id']}", {**change, "targets": [str(n)]}),
        lambda n: node("PUT", f"/resources/{resource['id']}", body),
        lambda n: node("PUT", f"/resources/{resource['id']}", {**body, "resourceName": f"r{n}"}),
    )
    assert set(statuses) == {200}


def test_a_name_is_given_once(operator: Party) -> None:
    statuses = together(*[lambda n: operator("POST", "/programs", {"programName": f"name {n}"})] * 3)
    assert sorted(statuses) == [201] * ROUNDS + [409] * 2 * ROUNDS
