"""Paging by key: page a thousand costs what page one costs, and rows that arrive meanwhile shift nothing."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, Serializer
from rest_framework.utils.urls import replace_query_param

from common.errors import InvalidInput

PAGE_SIZE = 100


class KeysetPagination(CursorPagination):
    """Newest first; `page_size` up to 1,000."""

    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 1000


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for: rows below `before_id` (None: from the newest), at most `size`."""

    before_id: int | None
    size: int


def page_request(request: Request) -> PageRequest:
    """Read `cursor` and `page_size`.

    Raises:
        InvalidInput: the cursor is none of ours, or the size no number from 1 to 1,000.
    """
    text = request.query_params.get("page_size", str(PAGE_SIZE))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= KeysetPagination.max_page_size:
        raise InvalidInput(
            f"{text!r} is no page size.", field="page_size", remedy=f"Give 1 to {KeysetPagination.max_page_size}."
        )
    cursor = request.query_params.get("cursor")
    return PageRequest(None if cursor is None else _before_id(cursor), int(text))


def page_response(request: Request, asked: PageRequest, rows: Sequence[Any], keys: Sequence[int]) -> Response:
    """A page of rows that were read with one more than asked for, which tells whether there is a next page.

    Args:
        rows: what is shown, up to `asked.size + 1`.
        keys: the key of each row, falling.
    """
    next_url = None
    if len(rows) > asked.size:
        cursor = urlsafe_b64encode(str(keys[asked.size - 1]).encode()).decode().rstrip("=")
        next_url = replace_query_param(request.build_absolute_uri(), "cursor", cursor)
    return Response({"next": next_url, "results": rows[: asked.size]})


def _before_id(cursor: str) -> int:
    try:
        return int(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii"))
    except (ValueError, UnicodeError) as error:
        raise InvalidInput(
            f"{cursor!r} is no cursor.", field="cursor", remedy="Follow `next` of the page before."
        ) from error


def page_of(item: type[Serializer]) -> Serializer:
    """The description of a page of items."""
    name = item.__name__.removesuffix("Serializer")
    return inline_serializer(
        f"{name}Page",
        {
            "next": CharField(allow_null=True, help_text="address of the next page; null at the end"),
            "results": item(many=True),
        },
    )


PAGE_PARAMETERS = [
    OpenApiParameter("cursor", str, description="where the next page begins; follow `next`"),
    OpenApiParameter("page_size", int, description="rows per page, 1 to 1,000; default 100"),
]
