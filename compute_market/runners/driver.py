"""What every runner can do. One run is one program in its own sandbox, worked in short stretches so that it can stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class RunFault(Exception):
    """A run ended before its time."""


class ProgramFault(RunFault):
    """The program broke its rules: it trapped, ran away, or wanted more memory than it has."""


class SandboxFault(RunFault):
    """The sandbox could not be made, or died by no fault of the program."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may use.

    Attributes:
        memory_mib: linear memory of the program.
        cpu_s: CPU time in all, after which the kernel ends the sandbox.
        step_cpu_s: CPU time of a single step; a step beyond it is a runaway.
        step_wall_s: wall time of a single step, however slow the machine.
        duty_fraction: part of the time, above 0 to 1, in which the program may compute; the rest it sleeps.
    """

    memory_mib: int
    cpu_s: float
    step_cpu_s: float = 10.0
    step_wall_s: float = 120.0
    duty_fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one stretch of work did: its CPU time, how far the program is (None: it does not say), whether it is done."""

    cpu_s: float
    steps: int
    progress_fraction: float | None
    done: bool


class ProgramRun(Protocol):
    """One program in its sandbox."""

    @property
    def isolation(self) -> str:
        """Which walls stand around it, such as "namespaces, empty root, seccomp"."""
        ...

    def begin(self, duration_s: float) -> None:
        """Start a stretch of about `duration_s` seconds and return at once."""
        ...

    def wait(self, timeout_s: float) -> Stretch | None:
        """The stretch that was begun, or None if it is not over within the timeout. Raises RunFault."""
        ...

    def interrupt(self) -> None:
        """End the stretch after the step that runs now; `wait` then returns it."""
        ...

    def snapshot(self) -> bytes:
        """The state between two steps, from which any computer goes on. Raises RunFault."""
        ...

    def output(self) -> bytes:
        """What a program that is done has put out. Raises RunFault."""
        ...

    def close(self) -> None:
        """End the sandbox and everything in it."""
        ...


class Runner(Protocol):
    """Starts programs of one kind."""

    kind: str

    def start(self, *, program: bytes, program_input: bytes, checkpoint: bytes | None, limits: RunLimits) -> ProgramRun:
        """Put a program into a sandbox, fresh with its input or from a checkpoint. Raises RunFault."""
        ...
