"""A module's outside is read without compiling it."""

from __future__ import annotations

import contextlib

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from compute_market.core.wasm_module import InvalidProgram, read_surface, require_runnable
from compute_market.runners.wasm.samples import SAMPLES, sample_program


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_keep_the_contract(name: str) -> None:
    surface = require_runnable(sample_program(name))
    assert surface.imports == ()
    assert surface.exports["memory"] == "memory"


def test_globals_are_told_from_functions() -> None:
    assert read_surface(sample_program("prime_sum")).exports["count"] == "global"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('(module (import "env" "abort" (func)))', "imports env.abort"),
        ("(module)", "exports no memory 'memory'"),
        ('(module (memory (export "memory") 1))', "exports no function 'alloc'"),
        ('(module (memory (export "memory") 1) (global (export "alloc") i32 (i32.const 0)))', "but a global"),
    ],
)
def test_what_a_program_lacks_is_named(text: str, told: str) -> None:
    with pytest.raises(InvalidProgram, match=told) as caught:
        require_runnable(bytes(wasmtime.wat2wasm(text)))
    assert caught.value.field == "program"
    assert caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\0asm\2\0\0\0", b"\x7fELF"])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidProgram, match="no WebAssembly module"):
        require_runnable(content)


@given(cut=st.integers(8, len(sample_program("prime_sum")) - 1), flip=st.integers(0, 255))
def test_damaged_modules_are_refused_and_never_crash_us(cut: int, flip: int) -> None:
    whole = sample_program("prime_sum")
    for content in (whole[:cut], whole[:cut] + bytes([flip]) + whole[cut + 1 :]):
        with contextlib.suppress(InvalidProgram):
            require_runnable(content)
