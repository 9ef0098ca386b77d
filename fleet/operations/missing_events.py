"""Events of transactions that have not come: seen by their sequence numbers, asked for, and given up when lost (OCPP 2.x)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models.expressions import RawSQL

from fleet.models import ChargingSession, CommandKind, DeviceCommand
from fleet.operations.station_commands import queue_station_command

# a station needs this long to deliver what it has kept after it has come back
GRACE = timedelta(minutes=2)
ASK_AGAIN_AFTER = timedelta(minutes=10)
OLDEST = timedelta(days=30)
_PARTS = "(SELECT count(*) FROM unnest(fleet_chargingsession.received_sequences))"


@transaction.atomic
def ask_for_missing_events(*, now: datetime) -> int:
    """Ask connected stations whether what is missing of their transactions still waits there. Returns how many were asked.

    GetTransactionStatus also makes no station send what it has not kept: the answer tells which of the two it is.
    """
    gaps = (
        ChargingSession.objects.annotate(parts=RawSQL(_PARTS, []))
        .filter(parts__gt=1, events_lost=False, started_at__gt=now - OLDEST)
        .filter(charger__connected_at__lt=now - GRACE)
        .exclude(charger__gateway_identity="")
        .select_related("charger", "evse")
        .order_by("pk")[:500]
    )
    asked = 0
    for session in gaps:
        lately = DeviceCommand.objects.filter(
            asset_id=session.evse.asset_id,
            kind=CommandKind.TRANSACTION_STATUS,
            parameters__transaction_id=session.transaction_id,
            queued_at__gt=now - ASK_AGAIN_AFTER,
        )
        if lately.exists():
            continue
        queue_station_command(
            identity=session.charger.identity,
            kind=CommandKind.TRANSACTION_STATUS,
            parameters={"transaction_id": session.transaction_id, "evse": session.evse.number},
            now=now,
        )
        asked += 1
    return asked
