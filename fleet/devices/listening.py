"""Being told of what was committed: PostgreSQL notifications for an event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg

from fleet.devices.database import listening_parameters

logger = logging.getLogger(__name__)

RETRY_S = 1.0


async def listen(channel: str, told: Callable[[str], None]) -> None:
    """Call `told(payload)` for every notification until cancelled, and `told("")` after each (re)connection, because
    what was sent in between is gone."""
    while True:
        try:
            parameters = {**listening_parameters(), "autocommit": True}
            async with await psycopg.AsyncConnection.connect(**parameters) as connection:
                await connection.execute(f"LISTEN {channel}")
                told("")
                async for notification in connection.notifies():
                    told(notification.payload)
        except psycopg.Error:
            logger.warning("no longer told of %s; trying again until the database is back", channel)
            await asyncio.sleep(RETRY_S)
