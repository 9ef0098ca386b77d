"""Events of a transaction that do not come: seen by their numbers, asked for, and known to be lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.models import Charger, ChargingSession, DeviceCommand
from fleet.operations.missing_events import ask_for_missing_events
from tests.integration.ocpp.support import Background, RawStation, eventually, make_place, utc_text

Connect = Callable[..., RawStation]


def now() -> datetime:
    return datetime.now(UTC)


def event(kind: str, number: int) -> dict[str, Any]:
    return {
        "eventType": kind,
        "timestamp": utc_text(now()),
        "triggerReason": "MeterValuePeriodic",
        "seqNo": number,
        "transactionInfo": {"transactionId": "TX-1"},
        "evse": {"id": 1, "connectorId": 1},
    }


def heard() -> list[tuple[int, int]]:
    return [(part.lower, part.upper) for part in ChargingSession.objects.get().received_sequences]


@pytest.mark.parametrize("protocol", ["ocpp2.0.1", "ocpp2.1"])
def test_gaps_are_asked_for_filled_or_given_up(background: Background, connect: Connect, protocol: str) -> None:
    make_place("CP-1", protocol)
    station = connect("CP-1", protocol)
    waiting = {"messagesInQueue": True}
    station.answers["GetTransactionStatus"] = lambda payload: dict(waiting)

    def tell(kind: str, number: int) -> None:
        background.run(station.call("TransactionEvent", event(kind, number)))

    for kind, number in (("Started", 0), ("Updated", 1), ("Updated", 4), ("Updated", 4), ("Ended", 7)):
        tell(kind, number)
    assert heard() == [(0, 2), (4, 5), (7, 8)]

    eventually(lambda: Charger.objects.exclude(gateway_identity="").exists())
    assert ask_for_missing_events(now=now()) == 0  # it has only just come back
    Charger.objects.update(connected_at=now() - timedelta(hours=1))
    assert ask_for_missing_events(now=now()) == 1
    assert ask_for_missing_events(now=now()) == 0
    assert background.run(station.next_call("GetTransactionStatus")) == {"transactionId": "TX-1"}
    eventually(lambda: DeviceCommand.objects.filter(kind="transaction_status", state="confirmed").exists())
    assert not ChargingSession.objects.get().events_lost

    for number in (3, 2, 5):
        tell("Updated", number)
    assert heard() == [(0, 6), (7, 8)]
    waiting["messagesInQueue"] = False
    assert ask_for_missing_events(now=now() + timedelta(minutes=11)) == 1
    DeviceCommand.objects.update(starts_at=now() - timedelta(minutes=1))
    eventually(lambda: ChargingSession.objects.get().events_lost)
    assert ask_for_missing_events(now=now() + timedelta(hours=1)) == 0
    assert ChargingSession.objects.get().ended_at is not None
