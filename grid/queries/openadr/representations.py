"""Objects as OpenADR clients are shown them."""

from __future__ import annotations

from collections.abc import Set
from datetime import UTC, datetime
from typing import Any

from grid.core.openadr.privacy import Ownership
from grid.core.openadr.text import as_sent, storable
from grid.models import (
    OpenAdrEvent,
    OpenAdrProgram,
    OpenAdrReport,
    OpenAdrResource,
    OpenAdrSubscription,
    OpenAdrVen,
)

AnyObject = OpenAdrProgram | OpenAdrEvent | OpenAdrReport | OpenAdrSubscription | OpenAdrVen | OpenAdrResource
OBJECT_TYPE: dict[type, str] = {
    OpenAdrProgram: "PROGRAM",
    OpenAdrEvent: "EVENT",
    OpenAdrReport: "REPORT",
    OpenAdrSubscription: "SUBSCRIPTION",
    OpenAdrVen: "VEN",
    OpenAdrResource: "RESOURCE",
}


def represent(row: AnyObject, *, shown: Set[str] | None = None, reader_client_id: str = "") -> dict[str, Any]:
    """An object with its metadata.

    Args:
        shown: the targets to show; None: all of them.
        reader_client_id: who reads it: the token of a call-back is shown to its owner alone.
    """
    body = dict(row.body)
    if shown is not None and body.get("targets"):
        body["targets"] = [target for target in body["targets"] if storable(target) in shown]
    if not isinstance(row, OpenAdrProgram | OpenAdrEvent):
        body["clientID"] = as_sent(row.client_id)
    if isinstance(row, OpenAdrSubscription) and reader_client_id != row.client_id:
        body["objectOperations"] = [{**entry, "bearerToken": None} for entry in body["objectOperations"]]
    return {
        "id": row.object_id,
        "createdDateTime": _written(row.created_at),
        "modificationDateTime": _written(row.modified_at),
        "objectType": OBJECT_TYPE[type(row)],
        **body,
    }


def ownership(row: AnyObject) -> Ownership:
    """Whose an object is; programme or node must be loaded where there is one."""
    if isinstance(row, OpenAdrProgram):
        return Ownership(frozenset([row.operator_client_id]), None, frozenset(row.targets))
    if isinstance(row, OpenAdrEvent):
        return Ownership(frozenset([row.program.operator_client_id]), None, frozenset(row.targets))
    client = frozenset([row.client_id])
    if isinstance(row, OpenAdrReport):
        return Ownership(frozenset([row.operator_client_id]), client, frozenset())
    if isinstance(row, OpenAdrSubscription):
        return Ownership(client if row.is_business_logic else None, client, frozenset(row.targets))
    creator = row.created_by if isinstance(row, OpenAdrVen) else row.ven.created_by
    return Ownership(frozenset([creator]) if creator else None, client, frozenset(row.targets))


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
