"""Agents whose line to the platform breaks, and the twin's keeper of agents."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.utils import timezone

from compute_market.models import Lease, Offer, WorkSlice
from compute_market.queries import job_of_tenant
from tests.integration.compute_market.garage import (
    ROOT,
    TENANT,
    TIMES,
    Garage,
    ParkedCar,
    job_state,
    park_car,
    submit,
    wait_for,
)
from tests.integration.compute_market.line import Line

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS_OF_WORK = 150_000_000
ENDLESS = 10**15


@pytest.fixture
def line(garage: Garage) -> Iterator[Line]:
    line = Line(garage.url)
    yield line
    line.close()


def progress_of(job_id: int) -> float:
    view = job_of_tenant(tenant=TENANT, job_id=job_id)
    assert view is not None
    return view.progress_fraction or 0.0


def test_a_short_cut_costs_nothing(garage: Garage, line: Line) -> None:
    car = park_car(1)
    garage.start_agent(car, "--duty-fraction", "0.2", url=line.url)
    job_id = submit(points=SECONDS_OF_WORK)
    wait_for(lambda: progress_of(job_id) > 0, what="work is reported")
    line.cut()
    wait_for(lambda: "not sent, will repeat" in garage.log_of(car), what="the agent notices")
    line.mend()
    wait_for(lambda: job_state(job_id) == "completed", what="the job completes")
    lease = Lease.objects.get(job_id=job_id)
    assert lease.state == "completed"
    slices = list(WorkSlice.objects.filter(lease=lease).order_by("sequence").values_list("sequence", flat=True))
    assert slices == list(range(1, len(slices) + 1))


def test_a_long_cut_loses_the_lease_and_the_agent_lets_go(garage: Garage, line: Line) -> None:
    car = park_car(1)
    garage.start_agent(car, url=line.url)
    job_id = submit(points=ENDLESS)
    wait_for(lambda: WorkSlice.objects.filter(secured_at__isnull=False).exists(), what="a checkpoint secures work")
    line.cut()
    wait_for(lambda: Lease.objects.filter(state="expired").exists(), what="the lease expires")
    wait_for(lambda: f"job {job_id}: lost" in garage.log_of(car), what="the agent lets go")
    line.mend()
    wait_for(lambda: Lease.objects.filter(state="live").exists(), what="the agent offers and works again")
    again = Lease.objects.get(state="live")
    assert again.fencing_token == 2
    wait_for(lambda: "resumed from checkpoint" in garage.log_of(car), what="it goes on from the checkpoint")
    assert not WorkSlice.objects.filter(lease__state="expired", secured_at=None, voided_at=None).exists()


def test_notice_while_the_line_is_cut_still_ends_the_agent(garage: Garage, line: Line) -> None:
    car = park_car(1)
    agent = garage.start_agent(car, "--departure-s", "1", url=line.url)
    submit(points=ENDLESS)
    wait_for(lambda: WorkSlice.objects.exists(), what="work is reported")
    sandboxes = psutil.Process(agent.pid).children()
    line.cut()
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(timeout=60) == 0
    assert sandboxes
    assert not any(process.is_running() for process in sandboxes)


def world(cars: list[ParkedCar], **times: float) -> dict[str, Any]:
    return {
        "seed": 1,
        "chargers": [
            {
                "identity": f"CP-{car.identity}",
                "password": "secret",
                "protocol": "ocpp2.1",
                "evses": [{"number": 1, "max_charge_kw": 11}],
            }
            for car in cars
        ],
        "cars": [
            {
                "identity": car.identity,
                "charger": f"CP-{car.identity}",
                "evse": 1,
                "id_token": car.identity,
                "battery_capacity_kwh": 60,
                "soc_fraction": 0.5,
                "max_charge_kw": 11,
                **times,
            }
            for car in cars
        ],
        "computers": [{"identity": car.computer, "token": car.token, "car": car.identity} for car in cars],
    }


def start_keeper(
    garage: Garage, platform_environment: dict[str, str], played: dict[str, Any]
) -> subprocess.Popen[bytes]:
    path = garage.logs / "world.json"
    path.write_text(json.dumps(played))
    environment = {**platform_environment, **{name: str(value) for name, value in TIMES.items()}}
    command = [sys.executable, "manage.py", "twin_computers", "--world", str(path), "--url", garage.url]
    return subprocess.Popen(
        [*command, "--notice-s", "3"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def agents_of(keeper: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its agents that run; one that has ended but is not collected yet is none."""
    return [process for process in psutil.Process(keeper.pid).children() if process.status() != psutil.STATUS_ZOMBIE]


def test_the_twin_keeps_an_agent_for_every_parked_car(
    garage: Garage, platform_environment: dict[str, str], tmp_path: Path
) -> None:
    cars = [park_car(1), park_car(2)]
    keeper = start_keeper(garage, platform_environment, world(cars, departure_in_s=36_000))
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"READY twin_computers computers=2\n"
        wait_for(lambda: Offer.objects.filter(state="open", refused_because="").count() == 2, what="both offer")
        job_id = submit(points=100_000)
        wait_for(lambda: job_state(job_id) == "completed", what="a job completes")
        victim = agents_of(keeper)[0]
        victim.kill()
        wait_for(lambda: len(set(agents_of(keeper)) - {victim}) == 2, what="the dead agent is replaced")
        left = [process for agent in agents_of(keeper) for process in (agent, *agent.children())]
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(timeout=30) == 0
        assert not any(process.is_running() for process in left)
    finally:
        keeper.kill()
        keeper.wait()
        keeper.stdout.close()


def test_the_twin_gives_notice_before_a_car_leaves(
    garage: Garage, platform_environment: dict[str, str], tmp_path: Path
) -> None:
    car = park_car(1)
    keeper = start_keeper(garage, platform_environment, world([car], unplug_s=25.0, departure_in_s=36_000))
    try:
        job_id = submit(points=ENDLESS)
        lease = wait_for(lambda: Lease.objects.first(), what="the job is leased")
        # its driver said that it would stay, and it leaves all the same
        assert lease.job_id == job_id
        # a busy machine may have cost it a lease before, which lapsed
        given_back = Lease.objects.filter(state="given_back", end_reason="departure")
        wait_for(given_back.exists, what="the lease is given back for the departure")
        wait_for(lambda: not agents_of(keeper), what="the agent has left")
        assert Offer.objects.get().withdrawal_reason == "departure"
    finally:
        keeper.send_signal(signal.SIGTERM)
        keeper.wait(timeout=30)
        assert keeper.stdout is not None
        keeper.stdout.close()
    assert timezone.now() > lease.granted_at
