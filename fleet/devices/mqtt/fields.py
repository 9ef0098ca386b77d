"""Typed access to the members of a JSON object that a device sent; every error names the member and the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from common.errors import InvalidInput

_MOST_ITEMS = 1_000


class MalformedMessage(InvalidInput):
    """A device sent what the document does not allow."""

    code = "malformed_message"


Item = TypeVar("Item")


class Fields:
    """Typed access to the members of a JSON object; every error names the member."""

    def __init__(self, content: Mapping[str, Any], place: str = "") -> None:
        self._content = content
        self._place = place

    def _wrong(self, name: str, expected: str) -> MalformedMessage:
        found = self._content.get(name)
        what = "is missing" if name not in self._content else f"is {str(found)[:60]!r}"
        return MalformedMessage(f"The field {what}.", field=self._place + name, remedy=f"Send {expected}.")

    def text(self, name: str, *, longest: int, required: bool = True) -> str:
        value = self._content.get(name, None if required else "")
        if not isinstance(value, str) or len(value) > longest or "\0" in value or (required and not value):
            raise self._wrong(name, f"a text of 1 to {longest} characters")
        return value

    def word(self, name: str, words: Sequence[str]) -> str:
        value = self._content.get(name)
        if value not in words or not isinstance(value, str):
            raise self._wrong(name, "one of " + ", ".join(words))
        return value

    def flag(self, name: str) -> bool:
        value = self._content.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def count(self, name: str, *, least: int, most: int) -> int:
        value = self._content.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # some writers of JSON know no other numbers
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self._content.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise self._wrong(name, "a number")
        if not least <= value <= most:
            raise self._wrong(name, f"a number from {least:g} to {most:g}")
        return float(value)

    def instant(self, name: str) -> datetime:
        found = self.instant_or_none(name)
        if found is None:
            raise self._wrong(name, "an instant such as 2026-11-23T18:30:00Z")
        return found

    def instant_or_none(self, name: str) -> datetime | None:
        value = self._content.get(name)
        if value is None:
            return None
        try:
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is not None:
                return instant.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            pass
        raise self._wrong(name, "an instant with its time zone, such as 2026-11-23T18:30:00Z")

    def items(self, name: str, parse: Callable[[Fields], Item], *, least: int) -> tuple[Item, ...]:
        value = self._content.get(name, [] if least == 0 else None)
        if not isinstance(value, list) or not least <= len(value) <= _MOST_ITEMS:
            raise self._wrong(name, f"a list of {least} to {_MOST_ITEMS} objects")
        if not all(isinstance(item, dict) for item in value):
            raise self._wrong(name, "a list of objects")
        return tuple(parse(Fields(item, f"{self._place}{name}[{index}].")) for index, item in enumerate(value))
