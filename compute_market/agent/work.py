"""Working one lease: fetch, run in stretches, report, save, finish or give back."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass
from decimal import Decimal

from compute_market.agent import wire
from compute_market.agent.client import LeaseClient, Refused, Unreachable
from compute_market.agent.uplink import Uplink
from compute_market.runners.driver import ProgramFault, ProgramRun, RunFault, RunLimits, Runner, Stretch

log = logging.getLogger("compute_agent.work")

STRETCH_S = 1.0
CHECK_S = 0.1
FETCH_TRIES = 5


@dataclass
class Notice:
    """Tells the worker that it must end: `reason` is set when the event is."""

    event: threading.Event
    reason: str = ""

    def give(self, reason: str) -> None:
        """Give notice; the first reason counts."""
        self.reason = self.reason or reason
        self.event.set()


class LeaseWork:
    """One lease from its grant to its end."""

    def __init__(
        self,
        *,
        client: LeaseClient,
        uplink: Uplink,
        runner: Runner,
        task: wire.TaskMessage,
        notice: Notice,
        duty_fraction: float,
        drain_s: float,
    ) -> None:
        self.client, self.uplink, self.runner, self.task, self.notice = client, uplink, runner, task, notice
        self.duty_fraction, self.drain_s = duty_fraction, drain_s
        self.slice_sequence = task.next_slice_sequence - 1
        self.checkpoint_sequence = task.checkpoint_sequence
        self.unreported_cpu_s = Decimal(0)
        self.progress: float | None = None
        self.isolation = ""
        now = time.monotonic()
        self.reported_at = self.saved_at = now

    def run(self) -> str:
        """Work until the job is done, the lease is over or notice is given; returns how it ended, in a word."""
        program: ProgramRun | None = None
        try:
            program = self._start()
            done = self._compute(program)
            return self._end(program, done)
        except (Refused, Unreachable) as error:
            self.uplink.give_back("computer_fault", f"cannot fetch the job: {error}")
        except ProgramFault as error:
            self._report(force=True)
            self.uplink.give_back("program_fault", str(error))
        except RunFault as error:
            self.uplink.give_back("computer_fault", str(error))
        finally:
            if program is not None:
                program.close()
        log.warning("job %d ended with a fault", self.task.job_id)
        self._drain()
        return "fault"

    def _start(self) -> ProgramRun:
        program = self._fetch("program", self.task.program_sha256)
        checkpoint = self._fetch("checkpoint", self.task.checkpoint_sha256) if self.task.checkpoint_sequence else None
        program_input = b"" if checkpoint is not None else self._fetch("input", "")
        limits = RunLimits(
            memory_mib=self.task.memory_limit_mib, cpu_s=self.task.cpu_limit_s + 5, duty_fraction=self.duty_fraction
        )
        run = self.runner.start(program=program, program_input=program_input, checkpoint=checkpoint, limits=limits)
        self.isolation = run.isolation
        log.info(
            "job %d %s in %s", self.task.job_id, f"resumed from checkpoint {self.task.checkpoint_sequence}"
            if checkpoint is not None else "started", run.isolation,
        )  # fmt: skip
        return run

    def _fetch(self, part: str, sha256: str) -> bytes:
        for attempt in range(FETCH_TRIES):
            try:
                content = self.client.fetch(self.task, part)
                break
            except Unreachable:
                if attempt == FETCH_TRIES - 1 or self.notice.event.wait(0.25 * 2**attempt):
                    raise
        if sha256 and hashlib.sha256(content).hexdigest() != sha256:
            raise Unreachable(f"{part} was damaged on its way")
        return content

    def _compute(self, program: ProgramRun) -> bool:
        """Run stretches until done (True) or until there is a reason to stop (False)."""
        while not self._must_stop():
            program.begin(min(STRETCH_S, self.task.report_s))
            stretch = self._wait(program)
            self.unreported_cpu_s += Decimal(repr(stretch.cpu_s))
            self.progress = self.uplink.progress = stretch.progress_fraction
            if stretch.done:
                return True
            now = time.monotonic()
            # nothing new is queued while the line is down: the work adds up in one slice instead
            if self.uplink.idle:
                if now - self.saved_at >= self.task.checkpoint_s:
                    self._report()
                    self._save(program)
                elif now - self.reported_at >= self.task.report_s:
                    self._report()
        return False

    def _wait(self, program: ProgramRun) -> Stretch:
        interrupted = False
        while True:
            stretch = program.wait(CHECK_S)
            if stretch is not None:
                return stretch
            if self._must_stop() and not interrupted:
                program.interrupt()
                interrupted = True

    def _must_stop(self) -> bool:
        return bool(self.notice.event.is_set() or self.uplink.stop_reason or self.uplink.lost)

    def _end(self, program: ProgramRun, done: bool) -> str:
        if self.uplink.lost:
            return "lost"
        if done:
            output = program.output()
            self._report(force=True)
            self.uplink.complete(output)
        else:
            reason = self.notice.reason or self.uplink.stop_reason
            if self.uplink.stop_reason != "cpu_limit":
                self._report(force=True)
                self._save(program)
                self.uplink.give_back(reason)
        sent = self._drain()
        if self.uplink.lost:
            return "lost"
        return ("completed" if done else "given back") if sent else "unsent"

    def _drain(self) -> bool:
        """Wait until all is sent: until the lease is lost, or at departure for as long as there is time."""
        leave_at: float | None = None
        while not self.uplink.drain(CHECK_S):
            if self.notice.event.is_set():
                leave_at = leave_at or time.monotonic() + self.drain_s
                if time.monotonic() >= leave_at:
                    return False
        return True

    def _report(self, *, force: bool = False) -> None:
        if not self.unreported_cpu_s and not force:
            return
        now = time.monotonic()
        self.slice_sequence += 1
        self.uplink.report(
            sequence=self.slice_sequence,
            cpu_s=f"{self.unreported_cpu_s:.6f}",
            elapsed_s=round(now - self.reported_at, 3),
            progress=self.progress,
        )
        self.unreported_cpu_s, self.reported_at = Decimal(0), now

    def _save(self, program: ProgramRun) -> None:
        self.checkpoint_sequence += 1
        self.uplink.save(
            sequence=self.checkpoint_sequence,
            content=program.snapshot(),
            slice_sequence=self.slice_sequence,
            progress=self.progress,
        )
        self.saved_at = time.monotonic()
