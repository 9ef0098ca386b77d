"""The loop that every gateway runs: claim due commands, hand them to the driver, record what the devices answered.

Planning and gateways meet in committed rows. A notification wakes the loop within milliseconds of the commit; a poll
every second finds whatever a lost notification left behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import psycopg

from fleet.devices.database import DatabaseThreads, DatabaseUnavailable, listening_parameters
from fleet.devices.driver import DeliversCommands
from fleet.operations.commands import (
    DEVICE_COMMANDS_CHANNEL,
    CommandOutcome,
    DueCommand,
    claim_due_commands,
    confirm_commands,
    requeue_unanswered,
)
from fleet.operations.gateways import LOCK_SPACE

logger = logging.getLogger(__name__)

POLL_S = 1.0
REQUEUE_EVERY_S = 3.0
UNANSWERED_AFTER_S = 10.0
CLAIM_LIMIT = 500
MOST_IN_DELIVERY = 2000
CONFIRM_WINDOW_S = 0.02
RETRY_S = 1.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class CommandDelivery:
    """Delivers the commands of one gateway process until it is told to stop.

    Args:
        gateway_identity: the process, as written to `Charger.gateway_identity`.
        gateway_class: "ocpp", "mqtt" or "modbus".
        driver: carries a command to its device; called once per command, many at a time.
        clock: gives the instant; the wall clock by default.
        on_listening: called whenever the listening connection is (again) open and this gateway known to live.
    """

    def __init__(
        self,
        *,
        gateway_identity: str,
        gateway_class: str,
        driver: DeliversCommands,
        clock: Callable[[], datetime] = _utc_now,
        on_listening: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._identity = gateway_identity
        self._class = gateway_class
        self._driver = driver
        self._clock = clock
        self._on_listening = on_listening
        self._wake = asyncio.Event()
        self._outcomes: list[CommandOutcome] = []
        self._answered = asyncio.Event()
        self._in_delivery: set[asyncio.Task[None]] = set()
        self._database = DatabaseThreads(f"{gateway_class}-commands", threads=2)

    def wake(self) -> None:
        """Look for commands now, such as after a device has connected."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver commands until `stop` is set; then record the answers that have come."""
        helpers = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._confirm()),
            asyncio.create_task(self._requeue()),
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._claim()
                waking = asyncio.create_task(self._wake.wait())
                await asyncio.wait((waking, stopping), timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        finally:
            await self._finish([*helpers, stopping, *self._in_delivery])

    async def _finish(self, tasks: list[asyncio.Task]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(DatabaseUnavailable):
            await self._record_outcomes()
        self._database.close()

    async def _claim(self) -> None:
        self._wake.clear()
        try:
            while len(self._in_delivery) < MOST_IN_DELIVERY:
                commands = await self._database.call(
                    claim_due_commands,
                    gateway_identity=self._identity,
                    gateway_class=self._class,
                    now=self._clock(),
                    limit=CLAIM_LIMIT,
                )
                for command in commands:
                    task = asyncio.create_task(self._deliver(command))
                    self._in_delivery.add(task)
                    task.add_done_callback(self._in_delivery.discard)
                if len(commands) < CLAIM_LIMIT:
                    return
        except DatabaseUnavailable:
            logger.warning("the database is away: commands wait")

    async def _deliver(self, command: DueCommand) -> None:
        try:
            outcome = await self._driver.deliver(command)
        except Exception:
            # one broken command must not stop the others; it is tried again and then marked as unanswered
            logger.exception("command %s for %s could not be delivered", command.command_id, command.asset_identity)
            return
        if outcome is not None:
            self._outcomes.append(outcome)
            self._answered.set()

    async def _confirm(self) -> None:
        while True:
            await self._answered.wait()
            await asyncio.sleep(CONFIRM_WINDOW_S)
            self._answered.clear()
            try:
                await self._record_outcomes()
            except DatabaseUnavailable:
                await asyncio.sleep(RETRY_S)
                self._answered.set()

    async def _record_outcomes(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        try:
            await self._database.call(confirm_commands, outcomes=outcomes)
        except BaseException:
            self._outcomes = outcomes + self._outcomes
            raise

    async def _requeue(self) -> None:
        while True:
            await asyncio.sleep(REQUEUE_EVERY_S)
            with suppress(DatabaseUnavailable):
                if await self._database.call(
                    requeue_unanswered, now=self._clock(), unanswered_after_s=UNANSWERED_AFTER_S
                ):
                    self._wake.set()

    async def _listen(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    **{**listening_parameters(), "autocommit": True}
                ) as listening:
                    await listening.execute(f"LISTEN {DEVICE_COMMANDS_CHANNEL}")
                    await self._show_life(listening)
                    self._wake.set()
                    async for notification in listening.notifies():
                        if notification.payload == self._class:
                            self._wake.set()
            except (psycopg.Error, DatabaseUnavailable):
                logger.warning("no longer told of new commands; polling until the database is back")
                await asyncio.sleep(RETRY_S)

    async def _show_life(self, listening: psycopg.AsyncConnection) -> None:
        """Hold the lock of this gateway's name for as long as the connection is open; see `fleet.operations.gateways`."""
        cursor = await listening.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (LOCK_SPACE, self._identity))
        row = await cursor.fetchone()
        if row is not None and not row[0]:
            logger.warning("another process calls itself %r; give every gateway a name of its own", self._identity)
        if self._on_listening is not None:
            await self._on_listening()


async def deliver_due_commands(
    *, gateway_identity: str, gateway_class: str, driver: DeliversCommands, stop: asyncio.Event
) -> None:
    """Run a `CommandDelivery` until `stop` is set: what a gateway without needs of its own calls."""
    delivery = CommandDelivery(gateway_identity=gateway_identity, gateway_class=gateway_class, driver=driver)
    await delivery.run(stop)
