"""Whether what stations were told is safe is in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connection

# station identity, EVSE number, kind (started, updated, ended), transaction, instant
AcknowledgedEvent = tuple[str, int, str, str, datetime]


def missing_acknowledged(events: Sequence[AcknowledgedEvent]) -> int:
    """How many acknowledged transaction events lack their session, their end, or a reading of that instant.

    Instants are compared to the second, the resolution that every version of OCPP carries.
    """
    if not events:
        return 0
    columns = [list(column) for column in zip(*events, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*)
            FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::timestamptz[])
                 AS told (station, evse_number, kind, transaction_id, at)
            LEFT JOIN fleet_charger charger ON charger.identity = told.station
            LEFT JOIN fleet_evse evse ON evse.charger_id = charger.id AND evse.number = told.evse_number
            LEFT JOIN fleet_chargingsession session
                   ON session.charger_id = charger.id AND session.transaction_id = told.transaction_id
            WHERE session.id IS NULL
               OR (told.kind = 'ended' AND session.ended_at IS NULL)
               OR (told.kind = 'updated' AND NOT EXISTS (
                       SELECT FROM fleet_reading reading
                       WHERE reading.asset_id = evse.asset_id
                         AND reading.measured_at >= told.at - interval '1 second'
                         AND reading.measured_at < told.at + interval '1 second'))
            """,
            columns,
        )
        return cursor.fetchone()[0]
