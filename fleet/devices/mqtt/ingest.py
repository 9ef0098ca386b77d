"""What devices say, made durable: one thread takes whatever has come, stores it together, and only then lets the broker
forget it. Everything may come again and changes nothing then."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Protocol

from django.db import connection, connections

from common.errors import PlatformError
from fleet.devices.database import DATABASE_LOST
from fleet.devices.mqtt.complaints import Complaints
from fleet.devices.mqtt.firmware_messages import (
    CHUNK_BYTES,
    ChunkRequest,
    FirmwareStatus,
    TimeRequest,
    chunk_message,
    time_message,
)
from fleet.devices.mqtt.messages import (
    Birth,
    LogLine,
    MalformedMessage,
    Meter,
    SessionEvent,
    Status,
    UpMessage,
    error_message,
    parse_up,
    receipt_message,
    split_topic,
)
from fleet.devices.mqtt.stations import DeviceDirectory, StationBook
from fleet.operations.firmware import firmware_chunk, record_firmware_status
from fleet.operations.telemetry import MeterReading, record_readings
from fleet.operations.trace import TraceMessage, record_messages

logger = logging.getLogger(__name__)

LARGEST_BATCH = 2_000
# A clock that is further off is wrong; a message takes seconds at most.
CLOCK_TOLERANCE_S = 120.0
UNTRACED = frozenset({"time", "chunk"})
RETRY_S = 1.0
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Received:
    """A message as the broker handed it over; `done` tells the broker that it is stored."""

    topic: str
    payload: bytes
    at: datetime
    retained: bool
    done: Callable[[], object]


class Answers(Protocol):
    """How the gateway speaks to devices."""

    def tell(self, identity: str, kind: str, payload: bytes) -> None:
        """Send a receipt or an error."""
        ...

    def clear_setpoint(self, identity: str, evse: int) -> None:
        """Take a retained set-point away."""
        ...


@dataclass(slots=True)
class _Batch:
    readings: list[MeterReading] = field(default_factory=list)
    origins: list[tuple[str, Received]] = field(default_factory=list)
    others: list[tuple[str, str, UpMessage, Received]] = field(default_factory=list)


class Ingest:
    """The thread that stores. `submit` from anywhere; `stop` stores what is there and ends it."""

    def __init__(self, *, gateway_identity: str, answers: Answers) -> None:
        self._answers = answers
        self._directory = DeviceDirectory()
        self._book = StationBook(gateway_identity=gateway_identity, answers=answers)
        self._complaints = Complaints()
        self._skewed: set[str] = set()
        self._queue: SimpleQueue[Received | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt-ingest", daemon=True)
        self.stored = 0
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, received: Received) -> None:
        self._queue.put(received)

    def stop(self, *, within_s: float = 1.5) -> None:
        """Store what has come, as far as the database lets us in time; the rest comes again from the broker."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(within_s)

    def _run(self) -> None:
        try:
            while not (self._stopping.is_set() and self._queue.empty()):
                batch = self._take()
                if batch:
                    self._store_until_done(batch)
                self._record_presence()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            connections.close_all()

    def _record_presence(self) -> None:
        try:
            self._book.record_presence(datetime.now(UTC))
        except DATABASE_LOST:
            connection.close()  # the next round tries again

    def _take(self) -> list[Received]:
        batch: list[Received] = []
        try:
            item = self._queue.get(timeout=1.0)
            while len(batch) < LARGEST_BATCH:
                if item is not None:
                    batch.append(item)
                item = self._queue.get_nowait()
        except Empty:
            return batch
        if item is not None:
            batch.append(item)
        return batch

    def _store_until_done(self, received: Sequence[Received]) -> None:
        while True:
            try:
                self._store(received)
                break
            except DATABASE_LOST:
                connection.close()
                logger.warning("the database is away: %d messages wait", len(received) + self._queue.qsize())
                if self._stopping.wait(RETRY_S):
                    return  # not acknowledged: the broker keeps them
            except Exception:
                if len(received) == 1:
                    logger.exception("a message on %s cannot be stored and is dropped", received[0].topic[:120])
                    break
                for item in received:  # one of them spoils the others
                    self._store_until_done([item])
                return
        for item in received:
            item.done()

    def _store(self, received: Sequence[Received]) -> None:
        now = datetime.now(UTC)
        batch = _Batch()
        parsed = [(item, *said) for item in received if (said := self._parse(item, now)) is not None]
        self._directory.load({identity for _, identity, _, _ in parsed}, now=time.monotonic())
        for item, identity, kind, message in parsed:
            if not self._directory.knows(identity):
                self._refuse(identity, kind, "identity", f"{identity!r} is not registered for MQTT.", now)
            elif isinstance(message, Meter):
                self._book.seen(identity, online=True, retained=item.retained)
                self._gather(identity, message, item, batch, now)
            else:
                batch.others.append((identity, kind, message, item))
        if batch.readings:
            self._record(batch, now)
        for identity, kind, message, item in batch.others:
            self._handle(identity, kind, message, item, now)
        self._trace(batch)

    def _parse(self, item: Received, now: datetime) -> tuple[str, str, UpMessage] | None:
        identity, kind = "?", item.topic
        try:
            identity, kind = split_topic(item.topic)
            if kind == "status" and not item.payload:
                return None  # the retained status was taken away
            return identity, kind, parse_up(kind, item.payload)
        except MalformedMessage as error:
            self._refuse(identity, kind, error.field, str(error), now)
            return None

    def _gather(self, identity: str, meter: Meter, item: Received, batch: _Batch, now: datetime) -> None:
        for measured in meter.measurements:
            asset_id = self._directory.asset_id(identity, measured.evse)
            if asset_id is None:
                reason = f"There is no EVSE {measured.evse}. Register the EVSE with the charger."
                self._refuse(identity, "meter", "evse", reason, now)
                continue
            batch.readings.append(
                MeterReading(
                    asset_id,
                    measured.at,
                    measured.power_kw,
                    measured.import_kwh,
                    measured.export_kwh,
                    measured.soc_fraction,
                    measured.temperature_c,
                    clock_unsure=identity in self._skewed,
                )
            )
            batch.origins.append((identity, item))

    def _record(self, batch: _Batch, now: datetime) -> None:
        outcome = record_readings(readings=batch.readings, now=now)
        self.stored += outcome.stored
        if not outcome.refused:
            return
        identity_of = {id(reading): origin[0] for reading, origin in zip(batch.readings, batch.origins, strict=True)}
        for refused in outcome.refused:
            field_name = refused.reason.partition(":")[0]
            self._refuse(identity_of[id(refused.reading)], "meter", field_name, refused.reason, now)

    def _handle(self, identity: str, kind: str, message: UpMessage, item: Received, now: datetime) -> None:
        try:
            match message:
                case Birth():
                    self._check_clock(identity, message.at, item, now, asked=False)
                    self._book.birth(identity, message, now)
                case Status():
                    self._book.status(identity, message, retained=item.retained, now=now)
                case SessionEvent():
                    self._book.session(identity, message, now)
                case TimeRequest():
                    self._check_clock(identity, message.sent_at, item, now, asked=True)
                    answer = time_message(sent_at=message.sent_at, received_at=item.at, at=datetime.now(UTC))
                    self._answers.tell(identity, "time", answer)
                case ChunkRequest():
                    self._hand_out(identity, message)
                case FirmwareStatus():
                    record_firmware_status(
                        charger_identity=identity,
                        sequence=message.sequence,
                        state=message.state,
                        version=message.version,
                        reason=message.reason,
                        now=now,
                    )
                case LogLine():
                    text = _CONTROL_CHARACTERS.sub(" ", message.text)
                    logger.info("%s says (%s): %s", identity, message.level, text)
        except PlatformError as error:
            self._refuse(identity, kind, error.field, str(error), now)
            if isinstance(message, SessionEvent):  # it will never be taken: the device need not send it again
                self._answers.tell(
                    identity,
                    "receipt",
                    receipt_message(
                        session_id=message.session_id, sequence=message.sequence, accepted=False, reason=error.code
                    ),
                )

    def _check_clock(self, identity: str, by_device: datetime, item: Received, now: datetime, *, asked: bool) -> None:
        """Note whose clock is wrong. A birth may have waited at the broker, so it only makes us ask for a question, which
        comes fresh: it is answered by `up/time`."""
        ahead_s = (by_device - item.at).total_seconds()
        if abs(ahead_s) <= CLOCK_TOLERANCE_S:
            self._skewed.discard(identity)
        elif asked:
            self._skewed.add(identity)
            reason = f"sent_at: the clock is {ahead_s:+.0f} s off. Set it by down/time; until then no reading counts."
            self._refuse(identity, "time", "sent_at", reason, now)
        else:
            self._answers.tell(identity, "time", time_message(sent_at=None, received_at=item.at, at=now))

    def _hand_out(self, identity: str, wanted: ChunkRequest) -> None:
        data = firmware_chunk(
            charger_identity=identity,
            sequence=wanted.sequence,
            offset_bytes=wanted.offset_bytes,
            most_bytes=CHUNK_BYTES,
        )
        chunk = chunk_message(sequence=wanted.sequence, offset_bytes=wanted.offset_bytes, data=data)
        self._answers.tell(identity, "chunk", chunk)

    def _refuse(self, identity: str, kind: str, field_name: str, reason: str, now: datetime) -> None:
        if self._complaints.complain(identity, kind, field_name, reason, now=now) and identity != "?":
            self._answers.tell(identity, "error", error_message(kind=kind[:40], reason=reason, at=now))

    def _trace(self, batch: _Batch) -> None:
        """Keep everything but readings, which are stored anyway, and mere requests in the trace of messages."""
        messages = [
            TraceMessage(item.at, identity, "in", kind, str(getattr(message, "sequence", "")), item.payload)
            for identity, kind, message, item in batch.others
            if not item.retained and kind not in UNTRACED
        ]
        if messages:
            record_messages(messages=messages)
