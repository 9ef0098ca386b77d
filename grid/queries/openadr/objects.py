"""Lists and single objects, as far as the caller may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from common.errors import NotFound
from grid.core.openadr.privacy import Reader, shown_targets
from grid.core.openadr.text import storable
from grid.models import (
    OpenAdrEvent,
    OpenAdrProgram,
    OpenAdrReport,
    OpenAdrResource,
    OpenAdrSubscription,
    OpenAdrVen,
)
from grid.queries.openadr.representations import AnyObject, ownership, represent

Row = TypeVar("Row", bound=Model)
MOST_OF_A_PAGE = 50


class ObjectNotFound(NotFound):
    """There is no such object, or not for this caller."""

    code = "object_not_found"


@dataclass(frozen=True, slots=True)
class Caller:
    """An OpenADR client. `client_id` is the authorisation server's, `name` the one that its bookings stand under."""

    client_id: str
    name: str
    is_business_logic: bool

    @property
    def reader(self) -> Reader:
        """The caller as privacy knows it."""
        return Reader(self.client_id, self.is_business_logic)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: `skip` objects are left out, then at most `limit` are given."""

    skip: int = 0
    limit: int = MOST_OF_A_PAGE


def granted_targets(client_id: str) -> frozenset[str]:
    """The targets that grid operators wrote on a client's nodes and their resources."""
    of_vens = OpenAdrVen.objects.filter(client_id=client_id).values_list("targets", flat=True)
    of_resources = OpenAdrResource.objects.filter(ven__client_id=client_id).values_list("targets", flat=True)
    return frozenset(chain.from_iterable(chain(of_vens, of_resources)))


def programs(caller: Caller, *, targets: Sequence[str] = (), page: Page) -> list[dict[str, Any]]:
    """Programmes, oldest first."""
    rows = OpenAdrProgram.objects.all()
    if caller.is_business_logic:
        rows = rows.filter(operator_client_id=caller.client_id)
    return _targeted(caller, rows, targets, page)


def events(
    caller: Caller,
    *,
    program_id: str = "",
    targets: Sequence[str] = (),
    active_at: datetime | None = None,
    page: Page,
) -> list[dict[str, Any]]:
    """Events, oldest first; with `active_at` those alone that are not over by then."""
    rows = OpenAdrEvent.objects.select_related("program")
    if caller.is_business_logic:
        rows = rows.filter(program__operator_client_id=caller.client_id)
    if program_id:
        rows = rows.filter(program__object_id=program_id)
    if active_at is not None:
        rows = rows.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=active_at))
    return _targeted(caller, rows, targets, page)


def vens(caller: Caller, *, ven_name: str = "", targets: Sequence[str] = (), page: Page) -> list[dict[str, Any]]:
    """Nodes, oldest first."""
    rows = visible_vens(caller)
    if ven_name:
        rows = rows.filter(ven_name=storable(ven_name))
    return _own(caller, _with_all(rows, targets), page)


def resources(
    caller: Caller, *, resource_name: str = "", ven_id: str = "", targets: Sequence[str] = (), page: Page
) -> list[dict[str, Any]]:
    """Resources, oldest first."""
    rows = visible_resources(caller)
    if resource_name:
        rows = rows.filter(resource_name=storable(resource_name))
    if ven_id:
        rows = rows.filter(ven__object_id=ven_id)
    return _own(caller, _with_all(rows, targets), page)


def reports(
    caller: Caller, *, program_id: str = "", event_id: str = "", client_name: str = "", page: Page
) -> list[dict[str, Any]]:
    """Reports, oldest first."""
    rows = visible_reports(caller)
    if program_id:
        rows = rows.filter(program_ref=program_id)
    if event_id:
        rows = rows.filter(event_ref=event_id)
    if client_name:
        rows = rows.filter(client_name=storable(client_name))
    return _own(caller, rows, page)


def subscriptions(
    caller: Caller, *, program_id: str = "", client_name: str = "", objects: Sequence[str] = (), page: Page
) -> list[dict[str, Any]]:
    """Subscriptions, oldest first; with `objects` those that listen to all of these kinds."""
    rows = visible_subscriptions(caller)
    if program_id:
        rows = rows.filter(program_ref=program_id)
    if client_name:
        rows = rows.filter(client_name=storable(client_name))
    if not objects:
        return _own(caller, rows, page)
    wanted = set(objects)
    matching = [row for row in rows.order_by("id") if wanted <= listened_to(row)]
    return [represent(row, reader_client_id=caller.client_id) for row in _part(matching, page)]


def listened_to(row: OpenAdrSubscription) -> set[str]:
    """The kinds of objects that a subscription names."""
    return {kind for entry in row.body["objectOperations"] for kind in entry["objects"]}


