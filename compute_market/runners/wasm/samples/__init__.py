"""Sample programs, written in WebAssembly's text form and compiled when asked for."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
SAMPLES = ("monte_carlo_pi", "prime_sum")


@cache
def sample_program(name: str) -> bytes:
    """The module of a sample.

    Raises:
        KeyError: there is no such sample.
    """
    if name not in SAMPLES:
        raise KeyError(f"no sample {name!r}; there are {', '.join(SAMPLES)}")
    import wasmtime

    return bytes(wasmtime.wat2wasm((FOLDER / f"{name}.wat").read_text()))


def monte_carlo_input(*, seed: int, points: int) -> bytes:
    """Input of `monte_carlo_pi`."""
    return struct.pack("<QQ", seed, points)


def monte_carlo_result(output: bytes) -> tuple[int, int, float]:
    """Hits, points and the estimate of π from the output of `monte_carlo_pi`."""
    hits, points, estimate = struct.unpack("<QQd", output)
    return hits, points, estimate


def prime_sum_input(*, limit: int) -> bytes:
    """Input of `prime_sum`."""
    return struct.pack("<I", limit)


def prime_sum_result(output: bytes) -> tuple[int, int]:
    """Number and sum of the primes from the output of `prime_sum`."""
    count, total = struct.unpack("<QQ", output)
    return count, total
