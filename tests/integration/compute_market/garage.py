"""A depot of parked cars with computers, the platform's web server, and agents as processes, for the tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from django.db import connection
from django.utils import timezone

from compute_market.models import Job
from compute_market.operations.expiry import expire_leases
from compute_market.operations.jobs import JobRequest, submit_job
from compute_market.operations.matching import match_jobs
from compute_market.runners.wasm.samples import monte_carlo_input, sample_program
from fleet.models import ChargingSession, Consent, OnboardComputer, Vehicle
from fleet.operations.assets import register_charger, register_computer, register_vehicle
from tests.integration.fleet.loops import free_port
from tests.integration.places import OWNER, SITE, register_test_place

ROOT = Path(__file__).resolve().parents[3]
TENANT = "tenant-1"
# quick enough for tests, long enough for a loaded machine
TIMES = {"COMPUTE_LEASE_S": 6, "COMPUTE_REPORT_S": 0.4, "COMPUTE_CHECKPOINT_S": 0.8, "COMPUTE_POLL_S": 1}


@dataclass(frozen=True)
class ParkedCar:
    """A car with a computer, as registered."""

    identity: str
    vehicle_id: int
    computer_id: int
    computer: str
    token: str


@dataclass
class Garage:
    """Cars, the web server's address, and the agents that run."""

    url: str
    logs: Path
    agents: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_agent(self, car: ParkedCar, *arguments: str, url: str = "") -> subprocess.Popen[bytes]:
        """The agent of a car, as the real program in a process of its own."""
        command = [sys.executable, "-m", "compute_market.agent", "--url", url or self.url, "--identity", car.computer]
        with (self.logs / f"{car.computer}.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *arguments],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "COMPUTE_TOKEN": car.token},
                stdout=log,
                stderr=log,
            )
        self.agents[car.computer] = process
        return process

    def log_of(self, car: ParkedCar) -> str:
        """What a car's agents have logged."""
        return (self.logs / f"{car.computer}.log").read_text()

    def stop(self) -> None:
        """End every agent."""
        for process in self.agents.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.agents.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def park_car(
    number: int,
    *,
    plugged_in: bool = True,
    consents: tuple[str, ...] = ("computing",),
    soc_fraction: float | None = 0.7,
) -> ParkedCar:
    """Register a car, its computer and its charger, and plug it in."""
    now = timezone.now()
    identity = f"EV-{number}"
    register_vehicle(
        identity=identity,
        owner_identity=OWNER,
        home_site_identity=SITE,
        soc_fraction=soc_fraction,
        consents=consents,
        now=now,
    )
    computer = register_computer(identity=f"CPU-{number}", vehicle_identity=identity)
    vehicle = Vehicle.objects.get(identity=identity)
    if plugged_in:
        register_charger(identity=f"CP-{number}", protocol="ocpp2.1", site_identity=SITE)
        plug_in(vehicle.pk, f"CP-{number}", now)
    return ParkedCar(identity, vehicle.pk, computer.computer_id, computer.identity, computer.token)


def plug_in(vehicle_id: int, charger_identity: str, now: datetime) -> ChargingSession:
    """A charging session as the gateway would open it."""
    from fleet.models import Charger

    charger = Charger.objects.get(identity=charger_identity)
    return ChargingSession.objects.create(
        charger=charger,
        evse=charger.evses.get(),
        vehicle_id=vehicle_id,
        transaction_id=f"T{vehicle_id}-{now.timestamp()}",
        started_at=now,
        departure_at=now + timedelta(hours=8),
    )


def withdraw_consent(car: ParkedCar) -> None:
    """The owner says no."""
    Consent.objects.filter(vehicle_id=car.vehicle_id, withdrawn_at__isnull=True).update(withdrawn_at=timezone.now())


def submit(
    *,
    points: int = 2_000_000,
    key: str = "one",
    program: bytes | None = None,
    program_input: bytes | None = None,
    **limits: Any,
) -> int:
    """Submit a job, by default π by so many points (about 10 ns each)."""
    given = {"cpu_limit_s": 600, "price_cap_per_cpu_hour": Decimal("1.00"), "currency": "EUR", "memory_limit_mib": 16}
    request = JobRequest(
        program=program if program is not None else sample_program("monte_carlo_pi"),
        input=program_input if program_input is not None else monte_carlo_input(seed=11, points=points),
        **{**given, **limits},
    )
    return submit_job(tenant=TENANT, idempotency_key=key, request=request, now=timezone.now()).job_id


def wait_for(condition: Callable[[], Any], *, what: str, timeout_s: float = 90.0) -> Any:
    """Wait until something is true; fails, saying what never was."""
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout_s:g} s")


def job_state(job_id: int) -> str:
    """The state of a job now."""
    return str(Job.objects.values_list("state", flat=True).get(pk=job_id))


def computer_of(car: ParkedCar) -> OnboardComputer:
    """Its row."""
    return OnboardComputer.objects.get(pk=car.computer_id)


@contextlib.contextmanager
def market_clock(period_s: float = 0.2) -> Iterator[None]:
    """What the beat and a worker do in the product: match and expire, all the time."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def tick() -> None:
        try:
            while not stop.wait(period_s):
                expire_leases(now=timezone.now())
                match_jobs(now=timezone.now())
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
        if failures:
            raise failures[0]


@contextlib.contextmanager
def web_server(environment: dict[str, str], log: Path) -> Iterator[str]:
    """The platform's web server as it runs in the product; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--no-ws"]
    command += ["--blocking-threads", "2", "--workers-kill-timeout", "2", "aggregator.wsgi:application"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(url) or process.poll() is not None, what="the web server answers")
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def prepare_place() -> None:
    """The region, node, owner and site."""
    register_test_place(now=timezone.now())


def _answers(url: str) -> bool:
    try:
        urlopen(f"{url}/api/compute/offer", timeout=5).close()
    except HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return False
