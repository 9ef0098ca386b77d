"""Nodes and their resources. Nodes enrol themselves; grid operators make them too, and they alone write targets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.db import transaction

from common.errors import Conflict
from grid.core.openadr.text import storable
from grid.models import OpenAdrResource, OpenAdrVen
from grid.operations.openadr.notifications import announce
from grid.operations.openadr.recording import WrongRepresentation, content, stored_targets, unique_name
from grid.queries.openadr.objects import Caller, not_found, visible_resources, visible_vens
from grid.queries.openadr.representations import represent

Owned = TypeVar("Owned", OpenAdrVen, OpenAdrResource)


class ForeignResource(Conflict):
    """The resource is given to another client than its node belongs to."""

    code = "foreign_resource"


@transaction.atomic
def create_ven(*, caller: Caller, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Enrol a node.

    Raises:
        WrongRepresentation: a node writes as an operator, or the other way round.
        NameTaken: the VTN has a node of that name.
    """
    _check_writer(caller, body, "VEN_REQUEST")
    row = OpenAdrVen(
        client_id=storable(body["clientID"]) if caller.is_business_logic else caller.client_id,
        created_by=caller.client_id if caller.is_business_logic else "",
        created_at=now,
    )
    _write_ven(row, caller, body, now)
    announce(row, "CREATE", now=now)
    return represent(row)


@transaction.atomic
def update_ven(*, caller: Caller, ven_id: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Put another content in place of a node's; an operator may grant and withdraw targets.

    Raises:
        ObjectNotFound, WrongRepresentation, NameTaken: as in `create_ven`.
    """
    row = visible_vens(caller).select_for_update().filter(object_id=ven_id).first()
    if row is None:
        raise not_found(ven_id)
    _check_writer(caller, body, "VEN_REQUEST")
    if caller.is_business_logic:
        row.client_id = storable(body["clientID"])
        row.resources.update(client_id=row.client_id)
    _write_ven(row, caller, body, now)
    announce(row, "UPDATE", now=now)
    return represent(row)


@transaction.atomic
def delete_ven(*, caller: Caller, ven_id: str, now: datetime) -> dict[str, Any]:
    """Take a node away, with its resources.

    Raises:
        ObjectNotFound: the caller knows no such node.
    """
    row = visible_vens(caller).select_for_update().filter(object_id=ven_id).first()
    if row is None:
        raise not_found(ven_id)
    for resource in row.resources.select_related("ven").order_by("id"):
        announce(resource, "DELETE", now=now)
    announce(row, "DELETE", now=now)
    shown = represent(row)
    row.delete()
    return shown


@transaction.atomic
def create_resource(*, caller: Caller, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Add a resource to a node.

    Raises:
        ObjectNotFound: the caller knows no such node.
        WrongRepresentation: a node writes as an operator, or the other way round.
        ForeignResource: the node belongs to another client.
        NameTaken: the node has a resource of that name.
    """
    _check_writer(caller, body, "RESOURCE_REQUEST")
    row = OpenAdrResource(created_at=now)
    _write_resource(row, _held_ven(caller, body), caller, body, now)
    announce(row, "CREATE", now=now)
    return represent(row)


@transaction.atomic
def update_resource(*, caller: Caller, resource_id: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Put another content in place of a resource's.

    Raises:
        ObjectNotFound, WrongRepresentation, ForeignResource, NameTaken: as in `create_resource`.
    """
    if not visible_resources(caller).filter(object_id=resource_id).exists():
        raise not_found(resource_id)
    _check_writer(caller, body, "RESOURCE_REQUEST")
    # the node before the resource, as whoever changes a node holds them: two that wait for each other never end
    ven = _held_ven(caller, body)
    row = visible_resources(caller).select_for_update(of=("self",)).filter(object_id=resource_id).first()
    if row is None:
        raise not_found(resource_id)
    _write_resource(row, ven, caller, body, now)
    announce(row, "UPDATE", now=now)
    return represent(row)


@transaction.atomic
def delete_resource(*, caller: Caller, resource_id: str, now: datetime) -> dict[str, Any]:
    """Take a resource away.

    Raises:
        ObjectNotFound: the caller knows no such resource.
    """
    row = visible_resources(caller).select_for_update(of=("self",)).filter(object_id=resource_id).first()
    if row is None:
        raise not_found(resource_id)
    announce(row, "DELETE", now=now)
    shown = represent(row)
    row.delete()
    return shown


def _write_ven(row: OpenAdrVen, caller: Caller, body: Mapping[str, Any], now: datetime) -> None:
    row.ven_name = storable(body["venName"])
    _write_content(row, caller, body, now)
    with unique_name("venName", body["venName"]):
        row.save()


def _held_ven(caller: Caller, body: Mapping[str, Any]) -> OpenAdrVen:
    ven = visible_vens(caller).select_for_update(no_key=True).filter(object_id=body["venID"]).first()
    if ven is None:
        raise not_found(body["venID"])
    return ven


def _write_resource(
    row: OpenAdrResource, ven: OpenAdrVen, caller: Caller, body: Mapping[str, Any], now: datetime
) -> None:
    if caller.is_business_logic and storable(body["clientID"]) != ven.client_id:
        raise ForeignResource(
            "The node of this resource belongs to another client.",
            field="clientID",
            remedy="Give the clientID of the node, or name another venID.",
        )
    row.ven, row.client_id, row.resource_name = ven, ven.client_id, storable(body["resourceName"])
    _write_content(row, caller, body, now)
    with unique_name("resourceName", body["resourceName"]):
        row.save()


def _write_content(row: Owned, caller: Caller, body: Mapping[str, Any], now: datetime) -> None:
    """The rest of the content. A node's request leaves the targets as they are."""
    kept = {} if caller.is_business_logic or not row.body else {"targets": row.body.get("targets")}
    given = content(body)
    if caller.is_business_logic:
        row.targets = stored_targets(body)
    else:
        given.pop("targets", None)
    row.body, row.modified_at = {**given, **kept}, now


def _check_writer(caller: Caller, body: Mapping[str, Any], kind: str) -> None:
    prefix = "BL" if caller.is_business_logic else "VEN"
    if body["objectType"] != f"{prefix}_{kind}":
        raise WrongRepresentation(
            f"This client may not send {body['objectType']}.", field="objectType", remedy=f"Send {prefix}_{kind}."
        )
