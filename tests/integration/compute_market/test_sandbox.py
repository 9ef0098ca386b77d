"""The sandbox against programs that do not behave, and against a process that tries what no program may."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from compute_market.runners.driver import ProgramFault, RunLimits, SandboxFault, Stretch
from compute_market.runners.wasm.runner import WasmRun, WasmRunner
from compute_market.runners.wasm.samples import prime_sum_input, prime_sum_result, sample_program
from tests.integration.compute_market.programs import (
    DEEPER,
    ENDLESS_LOOP,
    FIRST_FOUR_BYTES,
    FRAME,
    GREEDY_STEP,
    RECURSION,
    program,
)
from tests.integration.compute_market.reference import primes_below

ROOT = Path(__file__).resolve().parents[3]
LIMITS = RunLimits(memory_mib=4, cpu_s=60, step_cpu_s=1.0)


@contextmanager
def running(
    content: bytes, *, given: bytes = b"", checkpoint: bytes | None = None, limits: RunLimits = LIMITS
) -> Iterator[WasmRun]:
    run = WasmRunner().start(program=content, program_input=given, checkpoint=checkpoint, limits=limits)
    try:
        yield run
    finally:
        run.close()


def finish(run: WasmRun) -> Stretch:
    run.begin(60)
    stretch = run.wait(120)
    assert stretch is not None
    assert stretch.done
    return stretch


def test_a_program_computes_behind_the_walls() -> None:
    limits = RunLimits(memory_mib=8, cpu_s=60)
    with running(sample_program("prime_sum"), given=prime_sum_input(limit=500_000), limits=limits) as run:
        finish(run)
        assert prime_sum_result(run.output()) == primes_below(500_000)
        assert "limits" in run.isolation


def test_a_checkpoint_resumes_with_memory_and_globals() -> None:
    limits = RunLimits(memory_mib=32, cpu_s=60)
    module, given = sample_program("prime_sum"), prime_sum_input(limit=20_000_000)
    with running(module, given=given, limits=limits) as run:
        run.begin(0.001)
        stretch = run.wait(60)
        assert stretch is not None
        assert not stretch.done
        image = run.snapshot()
    with running(module, checkpoint=image, limits=limits) as resumed:
        finish(resumed)
        assert prime_sum_result(resumed.output()) == primes_below(20_000_000)


def test_a_runaway_step_is_killed() -> None:
    with running(program(step=ENDLESS_LOOP)) as run:
        child = psutil.Process(run.process.pid)
        run.begin(0.1)
        with pytest.raises(ProgramFault, match="was killed"):
            run.wait(60)
        assert not child.is_running()


def test_a_runaway_init_is_killed() -> None:
    with pytest.raises(ProgramFault, match="was killed"), running(program(init="(loop $l (br $l))")):
        pass


def test_the_memory_cap_holds() -> None:
    with running(program(step=GREEDY_STEP, output=FIRST_FOUR_BYTES)) as run:
        finish(run)
        (pages,) = struct.unpack("<I", run.output())
    assert pages == LIMITS.memory_mib * 16


def test_a_program_that_needs_more_memory_than_it_has_does_not_start() -> None:
    frame = FRAME.replace('"memory") 1)', '"memory") 100)')
    with pytest.raises(ProgramFault, match="memory"), running(program(frame=frame)):
        pass


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ({"step": "unreachable"}, "unreachable"),
        ({"step": "(i32.div_u (i32.const 1) (i32.const 0))"}, "divide by zero"),
        ({"step": "(i32.load (i32.const 0x7fffffff))"}, "out of bounds"),
        ({"step": RECURSION, "more": DEEPER}, "call stack exhausted"),
        ({"step": "(i32.const 7)"}, "step returned 7"),
        ({"output": "(i64.const 0x7fffffff00000008)"}, "output points outside"),
        ({"output": "(i64.const 0x0000000040000000)"}, "above the limit"),
    ],
)
def test_a_broken_program_is_told_from_a_broken_sandbox(pieces: dict[str, str], told: str) -> None:
    with running(program(**pieces)) as run, pytest.raises(ProgramFault, match=told):
        finish(run)
        run.output()


def test_imports_are_not_served() -> None:
    frame = FRAME.replace("(module", '(module (import "wasi_snapshot_preview1" "path_open" (func (param i32)))')
    with pytest.raises(ProgramFault, match="import"), running(program(frame=frame)):
        pass


def test_an_image_of_another_program_or_a_damaged_one_is_refused() -> None:
    with running(program()) as run:
        image = run.snapshot()
    with pytest.raises(SandboxFault, match="another program"), running(program(step="unreachable"), checkpoint=image):
        pass
    with pytest.raises(SandboxFault, match="image"), running(program(), checkpoint=image[:-3]):
        pass


def test_cpu_time_is_bounded_by_the_kernel() -> None:
    slow = RunLimits(memory_mib=4, cpu_s=1, step_cpu_s=600)
    with running(program(step=ENDLESS_LOOP), limits=slow) as run, pytest.raises(ProgramFault, match="CPU time"):
        run.begin(600)
        run.wait(120)


ESCAPE = """
import sys; sys.path[:0] = [sys.argv[1]]
import ctypes, json, os, resource, signal, socket, subprocess
from compute_market.runners.wasm import walls
if sys.argv[2] == "refused":
    walls._enter_namespaces = lambda: False