def one(caller: Caller, kind: type[AnyObject], object_id: str) -> dict[str, Any]:
    """One object.

    Raises:
        ObjectNotFound: there is none of that identifier for this caller.
    """
    row = visible_row(caller, kind, object_id)
    if not isinstance(row, OpenAdrProgram | OpenAdrEvent) or caller.is_business_logic:
        return represent(row, reader_client_id=caller.client_id)
    # an address cannot name targets: what was granted counts as asked for
    granted = granted_targets(caller.client_id) if row.targets else frozenset[str]()
    shown = shown_targets(ownership(row), caller.reader, requested=granted, granted=granted) if row.targets else granted
    if shown is None:
        raise not_found(object_id)
    return represent(row, shown=shown)


def visible_row(caller: Caller, kind: type[AnyObject], object_id: str) -> Any:
    """One row within the caller's privacy, targets apart; see `one`."""
    rows: QuerySet[Any]
    if kind is OpenAdrProgram:
        rows = OpenAdrProgram.objects.all()
        rows = rows.filter(operator_client_id=caller.client_id) if caller.is_business_logic else rows
    elif kind is OpenAdrEvent:
        rows = OpenAdrEvent.objects.select_related("program")
        rows = rows.filter(program__operator_client_id=caller.client_id) if caller.is_business_logic else rows
    else:
        rows = _VISIBLE[kind](caller)
    row = rows.filter(object_id=object_id).first() if object_id.isascii() and "\x00" not in object_id else None
    if row is None:
        raise not_found(object_id)
    return row


def not_found(object_id: str) -> ObjectNotFound:
    """The error that both missing and foreign objects are."""
    return ObjectNotFound(f"There is no object {object_id[:128]!r} here for you.")


def visible_vens(caller: Caller) -> QuerySet[OpenAdrVen]:
    """An operator sees nodes that enrolled themselves and those that it made; a node itself."""
    if caller.is_business_logic:
        return OpenAdrVen.objects.filter(created_by__in=["", caller.client_id])
    return OpenAdrVen.objects.filter(client_id=caller.client_id)


def visible_resources(caller: Caller) -> QuerySet[OpenAdrResource]:
    """Resources of visible nodes."""
    rows = OpenAdrResource.objects.select_related("ven")
    if caller.is_business_logic:
        return rows.filter(ven__created_by__in=["", caller.client_id])
    return rows.filter(client_id=caller.client_id)


def visible_reports(caller: Caller) -> QuerySet[OpenAdrReport]:
    """An operator sees reports on its events; a node its own."""
    if caller.is_business_logic:
        return OpenAdrReport.objects.filter(operator_client_id=caller.client_id)
    return OpenAdrReport.objects.filter(client_id=caller.client_id)


def visible_subscriptions(caller: Caller) -> QuerySet[OpenAdrSubscription]:
    """An operator sees its own and those of nodes; a node its own."""
    rows = OpenAdrSubscription.objects.all()
    if caller.is_business_logic:
        return rows.filter(Q(client_id=caller.client_id) | Q(is_business_logic=False))
    return rows.filter(client_id=caller.client_id)


_VISIBLE: dict[type, Any] = {
    OpenAdrVen: visible_vens,
    OpenAdrResource: visible_resources,
    OpenAdrReport: visible_reports,
    OpenAdrSubscription: visible_subscriptions,
}


def _targeted(caller: Caller, rows: QuerySet[Any], targets: Sequence[str], page: Page) -> list[dict[str, Any]]:
    """Programmes or events: an operator's must have all targets asked for, a node's one that it was granted as well."""
    wanted = frozenset(storable(target) for target in targets)
    if caller.is_business_logic:
        return _own(caller, _with_all(rows, targets), page)
    if not wanted:
        return [represent(row, shown=wanted) for row in _part(rows.filter(targets=[]).order_by("id"), page)]
    allowed = wanted & granted_targets(caller.client_id)
    if not allowed:
        return []
    matching = rows.filter(targets__overlap=sorted(allowed)).order_by("id")
    return [represent(row, shown=allowed) for row in _part(matching, page)]


def _with_all(rows: QuerySet[Row], targets: Sequence[str]) -> QuerySet[Row]:
    return rows.filter(targets__contains=[storable(target) for target in targets]) if targets else rows


def _own(caller: Caller, rows: QuerySet[Any], page: Page) -> list[dict[str, Any]]:
    return [represent(row, reader_client_id=caller.client_id) for row in _part(rows.order_by("id"), page)]


def _part(rows: Any, page: Page) -> Any:
    return rows[page.skip : page.skip + page.limit]
