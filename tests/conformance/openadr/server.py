"""The VTN as clients meet it: a real web server on a loopback port, and clients of the authorisation server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from aggregator.management.supervisor.launching import LOOPBACK, ReservedPort
from aggregator.operations.clients import CreatedClient, create_client

REPOSITORY = Path(__file__).resolve().parents[3]
ROOT = "/openadr3/3.1.0"
STARTS_WITHIN_S = 60


@contextmanager
def web_server(environment: Mapping[str, str], **settings: str) -> Iterator[str]:
    """Run the platform's web server as production does; gives its address."""
    port = ReservedPort()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", LOOPBACK, "--port", str(port.number)]
    command += [
        "--workers",
        "1",
        "--blocking-threads",
        "4",
        "--no-ws",
        "--no-access-log",
        "aggregator.wsgi:application",
    ]
    port.release()
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**environment, **settings})
    address = f"http://{LOOPBACK}:{port.number}"
    try:
        _wait_until_it_answers(address, process)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def vtn_client(address: str, role: str, name: str = "") -> tuple[httpx.Client, CreatedClient]:
    """A new client with a token, speaking to the VTN."""
    made = create_client(name=name or f"a {role}", role=role)
    token = fetch_token(address, made)
    return httpx.Client(base_url=f"{address}{ROOT}", headers={"Authorization": f"Bearer {token}"}, timeout=30), made


def fetch_token(address: str, client: CreatedClient, scope: str = "") -> str:
    """A token from the VTN's own token end point."""
    form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": client.client_secret}
    answer = httpx.post(f"{address}{ROOT}/auth/token", data={**form, **({"scope": scope} if scope else {})}, timeout=30)
    answer.raise_for_status()
    return answer.json()["access_token"]


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < ends_at:
        assert process.poll() is None, "the web server ended"
        with suppress(httpx.TransportError):
            if httpx.get(f"{address}{ROOT}/auth/server", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the web server does not answer")
