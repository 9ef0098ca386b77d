"""Fields that DRF would be too forgiving about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.fields import DateTimeField
from rest_framework.serializers import Serializer


class InstantField(DateTimeField):
    """An instant with its time zone. One without is refused: whose local time would it be? Shown in UTC."""

    default_error_messages = {
        "naive": "This instant has no time zone; write it with one, such as 2026-11-23T18:30:00Z."
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(default_timezone=UTC, **options)

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            self.fail("naive")
        return value.astimezone(UTC)


class StrictSerializer(Serializer):
    """A body in which a field that nobody reads is a mistake, not a wish."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                known = ", ".join(self.fields)
                raise ValidationError({name: [f"There is no such field; there are {known}."] for name in unknown})
        return super().to_internal_value(data)
