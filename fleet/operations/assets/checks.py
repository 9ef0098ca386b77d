"""Checks that registering shares: each error names the field and how to mend it, before the database has to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import IntegrityError, models, transaction

from common.errors import Conflict, InvalidInput, NotFound
from fleet.models import ConsentService

CONSENT_SERVICES = tuple(ConsentService.values)
TERMS_VERSION = "2026-11"

Row = TypeVar("Row", bound=models.Model)

# identifierString of OCPP 2.0.1, which is also safe in a topic, a URL path and a file of the broker
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9*_=:+|@.\-]*")


class AlreadyRegistered(Conflict):
    """Something with this identity is registered already."""

    code = "already_registered"


class NotRegistered(NotFound):
    """What the input refers to is not registered."""

    code = "not_registered"


def require_identity(value: str, *, field: str = "identity", longest: int = 60) -> str:
    """An identity that can stand in an address: letters, digits and * - _ = : + | @ . only."""
    if not _IDENTITY.fullmatch(value) or len(value) > longest:
        raise InvalidInput(
            f"{value!r} cannot be an identity.",
            field=field,
            remedy=f"Use 1 to {longest} of letters, digits and * - _ = : + | @ . beginning with a letter or digit.",
        )
    return value


def require_text(value: str, *, field: str, longest: int) -> str:
    """Some text, not longer than the column."""
    if not value.strip() or len(value) > longest:
        raise InvalidInput("is empty or too long.", field=field, remedy=f"Give 1 to {longest} characters.")
    return value


def require_positive(value: float, *, field: str) -> float:
    """A finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise InvalidInput(f"{value!r} is not above zero.", field=field, remedy="Give a number above zero.")
    return float(value)


def require_not_negative(value: float, *, field: str) -> float:
    """A finite number, zero or above."""
    if not (math.isfinite(value) and value >= 0):
        raise InvalidInput(f"{value!r} is negative or no number.", field=field, remedy="Give zero or a number above.")
    return float(value)


def require_fraction(value: float, *, field: str, above_zero: bool = False) -> float:
    """A number from 0 to 1; with `above_zero` not 0 itself."""
    if not (math.isfinite(value) and 0 <= value <= 1) or (above_zero and value == 0):
        low = "above 0" if above_zero else "from 0"
        raise InvalidInput(
            f"{value!r} is no fraction.", field=field, remedy=f"Give a number {low} to 1; 80 % is written 0.8."
        )
    return float(value)


def require_port(value: int, *, field: str = "port") -> int:
    """A TCP port."""
    if not 1 <= value <= 65535:
        raise InvalidInput(f"{value} is no TCP port.", field=field, remedy="Give 1 to 65535.")
    return value


def require_device_id(value: int, *, field: str = "device_id") -> int:
    """A Modbus unit identifier."""
    if not 0 <= value <= 255:
        raise InvalidInput(f"{value} is no Modbus unit identifier.", field=field, remedy="Give 0 to 255.")
    return value


def require_time_zone(value: str, *, field: str = "time_zone") -> str:
    """An IANA time zone that this machine knows."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"{value!r} is no time zone.", field=field, remedy="Give an IANA name such as Asia/Tokyo."
        ) from error
    return value


def find(model: type[Row], *, field: str, **lookup: object) -> Row:
    """The row that the input refers to.

    Raises:
        NotRegistered: there is none.
    """
    row = model._default_manager.filter(**lookup).first()
    if row is None:
        named = ", ".join(repr(value) for value in lookup.values())
        raise NotRegistered(
            f"{named} is not registered.", field=field, remedy=f"Register the {model._meta.verbose_name} first."
        )
    return row


def check_service(service: str) -> None:
    """A service that an owner can agree to."""
    if service not in CONSENT_SERVICES:
        raise InvalidInput(
            f"{service!r} is no service.", field="consents", remedy=f"Give any of {', '.join(CONSENT_SERVICES)}."
        )


@contextmanager
def registering(identity: str, *, field: str = "identity", remedy: str = "Choose another.") -> Iterator[None]:
    """One transaction in which a broken uniqueness rule is the caller's AlreadyRegistered, even in a race."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if getattr(error.__cause__, "sqlstate", "") != "23505":
            raise
        raise AlreadyRegistered(f"{identity!r} is registered already.", field=field, remedy=remedy) from error
