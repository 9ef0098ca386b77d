"""Programs that break the rules, each in its own way."""

from __future__ import annotations

import wasmtime

FRAME = """(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "init") (param i32 i32) {init})
  (func (export "step") (param i32) (result i32) {step})
  (func (export "output") (result i64) {output})
  {more})"""


def program(
    *, init: str = "", step: str = "(i32.const 1)", output: str = "(i64.const 0)", more: str = "", frame: str = FRAME
) -> bytes:
    """A module that does what the pieces say and otherwise nothing."""
    return bytes(wasmtime.wat2wasm(frame.format(init=init, step=step, output=output, more=more)))


ENDLESS_LOOP = "(loop $for_ever (br $for_ever)) (i32.const 0)"
RECURSION = "(call $deeper (i32.const 0))"
DEEPER = "(func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))"
# asks for a page until it gets no more, then puts out how many it has
GREEDY_STEP = """
  (block $full (loop $more
    (br_if $full (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
    (br $more)))
  (i32.store (i32.const 0) (memory.size))
  (i32.const 1)"""
FIRST_FOUR_BYTES = "(i64.const 4)"
