"""What keeping any OpenADR object takes: its metadata, its names made unique, its references made sure of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from common.errors import Conflict, NotAllowed
from grid.core.openadr.text import storable

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNIQUE_VIOLATION = "23505"
_WRITTEN_BY_THE_VTN = frozenset({"id", "createdDateTime", "modificationDateTime", "objectType", "clientID"})


class NameTaken(Conflict):
    """An object of that name exists."""

    code = "name_taken"


class UnknownReference(Conflict):
    """The object names another one that does not exist, or not for this caller."""

    code = "unknown_reference"


class WrongRepresentation(NotAllowed):
    """A node writes as if it were an operator, or the other way round."""

    code = "wrong_representation"


class NotAnOperator(NotAllowed):
    """Only business logic may do this."""

    code = "not_an_operator"


class NotANode(NotAllowed):
    """Only virtual end nodes may do this."""

    code = "not_a_node"


def content(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request's properties less those that the VTN writes."""
    return {name: value for name, value in body.items() if name not in _WRITTEN_BY_THE_VTN}


def stored_targets(body: Mapping[str, Any]) -> list[str]:
    """A request's targets as columns hold them."""
    return sorted({storable(target) for target in body.get("targets") or ()})


@contextmanager
def unique_name(field: str, value: str) -> Iterator[None]:
    """Turn the database's refusal of a second name into one that its client can read."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if getattr(error.__cause__, "sqlstate", "") != _UNIQUE_VIOLATION:
            raise
        raise NameTaken(f"{value!r} is in use.", field=field, remedy="Choose another name.") from error


def unknown(field: str, value: str) -> UnknownReference:
    """The error for a reference to nothing that the caller knows."""
    return UnknownReference(f"There is no object {value!r} here for you.", field=field, remedy="Create it first.")
