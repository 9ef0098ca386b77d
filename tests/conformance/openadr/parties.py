"""Parties of the VTN for tests: operators and nodes with tokens of their own."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from django.test import Client

from aggregator import tasks
from aggregator.operations.clients import CreatedClient, create_client
from grid import tasks as grid_tasks
from grid.api.openadr.description import _validator
from tests.conformance.openadr.server import ROOT


@dataclass
class Party:
    """A client with a token. Every problem is held against the description's."""

    made: CreatedClient
    token: str

    def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        answer = Client().generic(
            method,
            f"{ROOT}{path}",
            "" if body is None else json.dumps(body),
            content_type="application/json",
            query_params=query or None,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        assert answer["Content-Type"] == "application/json"
        if answer.status_code >= 400:
            _validator("problem").validate(answer.json())
            assert answer.json()["status"] == answer.status_code and answer.json()["detail"]
        return answer

    def make(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self("POST", path, body)
        assert answer.status_code == 201, answer.json()
        return answer.json()

    def ids(self, path: str, **query: Any) -> list[str]:
        answer = self("GET", path, **query)
        assert answer.status_code == 200, answer.json()
        return [item["id"] for item in answer.json()]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Nothing is enqueued: answers and deliveries have tests of their own."""
    with (
        mock.patch.object(tasks.answer_openadr_event, "delay_on_commit"),
        mock.patch.object(grid_tasks.deliver_notifications, "delay_on_commit"),
    ):
        yield


def ask_for_token(client: CreatedClient, *, basic: bool = False, **form: str) -> Any:
    fields = {"grant_type": "client_credentials", **form}
    headers = {}
    if basic:
        pair = b64encode(f"{client.client_id}:{client.client_secret}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    else:
        fields = {"client_id": client.client_id, "client_secret": client.client_secret, **fields}
    return Client().post(
        f"{ROOT}/auth/token",
        "&".join(f"{name}={value}" for name, value in fields.items()),
        content_type="application/x-www-form-urlencoded",
        headers=headers,
    )


@pytest.fixture
def party() -> Callable[..., Party]:
    def make(role: str, name: str = "", scope: str = "") -> Party:
        made = create_client(name=name or f"the {role}", role=role)
        answer = ask_for_token(made, **({"scope": scope} if scope else {}))
        assert answer.status_code == 200, answer.content
        return Party(made, answer.json()["access_token"])

    return make


@pytest.fixture
def operator(party: Callable[..., Party]) -> Party:
    return party("bl")


@pytest.fixture
def node(party: Callable[..., Party]) -> Party:
    return party("ven")


def enrol(operator: Party, node: Party, *targets: str, name: str = "node-1") -> dict[str, Any]:
    return operator.make(
        "/vens",
        objectType="BL_VEN_REQUEST",
        clientID=node.made.client_id,
        venName=name,
        **({"targets": list(targets)} if targets else {}),
    )


REPORT = {
    "clientName": "node-1",
    "resources": [
        {
            "resourceName": "AGGREGATED_REPORT",
            "intervals": [{"id": 0, "payloads": [{"type": "READING", "values": [1.5]}]}],
        }
    ],
}
