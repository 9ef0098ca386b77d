"""A call-back as a node runs it: echoes challenges, and keeps what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Listener:
    """`told` holds (headers, body) of every notification; `answers` and `echoes` make it misbehave."""

    url: str
    told: Queue[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=Queue)
    challenges: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    echoes: bool = True
    location: str = ""

    def next(self, timeout_s: float = 10) -> dict[str, Any]:
        """The next notification."""
        return self.told.get(timeout=timeout_s)[1]


@contextmanager
def listening() -> Iterator[Listener]:
    """Run a call-back on the loopback address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    listener = Listener(f"http://127.0.0.1:{server.server_address[1]}/call-back")
    server.listener = listener  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        listener: Listener = self.server.listener  # type: ignore[attr-defined]
        listener.challenges.append(dict(self.headers))
        echo = parse_qs(urlsplit(self.path).query).get("echo", [""])[0]
        self._answer(listener, echo if listener.echoes else "")

    def do_POST(self) -> None:
        listener: Listener = self.server.listener  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if listener.status < 300:
            listener.told.put((dict(self.headers), body))
        self._answer(listener, "")

    def _answer(self, listener: Listener, text: str) -> None:
        self.send_response(listener.status)
        if listener.location:
            self.send_header("Location", listener.location)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""
