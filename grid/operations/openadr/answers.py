"""What the portfolio answers to OpenADR events."""

from __future__ import annotations

from datetime import datetime

from grid.models import OpenAdrEvent


def withdraw_answers(event: OpenAdrEvent, *, now: datetime) -> list[int]:
    """Call off the grid events that an event became; returns their identifiers."""
    return []
