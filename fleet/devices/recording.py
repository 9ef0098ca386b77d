"""Readings on their way to the database: gathered for a moment, stored together, kept while the database is away."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

from common.errors import PlatformError
from fleet.devices.database import DatabaseThreads, DatabaseUnavailable
from fleet.operations.telemetry import MeterReading, RecordOutcome, RefusedReading, record_readings

logger = logging.getLogger(__name__)

GATHER_S = 0.1
BATCH = 5_000
RETRY_S = 1.0
# About twenty minutes of 200 devices: longer absences of the database are covered by the registers alone.
MOST_WAITING = 240_000


class RecorderFull(PlatformError):
    """So many readings wait for the database that no more are taken."""

    code = "recorder_full"


class ReadingRecorder:
    """Stores readings in groups. One per gateway process; `run` must be running for anything to be stored."""

    def __init__(self, database: DatabaseThreads) -> None:
        self._database = database
        self._waiting: deque[tuple[Sequence[MeterReading], asyncio.Future[tuple[RefusedReading, ...]]]] = deque()
        self._count = 0
        self._arrived = asyncio.Event()
        self.stored = 0

    def submit(self, readings: Sequence[MeterReading]) -> asyncio.Future[tuple[RefusedReading, ...]]:
        """Take readings; the future is done, with those refused, once the others are committed.

        Raises:
            RecorderFull: too many wait already.
        """
        if self._count + len(readings) > MOST_WAITING:
            raise RecorderFull(f"{self._count} readings wait for the database.")
        done: asyncio.Future[tuple[RefusedReading, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.append((readings, done))
        self._count += len(readings)
        self._arrived.set()
        return done

    async def run(self, stop: asyncio.Event) -> None:
        """Store what is submitted until `stop`; then store what is left."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                arriving = asyncio.create_task(self._arrived.wait())
                await asyncio.wait((arriving, stopping), return_when=asyncio.FIRST_COMPLETED)
                arriving.cancel()
                if not stop.is_set():
                    await asyncio.sleep(GATHER_S)
                await self._store_all(stop)
        finally:
            stopping.cancel()

    async def _store_all(self, stop: asyncio.Event) -> None:
        self._arrived.clear()
        while self._waiting:
            group: list[tuple[Sequence[MeterReading], asyncio.Future[tuple[RefusedReading, ...]]]] = []
            readings: list[MeterReading] = []
            while self._waiting and len(readings) < BATCH:
                group.append(self._waiting.popleft())
                readings += group[-1][0]
            try:
                outcome: RecordOutcome = await self._database.call(
                    record_readings, readings=readings, now=datetime.now(UTC)
                )
            except BaseException as error:
                self._waiting.extendleft(reversed(group))
                if not isinstance(error, DatabaseUnavailable):
                    raise
                if stop.is_set():
                    logger.error("%d readings are lost: the database is away", self._count)
                    return
                logger.warning("the database is away: %d readings wait", self._count)
                await asyncio.sleep(RETRY_S)
                continue
            self._count -= len(readings)
            self.stored += outcome.stored
            self._answer(group, outcome)

    @staticmethod
    def _answer(
        group: list[tuple[Sequence[MeterReading], asyncio.Future[tuple[RefusedReading, ...]]]], outcome: RecordOutcome
    ) -> None:
        by_identity = {id(refused.reading): refused for refused in outcome.refused}
        for readings, done in group:
            if not done.done():
                done.set_result(tuple(by_identity[id(reading)] for reading in readings if id(reading) in by_identity))
