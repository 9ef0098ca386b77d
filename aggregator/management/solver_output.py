"""What solvers print by themselves does not belong into a command's own output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def solver_output_on_stderr() -> Iterator[None]:
    """Send what native libraries write to standard output to standard error instead.

    HiGHS 1.16 announces itself when its first object is made, whatever its options say.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
