"""How often one may try to log in: a count per address and per account in the cache, forgotten after a while."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from django.core.cache import cache
from django.http import HttpRequest

WINDOW_S = 300
MOST_TRIES_PER_ACCOUNT = 8
MOST_TRIES_PER_ADDRESS = 40


def _keys(request: HttpRequest, email: str) -> dict[str, int]:
    account = hashlib.sha256(email.strip().lower().encode()).hexdigest()[:32]
    # behind a proxy REMOTE_ADDR is the proxy's: the count per account still holds
    return {
        f"login:account:{account}": MOST_TRIES_PER_ACCOUNT,
        f"login:address:{request.META.get('REMOTE_ADDR', '')}": MOST_TRIES_PER_ADDRESS,
    }


def too_many_tries(request: HttpRequest, email: str) -> bool:
    """Whether this account or this address has failed too often in the last five minutes."""
    limits = _keys(request, email)
    counts = cache.get_many(limits)
    return any(counts.get(key, 0) >= limit for key, limit in limits.items())


def note_failure(request: HttpRequest, email: str) -> None:
    """Count a failed try."""
    for key in _keys(request, email):
        cache.add(key, 0, WINDOW_S)
        with suppress(ValueError):  # it was forgotten this very moment
            cache.incr(key)


def forget_failures(request: HttpRequest, email: str) -> None:
    """A right password clears the account's count; the address keeps its own."""
    cache.delete(next(iter(_keys(request, email))))
