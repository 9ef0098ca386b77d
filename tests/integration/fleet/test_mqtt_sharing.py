"""Several processes store what devices measure: nothing twice, nothing lost, also when one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.management.supervisor.mqtt_broker import find_mosquitto
from fleet.models import Asset, Charger, ChargingSession, Reading
from tests.conftest import BrokerAccess
from tests.integration.fleet.fleets import forget_readings, make_charger, make_vehicle
from tests.integration.fleet.loops import eventually
from tests.integration.fleet.mqtt_stage import PASSWORD, Wire, numbers

pytestmark = pytest.mark.django_db(transaction=True)
REPOSITORY = Path(__file__).resolve().parents[3]


class Processes:
    """Gateway processes with one database and one broker."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment, self._folder = environment, folder
        self._run = f"{os.getpid()}-{next(numbers)}"
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, part: str) -> None:
        arguments = ["--identity", f"{name}-{self._run}", "--session", f"{name}-{self._run}", "--part", part]
        self.running[name] = subprocess.Popen(
            [sys.executable, "manage.py", "mqtt_gateway", *arguments],
            cwd=REPOSITORY,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=(self._folder / f"{name}.log").open("a"),
            text=True,
        )
        output = self.running[name].stdout
        assert output is not None
        assert output.readline().startswith("READY"), self.log(name)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def end(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(10)


@pytest.fixture
def processes(mqtt_broker: BrokerAccess, platform_environment: dict[str, str], tmp_path: Path) -> Iterator[Processes]:
    forget_readings()
    processes = Processes(platform_environment | {"MQTT_URL": os.environ["MQTT_URL"]}, tmp_path)
    yield processes
    processes.end()


@pytest.fixture
def device(mqtt_broker: BrokerAccess) -> Iterator[Wire]:
    identity = f"MS-{next(numbers):04d}"
    make_charger(identity=identity, password=PASSWORD)
    mqtt_broker.add_device(identity, PASSWORD)
    device = Wire(mqtt_broker, identity, PASSWORD).ready()
    yield device
    device.close()


def measure(device: Wire, first: int, count: int, started_at: datetime) -> None:
    for number in range(first, first + count):
        at = (started_at + timedelta(milliseconds=number)).isoformat()
        device.say("meter", {"measurements": [{"evse": 1, "at": at, "import_kwh": 5 + number / 1000}]})


def stored(device: Wire) -> int:
    return Reading.objects.filter(asset_id=Asset.objects.get(identity=f"{device.identity}/1").pk).count()


@pytest.mark.skipif(
    find_mosquitto() is None, reason="the embedded broker has no shared subscriptions; install Mosquitto"
)
def test_two_processes_share_the_measurements_and_one_may_be_killed(processes: Processes, device: Wire) -> None:
    make_vehicle()
    processes.start("speaks", "speaks")
    processes.start("ingests", "ingests")
    started_at = datetime.now(UTC) - timedelta(seconds=5)
    device.say("status", {"online": True}, retain=True)
    event = {"event": "started", "evse": 1, "session_id": "S-1", "sequence": 0, "id_token": "TOKEN-1"}
    instants = {"at": started_at.isoformat(), "started_at": started_at.isoformat()}
    device.say("session", event | instants)
    measure(device, 0, 200, started_at)
    eventually(lambda: stored(device) == 200)
    os.kill(processes.running["ingests"].pid, signal.SIGKILL)
    processes.running["ingests"].wait()
    measure(device, 200, 200, started_at)
    processes.start("ingests", "ingests")
    measure(device, 400, 200, started_at)
    eventually(lambda: stored(device) == 600, within_s=30, what="measurements were lost")
    # what is said once is heard once, by the one that speaks for the devices
    assert ChargingSession.objects.count() == 1
    assert len(device.told("receipt")) == 1
    assert Charger.objects.get().gateway_identity.startswith("speaks-")
    # the other one stores its share while this one stands still
    os.kill(processes.running["speaks"].pid, signal.SIGSTOP)
    measure(device, 600, 200, started_at)
    eventually(lambda: stored(device) > 650, what="the second process stores nothing")
    os.kill(processes.running["speaks"].pid, signal.SIGCONT)
    eventually(lambda: stored(device) == 800, within_s=30)


@pytest.mark.skipif(find_mosquitto() is not None, reason="Mosquitto has shared subscriptions")
def test_without_shared_subscriptions_one_process_stores_all_and_a_second_says_why_it_cannot(
    processes: Processes, device: Wire
) -> None:
    processes.start("speaks", "speaks")
    measure(device, 0, 20, datetime.now(UTC) - timedelta(seconds=5))
    eventually(lambda: stored(device) == 20)
    assert "offers no shared subscriptions" in processes.log("speaks")
    with pytest.raises(AssertionError):
        processes.start("ingests", "ingests")
    assert "does not let us listen to $share" in processes.log("ingests")
