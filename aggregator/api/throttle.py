"""How often a client may call: so many reads and writes a minute, counted in Redis for all web processes together."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger(__name__)

WINDOW_S = 60


class ClientThrottle(BaseThrottle):
    """A counter per client, kind of call and minute: one round trip, whatever the rate.

    The limits are `API_READS_PER_MINUTE` and `API_WRITES_PER_MINUTE`. Without Redis nothing is counted: a store that is
    down must not take the API with it.
    """

    seconds_left = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether this call is within the limit; counts it."""
        kind, limit = self.kind_and_limit(request)
        at = time.time()
        window = int(at // WINDOW_S)
        key = f"throttle:{self._caller(request)}:{kind}:{window}"
        try:
            cache.add(key, 0, timeout=2 * WINDOW_S)
            calls = cache.incr(key)
        except (RedisError, ValueError) as error:
            logger.warning("calls are not counted: %s", error)
            return True
        self.seconds_left = (window + 1) * WINDOW_S - at
        return calls <= limit

    def kind_and_limit(self, request: Request) -> tuple[str, int]:
        """What is counted together, and how many of it a minute has."""
        if request.method in SAFE_METHODS:
            return "reads", settings.API_READS_PER_MINUTE
        return "writes", settings.API_WRITES_PER_MINUTE

    def wait(self) -> float:
        """Seconds until the next minute begins."""
        return self.seconds_left

    def _caller(self, request: Request) -> str:
        application_id = getattr(request.auth, "application_id", None)
        return f"client-{application_id}" if application_id is not None else f"address-{self.get_ident(request)}"


class OpenAdrThrottle(ClientThrottle):
    """The limit of OpenADR clients, `OPENADR_CALLS_PER_MINUTE`, for reads and writes together."""

    def kind_and_limit(self, request: Request) -> tuple[str, int]:
        return "openadr", settings.OPENADR_CALLS_PER_MINUTE
