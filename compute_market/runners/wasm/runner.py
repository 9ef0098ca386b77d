"""The runner's side: starts the sandbox, talks to it, and ends it, with everything in it, when it breaks its limits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from compute_market.runners.driver import ProgramFault, RunLimits, SandboxFault, Stretch
from compute_market.runners.wasm.frames import ChannelClosed, ChannelSilent, has_input, read_frame, write_frame

ROOT = Path(__file__).resolve().parents[3]
BOOT = "import sys; sys.path[:0] = sys.argv[1:3]; from compute_market.runners.wasm.child import main; main()"
START_TIMEOUT_S = 60.0
# An answer that has begun to come is all but there; a loaded machine may still be slow.
ANSWER_TIMEOUT_S = 60.0
MOST_OUTPUT_BYTES = 8 * 1024 * 1024
CHECK_EVERY_S = 0.25


class WasmRunner:
    """Runs WebAssembly modules (docs/compute-abi.md)."""

    kind = "wasm"

    def start(self, *, program: bytes, program_input: bytes, checkpoint: bytes | None, limits: RunLimits) -> WasmRun:
        """Put a module into a new sandbox.

        Raises:
            ProgramFault: it does not compile or keep its contract.
            SandboxFault: the sandbox does not start, or the checkpoint is damaged.
        """
        run = WasmRun(limits)
        try:
            run.load(program, program_input, checkpoint)
        except BaseException:
            run.close()
            raise
        return run


class WasmRun:
    """One module in its sandbox."""

    def __init__(self, limits: RunLimits) -> None:
        self.limits = limits
        self.process = start_sandbox(limits)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.to_child, self.from_child = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.began_at = 0.0
        self.cpu_at_begin_s = 0.0
        self.duration_s = 0.0
        # compiling and init are the program's time too: they count with the first stretch
        self.uncounted_cpu_s = 0.0
        try:
            header, _ = self._read(START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise
        self.walls: list[str] = header["walls"]

    @property
    def isolation(self) -> str:
        """Which walls stand around the module."""
        return ", ".join(["process", *self.walls])

    def load(self, program: bytes, program_input: bytes, checkpoint: bytes | None) -> None:
        """Hand over the module with its input or its last state."""
        header = {
            "kind": "load",
            "memory_mib": self.limits.memory_mib,
            "most_output_bytes": MOST_OUTPUT_BYTES,
            "restore": checkpoint is not None,
        }
        self._write(header, program)
        self._write({"kind": "state"}, program_input if checkpoint is None else checkpoint)
        self._await_answer()
        self.uncounted_cpu_s = self._expect("loaded")[0]["cpu_s"]

    def begin(self, duration_s: float) -> None:
        """Start a stretch; see `ProgramRun`."""
        self._start_clock(duration_s)
        self._write({"kind": "run", "duration_s": duration_s, "duty_fraction": self.limits.duty_fraction})

    def wait(self, timeout_s: float) -> Stretch | None:
        """The stretch, once it is over; see `ProgramRun`.

        Raises:
            ProgramFault: the module trapped, or a step ran beyond its limit and was killed.
        """
        ends_at = time.monotonic() + timeout_s
        while True:
            left_s = ends_at - time.monotonic()
            if has_input(self.from_child, max(0.0, min(left_s, CHECK_EVERY_S))):
                header, _ = self._expect("stretch")
                cpu_s, self.uncounted_cpu_s = header["cpu_s"] + self.uncounted_cpu_s, 0.0
                return Stretch(cpu_s, header["steps"], header["progress_fraction"], header["done"])
            self._stop_runaway()
            if left_s <= 0:
                return None

    def interrupt(self) -> None:
        """End the stretch at the next step."""
        self._write({"kind": "interrupt"})

    def snapshot(self) -> bytes:
        """The state between two steps."""
        self._write({"kind": "snapshot"})
        self._await_answer()
        return self._expect("snapshot")[1]

    def output(self) -> bytes:
        """What the module has put out."""
        self._write({"kind": "output"})
        self._await_answer()
        return self._expect("output")[1]

    def close(self) -> None:
        """Kill the sandbox's process group and collect it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait()

    def _start_clock(self, duration_s: float) -> None:
        self.began_at, self.duration_s = time.monotonic(), duration_s
        self.cpu_at_begin_s = cpu_time_s(self.process.pid) or 0.0

    def _await_answer(self) -> None:
        """Wait for an answer to a single call, which may take as long as one step."""
        self._start_clock(0.0)
        while not has_input(self.from_child, CHECK_EVERY_S):
            self._stop_runaway()

    def _stop_runaway(self) -> None:
        """A stretch ends with its first step after its time: one that spends far more in CPU or wall time hangs in a step."""
        spent_s = (cpu_time_s(self.process.pid) or 0.0) - self.cpu_at_begin_s
        passed_s = time.monotonic() - self.began_at
        if spent_s > self.duration_s + self.limits.step_cpu_s or passed_s > self.duration_s + self.limits.step_wall_s:
            self.close()
            raise ProgramFault(f"a call ran for more than {self.limits.step_cpu_s:g} s and was killed")

    def _expect(self, kind: str) -> tuple[dict[str, Any], bytes]:
        """The answer that has begun to come."""
        header, body = self._read(ANSWER_TIMEOUT_S)
        if header["kind"] == "fault":
            raise (ProgramFault if header["by"] == "program" else SandboxFault)(header["detail"])
        if header["kind"] != kind:
            raise SandboxFault(f"the sandbox answered {header['kind']!r} instead of {kind!r}")
        return header, body

    def _read(self, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        try:
            return read_frame(self.from_child, timeout_s=timeout_s)
        except ChannelSilent as error:
            self.close()
            raise SandboxFault(f"the sandbox was silent for {timeout_s:g} s") from error
        except ChannelClosed as error:
            raise self._death() from error

    def _write(self, header: dict[str, Any], body: bytes = b"") -> None:
        try:
            write_frame(self.to_child, header, body)
        except ChannelClosed as error:
            raise self._death() from error

    def _death(self) -> ProgramFault | SandboxFault:
        """What a sandbox that is gone died of: its limits are the program's fault."""
        self.process.wait()
        code = self.process.returncode
        if code == -signal.SIGXCPU:
            return ProgramFault("used more CPU time than the job has")
        if code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS):
            return ProgramFault(f"the sandbox crashed with signal {-code}, most likely out of memory")
        return SandboxFault(f"the sandbox ended with code {code}")


def start_sandbox(limits: RunLimits) -> subprocess.Popen[bytes]:
    """Start the child: isolated Python, no environment, a session of its own, nothing open but its pipes."""
    spec = find_spec("wasmtime")
    if spec is None or spec.origin is None:
        raise SandboxFault("wasmtime is not installed")
    packages = str(Path(spec.origin).parents[1])
    arguments = [str(ROOT), packages, str(os.getpid()), str(limits.memory_mib), f"{limits.cpu_s:.3f}"]
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BOOT, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            close_fds=True,
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise SandboxFault(f"the sandbox does not start: {error}") from error


def cpu_time_s(pid: int) -> float | None:
    """CPU time of a process so far; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
