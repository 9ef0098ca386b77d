"""How far transactions have come: the part of a session that changes with every periodic report, written for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from fleet.core.sequences import with_number
from fleet.models import ChargingSession


@dataclass(frozen=True, slots=True)
class SessionProgress:
    """A transaction has reached a sequence number: what a periodic report says of it besides its readings."""

    charger_id: int
    transaction_id: str
    sequence_number: int


def advance_sessions(*, progress: Sequence[SessionProgress]) -> int:
    """Note how far transactions have come, many in one statement. Returns how many went on."""
    if not progress:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE fleet_chargingsession session
            SET last_sequence_number = greatest(session.last_sequence_number, reached.sequence_number),
                received_sequences = session.received_sequences + reached.sequences
            FROM (
                SELECT charger_id, transaction_id, max(sequence_number) AS sequence_number,
                       range_agg(int4range(sequence_number, sequence_number, '[]')) AS sequences
                FROM unnest(%s::bigint[], %s::text[], %s::int[]) AS told (charger_id, transaction_id, sequence_number)
                GROUP BY charger_id, transaction_id
            ) reached
            WHERE session.charger_id = reached.charger_id AND session.transaction_id = reached.transaction_id
              AND NOT session.received_sequences @> reached.sequences
            """,
            [
                [item.charger_id for item in progress],
                [item.transaction_id for item in progress],
                [item.sequence_number for item in progress],
            ],
        )
        return cursor.rowcount


def hear_event(session: ChargingSession, sequence_number: int) -> None:
    """Note on a session that is about to be saved which of its events has come; -1 for none that has a number."""
    if sequence_number < 0:
        return
    session.last_sequence_number = max(session.last_sequence_number, sequence_number)
    heard = with_number([(part.lower, part.upper) for part in session.received_sequences], sequence_number)
    session.received_sequences = Multirange([Range(first, end) for first, end in heard])
