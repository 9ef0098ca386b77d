"""The database as a gateway needs it: calls from an event loop, each thread with a connection of its own, and patience
when the server is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Barrier, BrokenBarrierError
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, connections

from common.errors import PlatformError

Result = TypeVar("Result")

# What the database raises when it is gone, going or overloaded; whatever was asked may be asked again.
DATABASE_LOST = (OperationalError, InterfaceError)


# How long a thread that is to end waits for another one's last call.
CLOSE_PATIENCE_S = 2.0


class DatabaseUnavailable(PlatformError):
    """The database cannot be reached now."""

    code = "database_unavailable"

    def __init__(self) -> None:
        super().__init__("The database cannot be reached.", remedy="Try again in a few seconds.")


class DatabaseThreads:
    """A few threads for calls that an event loop must not wait in. Each keeps one connection and renews it by itself."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._threads = threads

    async def call(self, function: Callable[..., Result], **arguments: Any) -> Result:
        """Run `function(**arguments)` in a thread.

        Raises:
            DatabaseUnavailable: the database is away; the connection is renewed with the next call.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(_guarded, function, arguments))

    def close(self) -> None:
        """Close every thread's connection and end the threads."""
        # nobody leaves before all are there, so that no thread closes twice and another not at all
        everyone = Barrier(self._threads)
        for _ in range(self._threads):
            self._executor.submit(_close_with, everyone)
        self._executor.shutdown(wait=True)


def _close_with(everyone: Barrier) -> None:
    with suppress(BrokenBarrierError):
        everyone.wait(CLOSE_PATIENCE_S)
    connections.close_all()


def _guarded(function: Callable[..., Result], arguments: dict[str, Any]) -> Result:
    try:
        return function(**arguments)
    except DATABASE_LOST as error:
        connection.close()
        raise DatabaseUnavailable from error


def listening_parameters() -> dict[str, Any]:
    """Parameters with which psycopg itself connects to the database that Django is configured for."""
    parameters = connections["default"].get_connection_params()
    return {name: value for name, value in parameters.items() if name not in ("context", "cursor_factory")}
