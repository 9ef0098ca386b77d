"""The agent's HTTP client: one kept-alive connection, every error told as one of two: not reached, or refused."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from compute_market.agent import wire

TIMEOUT_S = 10.0
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_Wire = TypeVar("_Wire")


class Unreachable(Exception):
    """Nothing came through, or the platform cannot answer now: the same call may be made again."""


class Refused(Exception):
    """The platform answered and says no; the same call will be refused again."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail


@dataclass(frozen=True, slots=True)
class OfferAnswer:
    """How the offer stands, when to repeat it, and the task if there is one."""

    refused_because: str
    poll_s: float
    task: wire.TaskMessage | None


class LeaseClient:
    """The calls of the lease protocol. Not for several threads at once: give each its own."""

    def __init__(self, url: str, identity: str, token: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Args: url: the platform's web address, such as https://aggregator.example."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no web address; give one such as https://aggregator.example")
        connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = connection(parts.hostname, parts.port, timeout=timeout_s)
        self.base = parts.path.rstrip("/") + "/api/compute"
        credentials = base64.b64encode(f"{identity}:{token}".encode()).decode()
        self.headers = {"Authorization": f"Basic {credentials}", "User-Agent": "compute-agent/1"}

    def offer(self, message: wire.OfferMessage) -> OfferAnswer:
        """Make or repeat the offer."""
        answer = self._json("PUT", "/offer", wire.to_json(message))
        task = answer.get("task")
        return OfferAnswer(
            refused_because=str(answer.get("refused_because", "")),
            poll_s=float(answer.get("poll_s", 5.0)),
            task=None if task is None else wire.from_json(wire.TaskMessage, task),
        )

    def withdraw(self, reason: str) -> None:
        """Take the offer back."""
        self._json("DELETE", f"/offer?reason={reason}", None)

    def fetch(self, task: wire.TaskMessage, part: str) -> bytes:
        """Download `program`, `input` or `checkpoint` of a task."""
        _, body = self._call("GET", f"/leases/{task.lease_id}/{part}", b"", {})
        return body

    def renew(self, lease_id: int, message: wire.RenewalMessage) -> wire.RenewalAnswer:
        """Renew the lease."""
        answer = self._json("POST", f"/leases/{lease_id}/renewal", wire.to_json(message))
        return wire.from_json(wire.RenewalAnswer, answer)

    def report(self, lease_id: int, message: wire.SliceMessage) -> wire.SliceAnswer:
        """Report work."""
        return wire.from_json(wire.SliceAnswer, self._json("POST", f"/leases/{lease_id}/slices", wire.to_json(message)))

    def save(
        self, task: wire.TaskMessage, *, sequence: int, content: bytes, slice_sequence: int, progress: float | None
    ) -> None:
        """Upload a checkpoint."""
        headers = self._body_headers(task, content) | {wire.SLICE_HEADER: str(slice_sequence)}
        if progress is not None:
            headers[wire.PROGRESS_HEADER] = repr(progress)
        self._call("PUT", f"/leases/{task.lease_id}/checkpoints/{sequence}", content, headers)

    def complete(self, task: wire.TaskMessage, output: bytes) -> None:
        """Upload the result."""
        self._call("PUT", f"/leases/{task.lease_id}/result", output, self._body_headers(task, output))

    def give_back(self, lease_id: int, message: wire.GiveBackMessage) -> None:
        """Give the lease back."""
        self._json("POST", f"/leases/{lease_id}/return", wire.to_json(message))

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    @staticmethod
    def _body_headers(task: wire.TaskMessage, content: bytes) -> dict[str, str]:
        return {
            "Content-Type": "application/octet-stream",
            wire.FENCE_HEADER: str(task.fencing_token),
            wire.SHA256_HEADER: hashlib.sha256(content).hexdigest(),
        }

    def _json(self, method: str, path: str, value: dict[str, Any] | None) -> dict[str, Any]:
        body = b"" if value is None else json.dumps(value).encode()
        _, answer = self._call(method, path, body, {"Content-Type": "application/json"} if body else {})
        try:
            found = json.loads(answer) if answer else {}
        except ValueError as error:
            raise Unreachable("the answer is no JSON") from error
        return found if isinstance(found, dict) else {}

    def _call(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            self.connection.request(method, self.base + path, body or None, self.headers | headers)
            response = self.connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            # a connection that failed half-way is of no more use
            self.connection.close()
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        if response.status in RETRIED_STATUSES:
            raise Unreachable(f"the platform answered {response.status}")
        if response.status >= 400:
            raise refusal_of(response.status, answer)
        return response.status, answer


def refusal_of(status: int, body: bytes) -> Refused:
    """A refusal from a problem detail (RFC 9457)."""
    try:
        problem = json.loads(body)
        code, detail = str(problem.get("type", "")).rpartition(":")[2], str(problem.get("detail", ""))
    except (ValueError, AttributeError):
        code, detail = "", body[:200].decode(errors="replace")
    return Refused(status, code, detail)
