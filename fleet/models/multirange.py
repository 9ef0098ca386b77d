"""A set of whole numbers as PostgreSQL keeps it: `int4multirange`."""

from __future__ import annotations

from typing import Any

from django.db import models
from psycopg.types.multirange import Multirange


class IntegerMultirangeField(models.Field):
    """Ranges of whole numbers, half-open, joined where they touch. In Python a psycopg `Multirange`."""

    def db_type(self, connection: Any) -> str:
        """The column's type."""
        return "int4multirange"

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        """A text needs to be told what it is."""
        return "%s::int4multirange"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> str | None:
        """As PostgreSQL writes it."""
        if value is None:
            return None
        return "{" + ",".join(f"[{part.lower},{part.upper})" for part in Multirange(value)) + "}"
