"""The broker's topics. Every client has a branch of its own, so that the broker's rules are as strict as the API's."""

from __future__ import annotations

from collections.abc import Mapping

TOPIC_ROOT = "openadr/3.1.0/"
OPERATIONS = ("CREATE", "UPDATE", "DELETE")
PLURAL = {
    "PROGRAM": "programs",
    "EVENT": "events",
    "REPORT": "reports",
    "SUBSCRIPTION": "subscriptions",
    "VEN": "vens",
    "RESOURCE": "resources",
}


def branch(client_id: str) -> str:
    """What lies below it is for this client alone."""
    return f"{TOPIC_ROOT}{client_id}/"


def operation_topics(client_id: str, path: str, *, of_one_object: bool) -> dict[str, str]:
    """The topics of a collection (`events`, `vens/<id>/events`) or of one object (`programs/<id>`), by operation.

    Nobody can wait for the creation of an object that has an identifier already.
    """
    base = f"{branch(client_id)}{path}"
    named = {operation: f"{base}/{operation.lower()}" for operation in OPERATIONS}
    if of_one_object:
        del named["CREATE"]
    return {**named, "ALL": f"{base}/+"}


def topics_of_change(
    client_id: str, object_type: str, operation: str, identifiers: Mapping[str, str], ven_ids: tuple[str, ...]
) -> list[str]:
    """Every topic of a client on which a change appears.

    Args:
        identifiers: `id` of the object; `program` of an event's programme; `ven` of a resource's node.
        ven_ids: the client's own nodes, for programmes and events that are meant for them.
    """
    plural = PLURAL[object_type]
    paths = [plural]
    if object_type in ("PROGRAM", "VEN") and operation != "CREATE":
        paths.append(f"{plural}/{identifiers['id']}")
    if object_type == "EVENT":
        paths.append(f"programs/{identifiers['program']}/events")
    if object_type in ("PROGRAM", "EVENT"):
        paths += [f"vens/{ven_id}/{plural}" for ven_id in ven_ids]
    if object_type == "RESOURCE":
        paths.append(f"vens/{identifiers['ven']}/resources")
    return [f"{branch(client_id)}{path}/{operation.lower()}" for path in paths]
