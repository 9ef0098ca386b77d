"""Group commit: whatever stations say within a few milliseconds becomes durable in one transaction, and only then are
they answered.

One thread with one connection per gateway. Every piece of work has a savepoint of its own, so that one that fails spoils
none beside it; readings and progress of all are written by one statement each. When the database is away the work waits
in order and nobody is answered; stations repeat what was not answered, and all work may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

from django.db import connection, transaction

from fleet.devices.database import DATABASE_LOST
from fleet.operations.session_progress import SessionProgress, advance_sessions
from fleet.operations.telemetry import MeterReading, RefusedReading, record_readings

logger = logging.getLogger(__name__)

# How long the first of a batch waits for others: an answer may take 20 ms, and a commit costs the same for one as for 40.
WINDOW_S = 0.015
LARGEST_BATCH = 1000
MOST_WAITING = 20_000
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
# After so many failures of a batch while the database answers, its pieces are tried one by one.
PATIENCE = 3


@dataclass(slots=True, eq=False)
class Work:
    """What one message asks to be made durable.

    `operation` runs in a savepoint; `readings` and `progress` are written together with everybody's. The future gives
    the operation's result, or its error, after the commit. `refused` are readings that were not stored, with reasons.
    """

    operation: Callable[[], Any] | None = None
    readings: Sequence[MeterReading] = ()
    progress: SessionProgress | None = None
    future: asyncio.Future | None = None
    refused: list[RefusedReading] = field(default_factory=list)
    result: Any = None
    error: Exception | None = None


class GroupWriter:
    """The writer of one gateway; made and used in the event loop, with a thread behind it."""

    def __init__(self, *, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._loop = asyncio.get_running_loop()
        self._batches: SimpleQueue[list[Work] | None] = SimpleQueue()
        self._gathering: list[Work] = []
        self._waiting = 0
        self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ocpp-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Pieces of work that are not durable yet."""
        return self._waiting

    async def write(self, work: Work) -> Any:
        """Make work durable and return its operation's result; raises what the operation raised."""
        while not self._room.is_set():
            await self._room.wait()
        work.future = self._loop.create_future()
        self.post(work)
        return await work.future

    def post(self, work: Work) -> None:
        """Make work durable in its turn without waiting for it."""
        self._gathering.append(work)
        self._waiting += 1
        if self._waiting >= MOST_WAITING:
            self._room.clear()
        if self._writing:
            return
        if len(self._gathering) >= LARGEST_BATCH:
            self._send()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._window_s, self._send)

    async def stop(self) -> None:
        """Write what can be written and end the thread. Work that cannot be is dropped unanswered."""
        deadline = time.monotonic() + 1.0
        while self._waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._stopping.set()
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join, 2.0)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gathering and not self._writing:
            batch, self._gathering = self._gathering[:LARGEST_BATCH], self._gathering[LARGEST_BATCH:]
            self._writing = True
            self._batches.put(batch)

    def _written(self, batch: list[Work]) -> None:
        self._writing = False
        self._waiting -= len(batch)
        if self._waiting < MOST_WAITING // 2:
            self._room.set()
        for work in batch:
            if work.future is not None and not work.future.done():
                if work.error is not None:
                    work.future.set_exception(work.error)
                else:
                    work.future.set_result(work.result)
            elif work.error is not None:
                logger.error("work that nobody waits for failed: %s", work.error)
        if len(self._gathering) >= LARGEST_BATCH:
            self._send()
        elif self._gathering and self._timer is None:
            self._timer = self._loop.call_later(self._window_s, self._send)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            if self._make_durable(batch):
                with suppress(RuntimeError):  # the loop may be closed by now
                    self._loop.call_soon_threadsafe(self._written, batch)
        connection.close()

    def _make_durable(self, batch: list[Work]) -> bool:
        """Commit a batch, however long the database takes to come back. False if told to stop before."""
        pause_s, failures = SHORTEST_PAUSE_S, 0
        while not self._stopping.is_set():
            try:
                if failures >= PATIENCE and connection.is_usable():
                    commit_one_by_one(batch)
                else:
                    commit_batch(batch)
                return True
            except DATABASE_LOST as error:
                failures += 1
                if failures == 1:
                    logger.warning("the database does not take %d messages, which wait: %s", len(batch), error)
                with suppress(*DATABASE_LOST):
                    connection.close()
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception:
                logger.exception("%d messages cannot be committed together; each is tried by itself", len(batch))
                failures = PATIENCE
        return False


def commit_batch(batch: Sequence[Work]) -> None:
    """Commit work together; afterwards each has its result or its error.

    Raises:
        DATABASE_LOST: nothing of it is durable; try again.
    """
    committed = False

    def note_commit() -> None:
        nonlocal committed
        committed = True

    try:
        with transaction.atomic():
            transaction.on_commit(note_commit)
            for work in batch:
                _run_operation(work)
            _write_progress([work for work in batch if work.progress is not None])
            _write_readings([work for work in batch if work.readings])
    except Exception:
        # what runs after a commit, such as showing the latest state, must not make anybody repeat what is durable
        if not committed:
            raise
        logger.exception("after the commit")


def commit_one_by_one(batch: Sequence[Work]) -> None:
    """Commit each piece of work by itself; what the database refuses for good becomes the error of that piece.

    Raises:
        DATABASE_LOST: the database has gone; try again.
    """
    for work in batch:
        try:
            commit_batch([work])
        except Exception as error:
            if isinstance(error, DATABASE_LOST) and not connection.is_usable():
                raise
            work.error = error


def _run_operation(work: Work) -> None:
    work.result = work.error = None
    if work.operation is None:
        return
    try:
        with transaction.atomic():
            work.result = work.operation()
    except DATABASE_LOST:
        raise
    except Exception as error:
        work.error = error


def _write_progress(works: Sequence[Work]) -> None:
    if works:
        advance_sessions(progress=[work.progress for work in works if work.progress is not None])


def _write_readings(works: Sequence[Work]) -> None:
    if not works:
        return
    now = datetime.now(UTC)
    try:
        # it has a savepoint of its own
        outcome = record_readings(readings=[reading for work in works for reading in work.readings], now=now)
    except DATABASE_LOST:
        raise
    except Exception as error:
        if len(works) == 1:
            works[0].error = works[0].error or error
            return
        for work in works:
            _write_readings([work])
        return
    if outcome.refused:
        whose = {id(reading): work for work in works for reading in work.readings}
        for refused in outcome.refused:
            whose[id(refused.reading)].refused.append(refused)
