"""The official description under schemathesis: all 45 operations, as an operator and as a node, without one failure.

`OPENADR_EXAMPLES=200` makes it look longer; the default keeps it within a minute.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from grid.api.openadr.description import DESCRIPTION
from tests.conformance.openadr.listener import listening
from tests.conformance.openadr.server import REPOSITORY, ROOT, vtn_client, web_server

OPERATIONS = 45
EXAMPLES = os.environ.get("OPENADR_EXAMPLES", "")
# what a node may is a part of what an operator may: by default it gets the random cases alone
PHASES = {"bl": "examples,coverage,fuzzing,stateful", "ven": "examples,fuzzing"}
EVERY_PHASE = PHASES["bl"]
CONFIGURATION = """
[phases.coverage]
unexpected-methods = ["PATCH", "OPTIONS"]
"""
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def readable_description() -> dict[str, Any]:
    """The description, with two things mended in which it contradicts itself or the specification.

    - `ven` and `resource` want their objectType to be both VEN (or RESOURCE) and BL_…_REQUEST, which no answer can be.
      The specification says that the VTN writes the former, so the answers are not held to the latter.
    - Several operations forget that their body is required; the specification refuses one without its required fields.
    """
    description = yaml.safe_load(DESCRIPTION.read_text())
    schemas = description["components"]["schemas"]
    for operations in description["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict) and "requestBody" in operation:
                operation["requestBody"]["required"] = True
    for name, request in (("ven", "BlVenRequest"), ("resource", "BlResourceRequest")):
        shown = copy.deepcopy(schemas[request])
        del shown["properties"]["objectType"]
        schemas[name]["allOf"][1] = shown
    return description


def make_objects(address: str, role: str, call_back: str) -> dict[str, str]:
    """One object of each kind that the role may see, by the name of its identifier, and the role's token."""
    (operator, _), (node, node_client) = vtn_client(address, "bl"), vtn_client(address, "ven")
    caller = operator if role == "bl" else node

    def make(client: httpx.Client, path: str, **body: Any) -> str:
        answer = client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    entry = {"objects": ["EVENT"], "operations": ["CREATE"], "callbackUrl": call_back}
    program = make(operator, "/programs", programName="existing")
    event = make(operator, "/events", programID=program)
    ven = make(node, "/vens", objectType="VEN_VEN_REQUEST", venName="existing")
    return {
        "programID": program,
        "eventID": event,
        "venID": ven,
        "resourceID": make(node, "/resources", objectType="VEN_RESOURCE_REQUEST", resourceName="r", venID=ven),
        "reportID": make(node, "/reports", eventID=event, clientName="existing", resources=[]),
        "subscriptionID": make(caller, "/subscriptions", clientName="existing", objectOperations=[entry]),
        "clientID": node_client.client_id,
        "token": caller.headers["Authorization"].removeprefix("Bearer "),
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("role", ["bl", "ven"])
def test_no_operation_fails(role: str, platform_environment: dict[str, str], tmp_path: Path) -> None:
    description = tmp_path / "openadr.json"
    description.write_text(json.dumps(readable_description(), default=str))
    settings = {"OPENADR_ALLOW_INSECURE_CALLBACKS": "1", "OPENADR_MQTT_URIS": "mqtts://broker.example:8883"}
    with web_server(platform_environment, **settings) as address, listening() as listener:
        existing = make_objects(address, role, listener.url)
        token = existing.pop("token")
        command = [str(SCHEMATHESIS), "run", str(description), "--url", f"{address}{ROOT}"]
        command += ["--header", f"Authorization: Bearer {token}", "--max-examples", EXAMPLES or "2"]
        command += ["--phases", EVERY_PHASE if EXAMPLES else PHASES[role], "--seed", "31", "--workers", "2"]
        command += [
            "--suppress-health-check",
            "all",
            "--no-color",
            "--generation-database",
            "none",
            "--continue-on-failure",
        ]
        hooks = "tests.conformance.openadr.schemathesis_hooks"
        environment = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": hooks,
            "ECHO_URL": listener.url,
            "EXISTING": json.dumps(existing),
            "PYTHONPATH": str(REPOSITORY),
        }
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert f"Tested: {OPERATIONS}" in done.stdout and "Failures:" not in done.stdout, done.stdout[-3_000:]
