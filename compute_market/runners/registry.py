"""The runners there are, by kind."""

from __future__ import annotations

from collections.abc import Callable

from compute_market.runners.driver import Runner
from compute_market.runners.wasm.runner import WasmRunner

RUNNERS: dict[str, Callable[[], Runner]] = {WasmRunner.kind: WasmRunner}


def runner_of(kind: str) -> Runner:
    """The runner of this kind.

    Raises:
        KeyError: there is none; the message names those there are.
    """
    if kind not in RUNNERS:
        raise KeyError(f"no runner {kind!r}; there are {', '.join(sorted(RUNNERS))}")
    return RUNNERS[kind]()
