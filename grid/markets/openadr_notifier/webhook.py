"""Call-backs of OpenADR subscriptions, so that nobody can have us call into a network that is not theirs.

- HTTPS alone, and no redirects.
- The name is looked up once; every address that it has must be public, and the connection goes to one of these very
  addresses while certificate and `Host` are the name's: what is looked up a second time may differ.
- Time and size of the answer are bounded. No proxy of the environment is used.

`OPENADR_ALLOW_INSECURE_CALLBACKS` lets the loopback address, and no other, be called, also without TLS.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from django.conf import settings

from common.errors import NotAllowed, PlatformError

TIMEOUT_S = 10.0
WHOLE_CALL_S = 15.0
MOST_OF_AN_ANSWER = 65_536
_PORTS = {"https": 443, "http": 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class CallbackRefused(NotAllowed):
    """The call-back may not be called, or did not show that it belongs to who subscribes."""

    code = "callback_refused"


class CallFailed(PlatformError):
    """A call-back did not take a notification."""

    code = "call_failed"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and as what to address it."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    address: Address

    def url(self, extra_query: str = "") -> str:
        """With the address in place of the name."""
        literal = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        query = "&".join(part for part in (self.query, extra_query) if part)
        return f"{self.scheme}://{literal}:{self.port}{self.path or '/'}" + (f"?{query}" if query else "")

    def headers(self, bearer_token: str) -> dict[str, str]:
        """The name, and the token where there is one."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        named = name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"
        return {"Host": named, **({"Authorization": f"Bearer {bearer_token}"} if bearer_token else {})}


def challenge(url: str, bearer_token: str) -> None:
    """Make sure that a call-back is alive and its owner's: it must give back a random text (`?echo=…`).

    Raises:
        CallbackRefused: it may not be called, or did not echo.
    """
    target = safe_target(url)
    echo = secrets.token_urlsafe(24)
    try:
        status, text = _call("GET", target, bearer_token, query=urlencode({"echo": echo}))
    except CallFailed as error:
        raise _refused(url, f"could not be reached: {error.message}") from error
    if status != 200 or echo not in text:
        raise _refused(url, f"answered {status} without the text that it was to echo")


def notify(url: str, bearer_token: str, payload: Mapping[str, Any], *, notification_id: str) -> None:
    """Deliver a notification; one that is delivered again after a crash carries the same `Idempotency-Key`.

    Raises:
        CallbackRefused: the call-back may not be called (any more).
        CallFailed: it did not take it.
    """
    status, _ = _call(
        "POST",
        safe_target(url),
        bearer_token,
        content=json.dumps(payload).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": notification_id},
    )
    if not 200 <= status < 300:
        raise CallFailed(f"It answered {status}.")


def safe_target(url: str) -> Target:
    """Look a call-back's name up and make sure that all its addresses may be called.

    Raises:
        CallbackRefused: one may not, or the address is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise _refused(url, "is no address") from error
    insecure = settings.OPENADR_ALLOW_INSECURE_CALLBACKS
    if parts.scheme not in (("https", "http") if insecure else ("https",)):
        raise _refused(url, "is not HTTPS")
    if not host or not port or parts.username is not None or parts.fragment or not _is_plain(parts):
        raise _refused(url, "is no plain address of a host and a path")
    addresses = _look_up(url, host, port)
    loopback = all(address.is_loopback for address in addresses)
    if not (loopback and insecure) and (parts.scheme == "http" or not all(map(_is_public, addresses))):
        raise _refused(url, "leads to an address that is not public")
    return Target(parts.scheme, host, port, parts.path, parts.query, addresses[0])


def _is_plain(parts: SplitResult) -> bool:
    return all(character.isprintable() and not character.isspace() for character in parts.geturl())


def _look_up(url: str, host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _refused(url, "has a name that does not exist") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _is_public(address: Address) -> bool:
    """Whether anybody's address in the internet; addresses within addresses count as what they lead to."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            return _is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _call(
    method: str,
    target: Target,
    bearer_token: str,
    *,
    query: str = "",
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Status and the beginning of the answer."""
    import httpx  # every process that asks for tasks imports this module, and few ever call

    ends_at = time.monotonic() + WHOLE_CALL_S
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream(
                method,
                target.url(query),
                headers={**target.headers(bearer_token), **(headers or {})},
                content=content,
                extensions={"sni_hostname": target.host},
            ) as answer,
        ):
            read = bytearray()
            for chunk in answer.iter_bytes():
                read += chunk
                if len(read) > MOST_OF_AN_ANSWER or time.monotonic() > ends_at:
                    break
            return answer.status_code, read.decode(errors="replace")
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise CallFailed(f"{type(error).__name__}: {error}") from error


def _refused(url: str, why: str) -> CallbackRefused:
    return CallbackRefused(
        f"The call-back {url[:200]!r} {why}.",
        field="callbackUrl",
        remedy="Give an HTTPS address of a public host that answers 200 with the value of ?echo=… in the body.",
    )
