"""What the VTN needs of the platform that it is part of, and may not look up by itself: it is handed over with the
addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rest_framework.throttling import BaseThrottle


class KnownClient(Protocol):
    """A client of the authorisation server."""

    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...


@dataclass(frozen=True)
class Host:
    """The platform as the VTN knows it.

    Attributes:
        client_of_application: the client by the key of its OAuth2 application; None if it plays no part.
        throttle: how often a client may call.
        request_answer: have the portfolio answer an event, by its identifier, after the commit.
        request_plan: have a grid event planned, by its key, after the commit.
    """

    client_of_application: Callable[[int], KnownClient | None]
    throttle: type[BaseThrottle]
    request_answer: Callable[[str], None]
    request_plan: Callable[[int], None]
