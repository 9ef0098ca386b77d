"""What schemathesis cannot make up by itself; read by its process, with nothing of the platform.

- Identifiers of objects that exist, so that most requests reach more than a 404. Nothing that is used so is deleted.
- A call-back that answers: addresses made up at random are refused, as the specification wants.
- Names of nodes that no other case used: the description forgets the 409 that the specification asks for on POST /vens.
"""

import json
import os
from uuid import uuid4

import schemathesis
from schemathesis import GenerationMode

EXISTING = json.loads(os.environ["EXISTING"])
LONGEST_NAME = 128


@schemathesis.hook
def before_call(context, case, kwargs):  # type: ignore[no-untyped-def]
    if case.method.upper() != "DELETE" and case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    for name, value in (case.path_parameters or {}).items():
        if case.method.upper() != "DELETE":
            case.path_parameters[name] = EXISTING.get(name, value)
        elif value in EXISTING.values():  # it reads identifiers from answers
            case.path_parameters[name] = "spared"
    body = case.body
    if not isinstance(body, dict):
        return
    for name in ("programID", "eventID", "venID"):
        if name in body and name in EXISTING:
            body[name] = EXISTING[name]
    if body.get("objectType") == "BL_RESOURCE_REQUEST":
        body["clientID"] = EXISTING["clientID"]
    for entry in body.get("objectOperations") or ():
        entry["callbackUrl"] = os.environ["ECHO_URL"]
    if case.operation.label == "POST /vens":
        body["venName"] = f"{body['venName'][: LONGEST_NAME - 32]}{uuid4().hex}"
