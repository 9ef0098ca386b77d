"""Transactions of a station, the events that tell of them, and the queue that keeps events until they are delivered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fleet.twin.meter import MeterReading

EventKind = Literal["started", "updated", "ended"]
MAX_SAMPLES_KEPT = 2000


@dataclass(slots=True)
class Transaction:
    """A car being served. `wire_id` is the central system's in 1.6, once known, and the station's own in 2.x."""

    key: str
    evse_number: int
    id_token: str
    started_at: datetime
    wire_id: str
    remote_start_id: int | None = None
    sequence_number: int = -1
    charging_state: str = "EVConnected"
    authorised: bool = False
    bidirectional: bool = False
    needs_due: bool = False
    reservation_id: int | None = None
    priority: bool = False
    ended: bool = False

    def next_sequence_number(self) -> int:
        """Number of the next event; they count from 0 without gaps."""
        self.sequence_number += 1
        return self.sequence_number


@dataclass(frozen=True, slots=True)
class TransactionEvent:
    """One thing that happened in a transaction, at the station's own time. `trigger` is 2.x's TriggerReasonEnumType."""

    kind: EventKind
    transaction: Transaction
    at: datetime
    sequence_number: int
    trigger: str
    offline: bool
    reading: MeterReading
    charging_state: str
    stop_reason: str = ""

    @property
    def is_sample(self) -> bool:
        """Whether it carries nothing but a periodic reading."""
        return self.kind == "updated" and self.trigger == "MeterValuePeriodic"


class EventQueue:
    """Events in the order they happened. An event leaves the queue only when its delivery is certain.

    What says that a transaction began or ended is never dropped. When too many periodic readings pile up, every second
    one of the older half goes, as OCPP allows.
    """

    def __init__(self, *, max_samples: int = MAX_SAMPLES_KEPT) -> None:
        self._events: deque[TransactionEvent] = deque()
        self._max_samples = max_samples
        self._samples = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[TransactionEvent]:
        return iter(self._events)

    def put(self, event: TransactionEvent) -> None:
        """Append an event."""
        self._events.append(event)
        self._samples += event.is_sample
        if self._samples > self._max_samples:
            self._thin()

    def head(self) -> TransactionEvent | None:
        """The event to deliver next."""
        return self._events[0] if self._events else None

    def delivered(self, event: TransactionEvent) -> None:
        """Forget an event that arrived."""
        if self._events and self._events[0] is event:
            self._events.popleft()
            self._samples -= event.is_sample

    def holds(self, transaction: Transaction) -> bool:
        """Whether anything of a transaction waits."""
        return any(event.transaction is transaction for event in self._events)

    def _thin(self) -> None:
        kept: deque[TransactionEvent] = deque()
        half = len(self._events) // 2
        older = 0
        # the head may be on its way already and stays
        for position, event in enumerate(self._events):
            if 0 < position < half and event.is_sample:
                older += 1
                if older % 2 == 0:
                    self.dropped += 1
                    self._samples -= 1
                    continue
            kept.append(event)
        self._events = kept
