"""What the sample programs compute, written again in Python."""

from __future__ import annotations

import numpy as np

MASK = (1 << 64) - 1


def primes_below(limit: int) -> tuple[int, int]:
    """Number and sum of the primes below a limit."""
    prime = np.ones(limit, dtype=bool)
    prime[:2] = False
    for number in range(2, int(limit**0.5) + 1):
        if prime[number]:
            prime[number * number :: number] = False
    found = np.flatnonzero(prime)
    return int(found.size), int(found.sum(dtype=np.uint64))


def monte_carlo_hits(*, seed: int, points: int) -> int:
    """Points in the quarter circle, by the generator of `monte_carlo_pi.wat`."""
    state, hits = seed | 1, 0
    for _ in range(points):
        state = _next(state)
        x = (state >> 11) * 2.0**-53
        state = _next(state)
        y = (state >> 11) * 2.0**-53
        hits += x * x + y * y < 1.0
    return hits


def _next(state: int) -> int:
    state ^= (state << 13) & MASK
    state ^= state >> 7
    return state ^ ((state << 17) & MASK)
