"""Between the wire and operations: bodies and headers in, platform errors out."""

from __future__ import annotations

from typing import Any, TypeVar

from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from common.errors import InvalidInput
from compute_market.agent import wire
from compute_market.api.authentication import computer_id_of
from compute_market.operations.holding import HeldLease
from compute_market.operations.offers import CarReport
from compute_market.operations.rules import MOST_CHECKPOINT_BYTES

_Wire = TypeVar("_Wire")


class BytesParser(BaseParser):
    """application/octet-stream, up to the largest checkpoint."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """The body.

        Raises:
            InvalidInput: it is larger than anything we take.
        """
        content: bytes = stream.read(MOST_CHECKPOINT_BYTES + 1)
        if len(content) > MOST_CHECKPOINT_BYTES:
            raise InvalidInput(
                f"has more than {MOST_CHECKPOINT_BYTES} bytes", field="body", remedy="Give the job less memory."
            )
        return content


def body_of(request: Request) -> bytes:
    """The bytes of a request; none where it has no body."""
    content: object = request.data
    return content if isinstance(content, bytes) else b""


def read_message(kind: type[_Wire], request: Request) -> _Wire:
    """A message from the body.

    Raises:
        InvalidInput: a field is missing or of another kind.
    """
    try:
        return wire.from_json(kind, request.data)
    except wire.BadMessage as error:
        raise InvalidInput(error.message, field=error.field, remedy="See compute_market/agent/wire.py.") from error


def car_report(message: wire.OfferMessage | wire.RenewalMessage) -> CarReport:
    """What the agent says of its car.

    Raises:
        InvalidInput: the departure is no instant.
    """
    try:
        departure_at = wire.parse_instant(message.departure_at, "departure_at")
    except wire.BadMessage as error:
        raise InvalidInput(
            error.message, field=error.field, remedy="Write it such as 2026-11-23T18:30:00+09:00."
        ) from error
    return CarReport(message.plugged_in, message.soc_fraction, departure_at)


def held_lease(request: Request, lease_id: int, fencing_token: int | None = None) -> HeldLease:
    """The lease that a request names; the token from the message, else from its header.

    Raises:
        InvalidInput: there is no token.
    """
    token = fencing_token if fencing_token is not None else integer_header(request, wire.FENCE_HEADER)
    return HeldLease(computer_id_of(request), lease_id, token)


def integer_header(request: Request, name: str) -> int:
    """A whole number from a header.

    Raises:
        InvalidInput: the header is missing or no whole number.
    """
    value = request.headers.get(name, "")
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise InvalidInput(f"is {value[:40]!r}", field=name, remedy="Send a whole number.")
    return int(value)


def fraction_header(request: Request, name: str) -> float | None:
    """A number from a header; None where there is no such header.

    Raises:
        InvalidInput: it is no number.
    """
    value = request.headers.get(name)
    if value is None:
        return None
    try:
        return float(value)
    except ValueError as error:
        raise InvalidInput(f"is {value[:40]!r}", field=name, remedy="Send a number from 0 to 1.") from error
