"""The agent's life: offer, wait for a lease, work it, offer again, until notice of departure."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from compute_market.agent import wire
from compute_market.agent.car import Car
from compute_market.agent.client import LeaseClient, OfferAnswer, Refused, Unreachable
from compute_market.agent.uplink import Uplink
from compute_market.agent.work import LeaseWork, Notice
from compute_market.runners.driver import Runner

log = logging.getLogger("compute_agent")

LEAST_POLL_S = 1.0
REFUSED_POLL_FACTOR = 2.5
LONGEST_BACKOFF_S = 30.0
AFTER_FAULT_S = 10.0


class Agent:
    """One computer's agent."""

    def __init__(
        self,
        *,
        connect: Callable[[], LeaseClient],
        runner: Callable[[], Runner],
        car: Car,
        notice: Notice,
        memory_mib: int,
        duty_fraction: float,
        drain_s: float,
    ) -> None:
        """Args:
        connect: makes a client; each thread has its own.
        runner: makes the runner, when the first job comes: an idle agent loads nothing that it does not need.
        drain_s: for how long at most the last words of a lease may take, departure included.
        """
        self.connect, self.make_runner, self.car, self.notice = connect, runner, car, notice
        self.memory_mib, self.duty_fraction, self.drain_s = memory_mib, duty_fraction, drain_s
        self.client = connect()
        self.backoff_s = LEAST_POLL_S
        # which walls the last sandbox had; not known before the first job
        self.isolation = ""

    def run(self) -> None:
        """Live until notice is given."""
        self._give_back_leftover()
        while not self.notice.event.is_set():
            wait_s = LEAST_POLL_S
            answer = self._offer()
            if answer is None:
                wait_s = self.backoff_s
                self.backoff_s = min(LONGEST_BACKOFF_S, 2 * self.backoff_s)
            else:
                self.backoff_s = LEAST_POLL_S
                wait_s = max(LEAST_POLL_S, answer.poll_s)
                if answer.refused_because:
                    wait_s *= REFUSED_POLL_FACTOR
                if answer.task is not None:
                    wait_s = AFTER_FAULT_S if self._work(answer.task) == "fault" else 0.0
            # agents that start together spread out
            self.notice.event.wait(wait_s * random.uniform(0.8, 1.2))
        self._withdraw()

    def _offer(self) -> OfferAnswer | None:
        state = self.car.state()
        message = wire.OfferMessage(
            memory_mib=self.memory_mib,
            plugged_in=state.plugged_in,
            soc_fraction=state.soc_fraction,
            departure_at=state.departure_at,
            isolation=self.isolation,
        )
        try:
            return self.client.offer(message)
        except Unreachable as error:
            log.warning("the platform is not reached: %s", error)
        except (Refused, wire.BadMessage) as error:
            log.error("the offer was refused: %s", error)
        return None

    def _give_back_leftover(self) -> None:
        """A lease from an earlier life of this agent: its work since the last checkpoint is gone, so give it back."""
        while not self.notice.event.is_set():
            answer = self._offer()
            if answer is None:
                self.notice.event.wait(self.backoff_s)
                self.backoff_s = min(LONGEST_BACKOFF_S, 2 * self.backoff_s)
                continue
            if answer.task is not None:
                message = wire.GiveBackMessage(answer.task.fencing_token, "agent_stopped", "the agent started anew")
                try:
                    self.client.give_back(answer.task.lease_id, message)
                except (Unreachable, Refused) as error:
                    log.warning("an earlier lease was not given back: %s", error)
            self.backoff_s = LEAST_POLL_S
            return

    def _work(self, task: wire.TaskMessage) -> str:
        uplink = Uplink(self.connect(), task, self.car)
        uplink.start()
        try:
            work = LeaseWork(
                client=self.client,
                uplink=uplink,
                runner=self.make_runner(),
                task=task,
                notice=self.notice,
                duty_fraction=self.duty_fraction,
                drain_s=self.drain_s,
            )
            ended = work.run()
            self.isolation = work.isolation or self.isolation
        finally:
            uplink.close()
        log.info("job %d: %s", task.job_id, ended)
        return ended

    def _withdraw(self) -> None:
        try:
            self.client.withdraw(self.notice.reason or "agent_stopped")
        except (Unreachable, Refused) as error:
            log.warning("the offer was not withdrawn: %s", error)
        self.client.close()
