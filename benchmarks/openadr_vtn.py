"""The OpenADR top node under load: latency at a fixed rate of requests, and from an event's POST to the plan that is asked for.

Run: python benchmarks/openadr_vtn.py [--rate 100] [--seconds 30] [--events 10000] [--answers 40]
Starts PostgreSQL and Valkey of its own, the web server as `make up` does (granian, one worker, four threads) and a Celery
worker, keeps that many events, then sends requests on a clock of their own: a slow answer holds up no other request, and its
wait counts. Nine of ten read (lists of active events, single events, programmes), one writes an event. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

LIMIT_MS = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--answers", type=int, default=40)
    arguments = parser.parse_args()

    from aggregator.management.supervisor.servers import EmbeddedServers

    servers = EmbeddedServers(given={"MQTT_URL": "mqtt://127.0.0.1:1"})
    try:
        servers.launch()
        servers.wait_ready()
        os.environ.update(servers.environment())
        os.environ["SECRET_KEY"] = secrets.token_urlsafe(50)
        os.environ["PLATFORM_RUN_DIR"] = str(servers.workspace.path / "run")
        os.environ["DJANGO_SETTINGS_MODULE"] = "aggregator.settings.test"
        print(json.dumps(measure(arguments)))
    finally:
        servers.stop()


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seed, start the processes, then load them."""
    import django

    django.setup()
    from django.core.management import call_command

    from tests.conformance.openadr.server import vtn_client, web_server
    from tests.integration.places import register_test_place

    call_command("migrate", verbosity=0)
    register_test_place(now=datetime(2026, 1, 1, tzinfo=UTC))
    with ExitStack() as running:
        address = running.enter_context(web_server(os.environ))
        running.enter_context(celery_worker())
        operator, _ = vtn_client(address, "bl")
        program = operator.post("/programs", json={"programName": "utility-dr"}).json()["id"]
        other = operator.post("/programs", json={"programName": "signals"}).json()["id"]
        ids = seed(other, arguments.events)
        before_s = server_cpu_s()
        loaded = asyncio.run(load(str(operator.base_url), operator.headers["Authorization"], other, ids, arguments))
        cpu_s = server_cpu_s() - before_s
        answered = [to_answer_ms(operator, program, number) for number in range(arguments.answers)]
    return {
        "benchmark": "openadr_vtn",
        "events_kept": arguments.events,
        "rate_per_s": arguments.rate,
        "requests": len(loaded),
        "failed": sum(1 for _, status in loaded if status >= 400),
        **{f"request_ms_{name}": value for name, value in quantiles([ms for ms, _ in loaded]).items()},
        "limit_ms_p95": LIMIT_MS,
        "server_cpu_ms_per_request": round(1000.0 * cpu_s / len(loaded), 2),
        "load_average": [round(part, 1) for part in os.getloadavg()],
        **{f"post_to_plan_asked_ms_{name}": value for name, value in quantiles(answered).items()},
    }


class celery_worker(ExitStack):
    """The worker that answers events, as `make up` runs it; planning itself waits in the queue."""

    def __enter__(self) -> celery_worker:
        command = [sys.executable, "-m", "celery", "--app", "aggregator.celery", "worker", "--queues", "plans"]
        command += ["--concurrency", "1", "--without-gossip", "--without-mingle", "--loglevel", "ERROR"]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        self.callback(process.wait)
        self.callback(process.terminate)
        return self


def server_cpu_s() -> float:
    """Processor time that the web server has used."""
    import psutil

    servers = [child for child in psutil.Process().children(recursive=True) if "granian" in " ".join(child.cmdline())]
    return sum(sum(server.cpu_times()[:2]) for server in servers)


def seed(program_id: str, count: int) -> list[str]:
    """So many events of a programme, every other one over; returns the identifiers of those that the load reads."""
    from grid.models import OpenAdrEvent, OpenAdrProgram

    program = OpenAdrProgram.objects.get(object_id=program_id)
    now = datetime.now(UTC)
    rows = []
    for number in range(count):
        start = now + timedelta(hours=number if number % 2 else -number - 2)
        body = wish(program_id, start, -1.0)
        end = start + timedelta(hours=1)
        rows.append(
            OpenAdrEvent(program=program, body=body, ends_at=end, created_at=now, modified_at=now, answered_revision=1)
        )
    OpenAdrEvent.objects.bulk_create(rows, batch_size=1000)
    return [row.object_id for row in rows[:1000]]


def wish(program_id: str, start: datetime, kw: float) -> dict[str, Any]:
    """An event that asks for a change of power for an hour."""
    return {
        "programID": program_id,
        "intervalPeriod": {"start": start.isoformat().replace("+00:00", "Z"), "duration": "PT1H"},
        "intervals": [{"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [kw]}]}],
    }


async def load(
    url: str, token: str, program: str, ids: list[str], arguments: argparse.Namespace
) -> list[tuple[float, int]]:
    """(milliseconds from when a request was due to its whole answer, status) of each request."""
    import httpx

    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": token}, timeout=30, limits=limits) as client:

        async def one(number: int, due: float) -> tuple[float, int]:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            kind = number % 10
            if kind == 0:
                start = datetime.now(UTC) + timedelta(days=1)
                answer = await client.post("/events", json=wish(program, start, -5.0))
            elif kind < 5:
                answer = await client.get("/events", params={"active": "true", "limit": 10, "skip": number % 500})
            elif kind < 9:
                answer = await client.get(f"/events/{ids[number % len(ids)]}")
            else:
                answer = await client.get("/programs")
            return (time.perf_counter() - due) * 1000.0, answer.status_code

        for number in range(20):  # connections and caches are warm before it counts
            await one(number, time.perf_counter())
        begin = time.perf_counter() + 0.2
        count = int(arguments.rate * arguments.seconds)
        return await asyncio.gather(*(one(n, begin + n / arguments.rate) for n in range(count)))


def to_answer_ms(operator: Any, program: str, number: int) -> float:
    """From the POST of an event to the committed grid event whose planning is asked for."""
    from grid.models import OpenAdrAnswer

    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2, hours=2 * number)
    began = time.perf_counter()
    event_id = operator.post("/events", json=wish(program, start, -20.0)).json()["id"]
    while time.perf_counter() - began < 20:
        if OpenAdrAnswer.objects.filter(source=f"vtn:{event_id}").exclude(grid_event=None).exists():
            return (time.perf_counter() - began) * 1000.0
        time.sleep(0.002)
    raise RuntimeError("the worker does not answer")


def quantiles(values_ms: list[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile."""
    ordered = sorted(values_ms)
    return {
        name: round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 1)
        for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
