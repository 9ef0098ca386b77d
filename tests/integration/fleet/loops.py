"""An event loop in a thread of its own, so that a test may look at the database while devices and gateways run."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aggregator.management.supervisor.launching import ReservedPort

Result = TypeVar("Result")


class LoopThread:
    """`start` leaves something running; `stop` ends all of it in the reverse order."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._running: list[tuple[asyncio.Event, Any]] = []

    def call(self, coroutine: Coroutine[Any, Any, Result], timeout_s: float = 20) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)

    def start(self, run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        """Run `run(stop)` until the function that is returned is called, or the whole is stopped."""
        stop = self.call(_event())
        future = asyncio.run_coroutine_threadsafe(run(stop), self.loop)
        self._running.append((stop, future))

        def end() -> None:
            self.loop.call_soon_threadsafe(stop.set)
            future.result(20)

        return end

    def close(self) -> None:
        for stop, future in reversed(self._running):
            self.loop.call_soon_threadsafe(stop.set)
            future.result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


async def _event() -> asyncio.Event:
    return asyncio.Event()


def eventually(check: Callable[[], Any], *, within_s: float = 15.0, what: str = "") -> Any:
    """The first true result of `check`; fails if there is none in time."""
    deadline = time.monotonic() + within_s
    while True:
        result = check()
        if result:
            return result
        assert time.monotonic() < deadline, what or f"not within {within_s:g} s"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on, outside the range from which outgoing connections take theirs."""
    reserved = ReservedPort()
    reserved.release()
    return reserved.number
