"""The process in the sandbox. It imports what it needs, raises its walls, and only then sees the tenant's bytes.

Messages to it: load (then program, input or checkpoint), run, interrupt, snapshot, output. From it: ready, loaded,
stretch, snapshot, output, fault. Nothing but pipes connects it to the world.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from compute_market.runners.wasm.frames import ChannelClosed, has_input, read_frame, write_frame
from compute_market.runners.wasm.image import DamagedImage
from compute_market.runners.wasm.instance import BrokenContract, ModuleInstance
from compute_market.runners.wasm.walls import die_with_parent, raise_walls

IN, OUT = 0, 1
# Python, wasmtime and the compiler's own memory, and the address space that wasmtime reserves around 4 GiB memories
OWN_MEMORY_MIB = 192
RESERVED_MIB = 8 * 1024


def main() -> None:
    """Serve one program until the runner closes the pipe."""
    parent_pid, memory_mib, cpu_s = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    die_with_parent(parent_pid)
    # an image, its compressed form and the memory itself stand side by side for a moment
    walls = raise_walls(
        memory_mib=OWN_MEMORY_MIB + 3 * memory_mib, cpu_s=cpu_s, address_space_mib=RESERVED_MIB + 3 * memory_mib
    )
    write_frame(OUT, {"kind": "ready", "walls": walls})
    instance: ModuleInstance | None = None
    try:
        while True:
            header, body = read_frame(IN)
            if header["kind"] == "load":
                instance = answer(load, header, body)
            elif instance is not None:
                answer(work, header, instance)
    except ChannelClosed:
        os._exit(0)


def answer(act: Any, *arguments: Any) -> Any:
    """Do something; what goes wrong with the program is told, what goes wrong with us ends the process."""
    try:
        return act(*arguments)
    except (BrokenContract, DamagedImage) as error:
        fault = {"kind": "fault", "by": "program" if isinstance(error, BrokenContract) else "image"}
        write_frame(OUT, {**fault, "detail": str(error)})
    except MemoryError:
        write_frame(OUT, {"kind": "fault", "by": "program", "detail": "needs more memory than the job has"})
    return None


def load(header: dict[str, Any], program: bytes) -> ModuleInstance:
    """Compile the program and bring it to its state."""
    _, state = read_frame(IN)
    began = time.process_time()
    instance = ModuleInstance(program, memory_mib=header["memory_mib"], most_output_bytes=header["most_output_bytes"])
    if header["restore"]:
        instance.restore(state)
    else:
        instance.initialise(state)
    write_frame(OUT, {"kind": "loaded", "cpu_s": time.process_time() - began})
    return instance


def work(header: dict[str, Any], instance: ModuleInstance) -> None:
    """Do what one message asks."""
    if header["kind"] == "run":
        write_frame(OUT, {"kind": "stretch", **run(instance, header["duration_s"], header["duty_fraction"])})
    elif header["kind"] == "snapshot":
        began = time.process_time()
        image = instance.snapshot()
        write_frame(OUT, {"kind": "snapshot", "cpu_s": time.process_time() - began}, image)
    elif header["kind"] == "output":
        write_frame(OUT, {"kind": "output"}, instance.output())


def run(instance: ModuleInstance, duration_s: float, duty_fraction: float) -> dict[str, Any]:
    """Step until the time is over, the program is done, or a message waits."""
    ends_at = time.monotonic() + duration_s
    began, steps, done = time.process_time(), 0, False
    while not done:
        done, cpu_s = instance.step()
        steps += 1
        if time.monotonic() >= ends_at or has_input(IN):
            break
        if duty_fraction < 1 and not done and has_input(IN, cpu_s * (1 / duty_fraction - 1)):
            break
    return {
        "cpu_s": time.process_time() - began,
        "steps": steps,
        "progress_fraction": instance.progress(),
        "done": done,
    }
