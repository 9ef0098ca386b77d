"""What stations of the twin have to tell of their transactions, kept beside their queues, and held against the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import pytest

from common.units import wh_to_kwh
from fleet.core.metering import REGISTER_TOLERANCE_KWH
from fleet.twin.ocpp.profile_wire import write_instant
from fleet.twin.ocpp.program import ChargerProgram
from fleet.twin.transactions import EventQueue, TransactionEvent

SESSIONS = """
SELECT charger.identity, session.transaction_id, session.started_at, session.ended_at, session.meter_start_kwh,
       session.meter_stop_kwh, session.received_sequences::text, session.events_lost
FROM fleet_chargingsession session JOIN fleet_charger charger ON charger.id = session.charger_id
WHERE charger.protocol <> 'mqtt'
"""
READINGS = """
SELECT charger.identity, reading.measured_at, reading.import_kwh
FROM fleet_reading reading JOIN fleet_evse evse ON evse.asset_id = reading.asset_id
JOIN fleet_charger charger ON charger.id = evse.charger_id WHERE charger.protocol <> 'mqtt'
"""


class ToldEvents:
    """Every event that any station of a program has ever put into its queue."""

    def __init__(self, program: ChargerProgram) -> None:
        self._protocols = {identity: client.dialect.protocol for identity, client in program.clients.items()}
        self._events: list[tuple[str, TransactionEvent]] = []
        for identity, client in program.clients.items():
            self._listen(identity, client.station.queue)

    def _listen(self, identity: str, queue: EventQueue) -> None:
        put = queue.put

        def keep_and_put(event: TransactionEvent) -> None:
            self._events.append((identity, event))
            put(event)

        queue.put = keep_and_put  # type: ignore[method-assign]

    @property
    def ended(self) -> int:
        """How many transactions have ended."""
        return sum(event.kind == "ended" for _, event in self._events)

    def assert_in_books(self, sessions: Iterable[tuple], readings: Iterable[tuple]) -> None:
        """Every transaction exactly once with its start, end and energy; every reading exactly once and no other.

        Args:
            sessions: the rows of `SESSIONS`.
            readings: the rows of `READINGS`.
        """
        self._assert_transactions(list(sessions))
        self._assert_readings(list(readings))

    def _assert_transactions(self, rows: list[tuple]) -> None:
        told = {(identity, event.transaction.wire_id): {} for identity, event in self._events}
        for identity, event in self._events:
            told[identity, event.transaction.wire_id][event.kind] = event
        assert len(told) == self.ended, "a transaction has not ended, or two go by one name"
        stored = Counter(row[:2] for row in rows)
        _assert_same(stored, Counter(told.keys()))
        for identity, transaction_id, started_at, ended_at, start_kwh, stop_kwh, sequences, lost in rows:
            events = told[identity, transaction_id]
            name = f"{identity} {transaction_id}"
            assert (started_at, ended_at) == (_on_wire(events["started"].at), _on_wire(events["ended"].at)), name
            assert start_kwh == pytest.approx(
                wh_to_kwh(events["started"].reading.import_wh), abs=REGISTER_TOLERANCE_KWH
            ), name
            assert stop_kwh == pytest.approx(
                wh_to_kwh(events["ended"].reading.import_wh), abs=REGISTER_TOLERANCE_KWH
            ), name
            if self._protocols[identity] != "ocpp1.6":
                assert sequences == f"{{[0,{events['ended'].sequence_number + 1})}}", name
            assert not lost, name

    def _assert_readings(self, rows: list[tuple]) -> None:
        # the events of one tick share an instant, and the meter may have counted between them: one reading is stored
        told: dict[tuple[str, datetime], list[float]] = {}
        for identity, event in self._events:
            # of a change of state 1.6 has nothing to tell
            if self._protocols[identity] != "ocpp1.6" or event.trigger != "ChargingStateChanged":
                place = (identity, _on_wire(event.reading.measured_at))
                told.setdefault(place, []).append(wh_to_kwh(event.reading.import_wh))
        _assert_same(Counter((identity, measured_at) for identity, measured_at, _ in rows), Counter(told.keys()))
        wrong = [
            (*row, told[row[:2]])
            for row in rows
            if not any(row[2] == pytest.approx(value, abs=REGISTER_TOLERANCE_KWH) for value in told[row[:2]])
        ]
        assert not wrong, wrong[:5]


def _assert_same(stored: Counter[tuple], told: Counter[tuple]) -> None:
    lost, doubled = told - stored, stored - told
    assert not lost, f"{lost.total()} are lost: {sorted(lost)[:5]}"
    assert not doubled, f"{doubled.total()} are doubled or were never told: {sorted(doubled)[:5]}"


def _on_wire(instant: datetime) -> datetime:
    """As it travels: to the millisecond."""
    return datetime.fromisoformat(write_instant(instant))
