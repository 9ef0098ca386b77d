"""A module at work: the contract of docs/compute-abi.md on top of wasmtime."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import wasmtime

from compute_market.runners.wasm.image import PAGE, Image, decode_image, encode_image

MIB = 1024 * 1024
# A step should take about so long: short enough to stop at, long enough that calling it costs nothing.
STEP_TARGET_S = 0.1
FIRST_BUDGET, MOST_BUDGET = 1_000, 2**31 - 1
VALUE_TYPES = ("i32", "i64", "f32", "f64")


class BrokenContract(Exception):
    """The module does not keep its side of the contract."""


class ModuleInstance:
    """One module, fresh with its input or restored from an image."""

    def __init__(self, program: bytes, *, memory_mib: int, most_output_bytes: int) -> None:
        """Compile and instantiate.

        Raises:
            BrokenContract: it does not compile, lacks an export, or needs more memory than it has.
        """
        self.program_sha256 = hashlib.sha256(program).hexdigest()
        self.most_pages = memory_mib * MIB // PAGE
        self.most_output_bytes = most_output_bytes
        self.budget = FIRST_BUDGET
        self.store = wasmtime.Store(wasmtime.Engine(deterministic_config()))
        self.store.set_limits(memory_size=memory_mib * MIB, table_elements=100_000, instances=1, tables=10, memories=1)
        try:
            module = wasmtime.Module(self.store.engine, program)
            exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise BrokenContract(first_line(error)) from error
        self.exports: dict[str, Any] = dict(exports)
        self.memory = self._export("memory", wasmtime.Memory)
        self.step_function = self._export("step", wasmtime.Func)
        self.output_function = self._export("output", wasmtime.Func)

    def initialise(self, program_input: bytes) -> None:
        """Hand the module its input: alloc(length) → pointer, then init(pointer, length)."""
        pointer = self._call(self._export("alloc", wasmtime.Func), len(program_input)) & 0xFFFFFFFF
        try:
            if program_input:
                self.memory.write(self.store, bytearray(program_input), pointer)
        except IndexError as error:
            raise BrokenContract("alloc returned memory that does not hold the input") from error
        self._call(self._export("init", wasmtime.Func), pointer, len(program_input))

    def step(self) -> tuple[bool, float]:
        """One step of about STEP_TARGET_S; returns whether the module is done, and the CPU seconds taken."""
        began = time.process_time()
        answer = self._call(self.step_function, self.budget)
        cpu_s = time.process_time() - began
        if not isinstance(answer, int) or answer not in (0, 1):
            raise BrokenContract(
                f"step returned {answer!r}; 0 means more, 1 means done, others are the program's error"
            )
        growth = min(4.0, max(0.25, STEP_TARGET_S / cpu_s)) if cpu_s > 0 else 4.0
        self.budget = int(min(MOST_BUDGET, max(1, self.budget * growth)))
        return answer == 1, cpu_s

    def progress(self) -> float | None:
        """What `progress` says, held to 0 to 1; None where the module does not say."""
        function = self.exports.get("progress")
        if not isinstance(function, wasmtime.Func):
            return None
        value = float(self._call(function))
        return min(1.0, max(0.0, value)) if value == value else None

    def output(self) -> bytes:
        """What `output` points to: an i64 with the pointer in its upper and the length in its lower half, or a pair."""
        answer = self._call(self.output_function)
        if isinstance(answer, list):
            pointer, length = (part & 0xFFFFFFFF for part in answer)
        else:
            pointer, length = (answer >> 32) & 0xFFFFFFFF, answer & 0xFFFFFFFF
        if length > self.most_output_bytes:
            raise BrokenContract(f"put out {length} bytes, above the limit of {self.most_output_bytes}")
        if pointer + length > self.memory.data_len(self.store):
            raise BrokenContract("output points outside the memory")
        return bytes(self.memory.read(self.store, pointer, pointer + length))

    def snapshot(self) -> bytes:
        """The module's state between two steps, as an image."""
        values = {}
        for name, item in self.exports.items():
            if isinstance(item, wasmtime.Global) and item.type(self.store).mutable:
                kind = str(item.type(self.store).content)
                if kind not in VALUE_TYPES:
                    raise BrokenContract(f"exports the mutable global {name!r} of type {kind}, which cannot be kept")
                values[name] = (kind, item.value(self.store))
        return encode_image(Image(self.program_sha256, self.memory.get_buffer_ptr(self.store), values))

    def restore(self, content: bytes) -> None:
        """Put the state of an image back instead of `initialise`. Raises DamagedImage."""
        image = decode_image(content, program_sha256=self.program_sha256, most_pages=self.most_pages)
        missing = len(image.memory) // PAGE - self.memory.size(self.store)
        if missing > 0:
            self.memory.grow(self.store, missing)
        if image.memory:
            self.memory.write(self.store, bytearray(image.memory), 0)
        for name, (_, value) in image.global_values.items():
            self._export(name, wasmtime.Global).set_value(self.store, value)

    def _export(self, name: str, kind: type) -> Any:
        item = self.exports.get(name)
        if not isinstance(item, kind):
            raise BrokenContract(f"exports no {kind.__name__.lower()} {name!r}")
        return item

    def _call(self, function: wasmtime.Func, *arguments: int) -> Any:
        try:
            return function(self.store, *arguments)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise BrokenContract(first_line(error)) from error
        except TypeError as error:
            raise BrokenContract("a function has other parameters than the contract says") from error


def deterministic_config() -> wasmtime.Config:
    """The same result on every machine: canonical NaNs, deterministic relaxed SIMD, no threads. One thread compiles, and
    memory is never backed by files: both would need system calls that the walls do not let through."""
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd_deterministic = True
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    config.parallel_compilation = False
    config.memory_init_cow = False
    return config


def first_line(error: BaseException) -> str:
    """What an error of wasmtime says, without its back-trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("wasm trap:") or "wasm trap:" in line]
    return (causes or lines or [type(error).__name__])[0][:200]
