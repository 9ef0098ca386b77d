"""Charging sessions, read."""

from __future__ import annotations

from fleet.models import ChargingSession


def session_evse_number(*, identity: str, transaction_id: str) -> int | None:
    """The EVSE of a transaction, open or ended; None if nobody has heard of it."""
    return (
        ChargingSession.objects.filter(charger__identity=identity, transaction_id=transaction_id)
        .values_list("evse__number", flat=True)
        .first()
    )
