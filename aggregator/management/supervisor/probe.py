"""Whether something answers. As a program, for health checks: `python probe.py tcp://HOST:PORT | http://HOST:PORT/`."""

from __future__ import annotations

import http.client
import socket
import sys
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
_SERVER_ERROR = 500


def accepts_connections(port: int, *, host: str = LOOPBACK, timeout_s: float = 0.25) -> bool:
    """Whether something listens on a TCP port."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def web_answers(url: str, *, timeout_s: float = 3.0) -> bool:
    """Whether a web server answers with anything but a fault of its own; redirections are not followed."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or LOOPBACK, address.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", address.path or "/")
        return connection.getresponse().status < _SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Raises ValueError for a scheme that is neither tcp nor http."""
    address = urlsplit(url)
    if address.scheme == "http":
        return web_answers(url)
    if address.scheme == "tcp" and address.port is not None:
        return accepts_connections(address.port, host=address.hostname or LOOPBACK, timeout_s=2.0)
    raise ValueError(f"{url}: give tcp://HOST:PORT or http://HOST:PORT/")


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)
