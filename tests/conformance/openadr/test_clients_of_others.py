"""Public OpenADR 3 clients of others run their flows against our VTN, over real HTTP.

- python-oa3-client, a 3.1 client for operators and nodes, on top of openadr3;
- toadr3, a node of its own make. It was written for 3.0.1, whose targets and programme descriptions had other forms: it meets objects without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import toadr3
from openadr3.api import success
from openadr3.entities.models import Event, Program, Report
from openadr3_client.bl import BlClient
from openadr3_client.ven import VenClient

from aggregator.operations.clients import CreatedClient, create_client
from tests.conformance.openadr.server import ROOT, web_server

pytestmark = pytest.mark.django_db(transaction=True)
START = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
WISH: dict[str, Any] = {
    "eventName": "evening",
    "intervalPeriod": {"start": START.isoformat().replace("+00:00", "Z"), "duration": "PT1H"},
    "intervals": [{"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [-20.0]}]}],
}
REPORT: dict[str, Any] = {
    "clientName": "VEN-1",
    "resources": [
        {
            "resourceName": "AGGREGATED_REPORT",
            "intervals": [{"id": 0, "payloads": [{"type": "READING", "values": [1.5]}]}],
        }
    ],
}


@pytest.fixture
def address(platform_environment: dict[str, str]) -> Iterator[str]:
    with web_server(platform_environment, OPENADR_MQTT_URIS="mqtts://broker.example:8883") as running:
        yield running


def credentials(made: CreatedClient) -> dict[str, str]:
    return {"client_id": made.client_id, "client_secret": made.client_secret}


def test_clients_of_others(address: str) -> None:
    operator_login = credentials(create_client(name="their operator", role="bl"))
    node_login = credentials(create_client(name="their node", role="ven"))
    with BlClient(url=f"{address}{ROOT}", **operator_login) as operator:
        check_python_oa3_client(operator, f"{address}{ROOT}", node_login)
        asyncio.run(check_toadr3(operator, address, credentials(create_client(name="a third", role="ven"))))


def check_python_oa3_client(operator: BlClient, url: str, login: dict[str, str]) -> None:
    program = operator.create_program({"programName": "EVENING"})
    assert success(program)
    with VenClient(url=url, **login) as node:
        node.register("VEN-1")
        again = VenClient(url=url, **login)
        with again:
            assert again.register("VEN-1").ven_id == node.ven_id
        found = node.find_program_by_name("EVENING")
        assert isinstance(found, Program) and found.id == program.json()["id"]
        made = operator.create_event({"programID": found.id, **WISH}).json()
        (event,) = node.poll_events("EVENING")
        assert isinstance(event, Event) and event.id == made["id"]
        interval = event.intervals[0]
        assert interval.payloads[0].values == [-20.0]
        told = node.create_report({"eventID": event.id, **REPORT})
        assert success(told)
        (report,) = operator.reports(eventID=event.id)
        assert isinstance(report, Report) and report.id == told.json()["id"]
        assert operator.update_event(event.id, {"programID": found.id, **WISH, "priority": 1}).json()["priority"] == 1
        assert node.vtn_supports_mqtt() and node.get_mqtt_broker_uris() == ["mqtts://broker.example:8883"]
        assert success(node.get_mqtt_topics_ven_events())
        refused = node.create_event({"programID": found.id})
        assert refused.status_code == 403 and refused.json()["title"]
        assert success(operator.delete_event(event.id)) and node.poll_events("EVENING") == []


async def check_toadr3(operator: BlClient, address: str, login: dict[str, str]) -> None:
    program = operator.create_program({"programName": "FLAT", "payloadDescriptors": None}).json()
    event = operator.create_event({"programID": program["id"], **WISH}).json()
    scope = "read_targets read_ven_objects write_reports"
    oauth = toadr3.OAuthScopeConfig(
        token_url=f"{address}{ROOT}/auth/token", grant_type="client_credentials", scope=scope, **login
    )
    async with toadr3.ToadrClient(f"{address}{ROOT}", oauth) as node:
        programs = await node.get_programs()
        assert [one.program_name for one in programs if one.id == program["id"]] == ["FLAT"]
        (found,) = await node.get_events(program_id=program["id"], skip=0, limit=10)
        assert found.id == event["id"] and found.intervals[0].payloads[0].values == [-20.0]
        with pytest.raises(toadr3.ToadrError) as refused:
            await node.get_events(extra_params={"active": "perhaps"})
        assert refused.value.status_code == 400
