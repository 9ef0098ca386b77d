"""The agent's line to the platform while it works: sends in order, repeats until it gets through, renews the lease.

It is a thread of its own, so that the program computes on while the network is away. What the platform says (stop, or
that the lease is lost) is left in `stop_reason` and `lost` for the worker to see between two stretches.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from compute_market.agent import wire
from compute_market.agent.car import Car
from compute_market.agent.client import LeaseClient, Refused, Unreachable

log = logging.getLogger("compute_agent.uplink")

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 5.0


@dataclass(frozen=True, slots=True)
class Sending:
    """One thing to send; `act` may be called any number of times."""

    what: str
    act: Callable[[], str]


class Uplink(threading.Thread):
    """Sends for one lease."""

    def __init__(self, client: LeaseClient, task: wire.TaskMessage, car: Car) -> None:
        super().__init__(name=f"uplink-{task.lease_id}", daemon=True)
        self.client, self.task, self.car = client, task, car
        self.progress: float | None = None
        self.stop_reason = ""
        self.lost = ""
        self._queue: deque[Sending] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._ending = False
        now = time.monotonic()
        self._lease_ends_at = now + task.lease_s
        self._renew_at = now

    def report(self, *, sequence: int, cpu_s: str, elapsed_s: float, progress: float | None) -> None:
        """Queue a slice."""
        message = wire.SliceMessage(self.task.fencing_token, sequence, cpu_s, elapsed_s, progress)
        self._put(f"slice {sequence}", lambda: self.client.report(self.task.lease_id, message).stop_reason)

    def save(self, *, sequence: int, content: bytes, slice_sequence: int, progress: float | None) -> None:
        """Queue a checkpoint."""

        def act() -> str:
            self.client.save(
                self.task, sequence=sequence, content=content, slice_sequence=slice_sequence, progress=progress
            )
            return ""

        self._put(f"checkpoint {sequence} of {len(content)} bytes", act)

    def complete(self, output: bytes) -> None:
        """Queue the result: the last thing that is sent."""

        def act() -> str:
            self.client.complete(self.task, output)
            return ""

        self._put("result", act, last=True)

    def give_back(self, reason: str, detail: str = "") -> None:
        """Queue the return of the lease: the last thing that is sent."""
        message = wire.GiveBackMessage(self.task.fencing_token, reason, detail[:300])

        def act() -> str:
            self.client.give_back(self.task.lease_id, message)
            return ""

        self._put(f"return ({reason})", act, last=True)

    @property
    def idle(self) -> bool:
        """Whether everything that was queued has been sent."""
        with self._changed:
            return not self._queue

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything is sent or the lease is lost; False if the time runs out before."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue or bool(self.lost), timeout_s)

    def close(self) -> None:
        """Stop sending."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.join(timeout=1.0)
        self.client.close()

    def run(self) -> None:
        """Send and renew until closed or lost."""
        backoff_s = FIRST_BACKOFF_S
        while not self._closed and not self.lost:
            sending = self._next()
            try:
                if sending is not None:
                    self._note(sending.act())
                    self._sent()
                elif not self._ending and time.monotonic() >= self._renew_at:
                    self._renew()
                else:
                    self._sleep(min(1.0, max(0.02, self._renew_at - time.monotonic())))
                backoff_s = FIRST_BACKOFF_S
            except (Unreachable, wire.BadMessage) as error:
                log.warning("%s not sent, will repeat: %s", sending.what if sending else "renewal", error)
                if time.monotonic() > self._lease_ends_at:
                    # by now the platform has given the job to somebody else: computing on would be for nobody
                    self._lose("not renewed in time")
                self._sleep(backoff_s, wake=False)
                backoff_s = min(LONGEST_BACKOFF_S, 2 * backoff_s)
            except Refused as error:
                self._lose(str(error))

    def _renew(self) -> None:
        state = self.car.state()
        answer = self.client.renew(
            self.task.lease_id,
            wire.RenewalMessage(
                self.task.fencing_token, state.plugged_in, state.soc_fraction, state.departure_at, self.progress
            ),
        )
        now = time.monotonic()
        self._lease_ends_at = now + answer.lease_s
        self._renew_at = now + min(self.task.report_s, self.task.lease_s / 4)
        self._note(answer.stop_reason)

    def _note(self, stop_reason: str) -> None:
        if stop_reason and not self.stop_reason:
            log.info("told to stop: %s", stop_reason)
            self.stop_reason = stop_reason

    def _lose(self, why: str) -> None:
        log.warning("lease %d lost: %s", self.task.lease_id, why)
        with self._changed:
            self.lost = why
            self._queue.clear()
            self._changed.notify_all()

    def _put(self, what: str, act: Callable[[], str], *, last: bool = False) -> None:
        with self._changed:
            self._ending = self._ending or last
            self._queue.append(Sending(what, act))
            self._changed.notify_all()

    def _next(self) -> Sending | None:
        with self._changed:
            return self._queue[0] if self._queue else None

    def _sent(self) -> None:
        with self._changed:
            if self._queue:
                self._queue.popleft()
            self._changed.notify_all()

    def _sleep(self, seconds: float, *, wake: bool = True) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (wake and bool(self._queue)), seconds)
