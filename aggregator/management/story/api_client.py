"""A client of our own API as an outsider would write it: OAuth2 client credentials, JSON, idempotency keys."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import httpx

REFRESH_BEFORE_S = 60.0


class ApiClient:
    """Calls the platform over HTTP as one registered client."""

    def __init__(self, base_url: str, *, client_id: str, client_secret: str, scopes: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=10.0)
        self._credentials = (client_id, client_secret)
        self._scopes = scopes
        self._token = ""
        self._token_until = 0.0

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _authorisation(self) -> dict[str, str]:
        if time.monotonic() > self._token_until - REFRESH_BEFORE_S:
            answer = self._http.post(
                "/oauth/token/",
                auth=self._credentials,
                data={"grant_type": "client_credentials", "scope": self._scopes},
            )
            answer.raise_for_status()
            body = answer.json()
            self._token = body["access_token"]
            self._token_until = time.monotonic() + float(body["expires_in"])
        return {"Authorization": f"Bearer {self._token}"}

    def get(self, path: str) -> dict[str, Any]:
        """GET a resource.

        Raises:
            httpx.HTTPStatusError: the platform refused.
        """
        answer = self._http.get(path, headers=self._authorisation())
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any], *, idempotency_key: str) -> httpx.Response:
        """POST a resource under an idempotency key, so that trying again asks for nothing twice."""
        headers = {**self._authorisation(), "Idempotency-Key": idempotency_key}
        return self._http.post(path, json=body, headers=headers)

    def request_event(
        self, *, programme: str, direction: str, target_kw: float, starts_at: datetime, ends_at: datetime, key: str
    ) -> dict[str, Any]:
        """Ask for an event; returns it as recorded.

        Raises:
            httpx.HTTPStatusError: the platform refused.
        """
        answer = self.post(
            "/api/events/",
            {
                "programme": programme,
                "direction": direction,
                "target_kw": target_kw,
                "starts_at": starts_at.isoformat(),
                "ends_at": ends_at.isoformat(),
            },
            idempotency_key=key,
        )
        answer.raise_for_status()
        return answer.json()
