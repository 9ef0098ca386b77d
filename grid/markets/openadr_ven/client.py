"""OpenADR 3.1 as a node speaks it to a VTN. One client a reading; tokens are kept between readings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from common.errors import PlatformError

TIMEOUT_S = 10.0
PAGE = 50
MOST_PAGES = 200
# a token is renewed before it ends
RENEW_BEFORE_S = 60.0
_TOKEN_LASTS_S = 300.0
_tokens: dict[tuple[str, str], tuple[str, float]] = {}


class VtnAway(PlatformError):
    """The VTN does not answer, or not as one does; later it may."""

    code = "vtn_away"


class VtnRefuses(PlatformError):
    """The VTN refuses what it was sent, and will refuse it again."""

    code = "vtn_refuses"


@dataclass(frozen=True, slots=True)
class Access:
    """Where a VTN is and who we are there. `secret_variable` names what of the environment holds the secret."""

    base_url: str
    client_id: str
    secret_variable: str
    scope: str = ""


class VtnClient:
    """A node's requests. Raises VtnAway or VtnRefuses, nothing else."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._http = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)

    def __enter__(self) -> VtnClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every object of a list, page after page."""
        for page in range(MOST_PAGES):
            rows = self.request("GET", path, params={**query, "skip": page * PAGE, "limit": PAGE}).json()
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise VtnAway(f"{path} is no list of objects.")
            yield from rows
            if len(rows) < PAGE:
                return
        raise VtnAway(f"{path} does not end.")

    def enrolled_ven(self, ven_name: str) -> str:
        """The identifier of our node there; enrols it if it is not there yet."""
        for row in self.pages("/vens", venName=ven_name):
            if row.get("venName") == ven_name:
                return str(row["id"])
        return str(
            self.request("POST", "/vens", json={"objectType": "VEN_VEN_REQUEST", "venName": ven_name}).json()["id"]
        )

    def subscribed(self, subscription_id: str, body: Mapping[str, Any]) -> str:
        """The identifier of our subscription there; made, or made anew if it is gone."""
        if subscription_id:
            try:
                self.request("GET", f"/subscriptions/{subscription_id}")
                return subscription_id
            except VtnRefuses:
                pass
        return str(self.request("POST", "/subscriptions", json=body).json()["id"])

    def token(self) -> str:
        """A token that holds a while yet."""
        key = (self.access.base_url, self.access.client_id)
        known = _tokens.get(key)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        secret = os.environ.get(self.access.secret_variable, "")
        if not secret:
            raise VtnAway(f"The environment has no {self.access.secret_variable}.")
        where = self._send("GET", f"{self.access.base_url}/auth/server").json()["tokenURL"]
        form = {"grant_type": "client_credentials", "client_id": self.access.client_id, "client_secret": secret}
        if self.access.scope:
            form["scope"] = self.access.scope
        told = self._send("POST", where, data=form).json()
        holds_s = max(0.0, float(told.get("expires_in") or _TOKEN_LASTS_S) - RENEW_BEFORE_S)
        _tokens[key] = (told["access_token"], time.monotonic() + holds_s)
        return told["access_token"]

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request with our token; with a fresh one if the VTN does not know it any more."""
        for attempt in (1, 2):
            headers = {"Authorization": f"Bearer {self.token()}"}
            answer = self._send(method, f"{self.access.base_url}{path}", headers=headers, refuse=False, **options)
            if answer.status_code != 401 or attempt == 2:
                break
            _tokens.pop((self.access.base_url, self.access.client_id), None)
        return self._checked(answer)

    def _send(self, method: str, url: str, *, refuse: bool = True, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, url, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise VtnAway(f"{type(error).__name__}: {error}") from error
        return self._checked(answer) if refuse else answer

    @staticmethod
    def _checked(answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            try:
                answer.json()
            except ValueError as error:
                raise VtnAway(f"{answer.request.url.path} answers no JSON.") from error
            return answer
        why = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:150]}"
        if answer.status_code in (400, 403, 404, 409):
            raise VtnRefuses(why)
        raise VtnAway(why)


def active_events(
    client: VtnClient, programmes: Mapping[str, str], targets: Sequence[str]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """All events that are not over, of programmes that we take part in, each with its programme.

    Read without targets and with ours: an event that has targets is shown to who asks for one of them.
    """
    asked: list[dict[str, Any]] = [{}, {"targets": list(targets)}] if targets else [{}]
    ours = {
        row["id"]: row
        for query in asked
        for row in client.pages("/programs", **query)
        if row.get("programName") in programmes
    }
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for program_id, program in ours.items():
        for query in asked:
            for event in client.pages("/events", programID=program_id, active="true", **query):
                found[event["id"]] = (event, program)
    return list(found.values())