if sys.argv[2] == "granted to a user" and os.getuid() == 0:
    os.setgroups([]); os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)
found = {"walls": walls.raise_walls(memory_mib=256, cpu_s=20, address_space_mib=4096)}
def attempt(name, act):
    try:
        act()
        found[name] = "succeeded"
    except BaseException as error:
        found[name] = type(error).__name__
attempt("read a file", lambda: open("/etc/passwd").read())
attempt("list a folder", lambda: os.listdir("/"))
attempt("write a file", lambda: open("/tmp/escaped", "w").write("x"))
attempt("open a socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
attempt("open a local socket", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
attempt("fork", lambda: os._exit(0) if os.fork() == 0 else None)
attempt("run a program", lambda: os.execv("/bin/true", ["true"]))
attempt("signal the parent", lambda: os.kill(os.getppid(), 0))
attempt("become root", lambda: os.setuid(0))
attempt("lift a limit", lambda: resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000)))
attempt("take memory", lambda: bytearray(1 << 30))
os.write(1, json.dumps(found).encode())
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces and seccomp are Linux's; elsewhere limits alone stand")
@pytest.mark.parametrize("namespaces", ["granted", "granted to a user", "refused"])
def test_no_file_no_network_no_process_from_behind_the_walls(namespaces: str) -> None:
    tried = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ESCAPE, str(ROOT), namespaces], capture_output=True, timeout=60, check=True
    )
    found = json.loads(tried.stdout)
    standing = found.pop("walls")
    assert {"limits", "seccomp"} <= set(standing)
    assert [name for name, outcome in found.items() if outcome == "succeeded"] == []


NAMESPACES_ALONE = """
import sys; sys.path[:0] = [sys.argv[1]]
import ctypes, json, os, socket
from compute_market.runners.wasm import walls
walls._filter_system_calls = lambda: False
walls._limit = lambda **_: None
found = {"walls": walls.raise_walls(memory_mib=256, cpu_s=20, address_space_mib=4096), "root": os.listdir("/")}
for name, act in (
    ("read", lambda: open("/etc/passwd").read()),
    ("write", lambda: open("/escaped", "w")),
    ("process table", lambda: os.listdir("/proc")),
    ("connect", lambda: socket.socket().connect(("127.0.0.1", int(sys.argv[2])))),
):
    try:
        act()
        found[name] = "succeeded"
    except OSError as error:
        found[name] = type(error).__name__
os.write(1, json.dumps(found).encode())
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_in_its_namespaces_there_is_no_file_and_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        tried = subprocess.run(
            [sys.executable, "-I", "-S", "-c", NAMESPACES_ALONE, str(ROOT), port],
            capture_output=True,
            timeout=60,
            check=True,
        )
    found = json.loads(tried.stdout)
    if "namespaces" not in found.pop("walls"):
        pytest.skip("this system lets nobody make namespaces; seccomp is tested above")
    assert found.pop("root") == []
    assert [name for name, outcome in found.items() if outcome == "succeeded"] == []


HOLDER = """
import sys, time; sys.path[:0] = [sys.argv[1]]
from compute_market.runners.driver import RunLimits
from compute_market.runners.wasm.runner import start_sandbox
print(start_sandbox(RunLimits(memory_mib=4, cpu_s=60)).pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told by Linux alone")
def test_the_sandbox_ends_with_its_runner() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(ROOT)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    sandbox = psutil.Process(int(holder.stdout.readline()))
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    ends_at = time.monotonic() + 60
    while sandbox.is_running() and sandbox.status() != psutil.STATUS_ZOMBIE and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert not sandbox.is_running() or sandbox.status() == psutil.STATUS_ZOMBIE
