"""A charge point on a client library for Node.js that is not ours runs real sessions, in all three versions.

`tests/third_party/charge_point.mjs` holds both sides to the schemas that its library brings along, not to those that
the gateway reads.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta

import pytest

from fleet.models import Charger, ChargingSession, Connector, Departure, DeviceCommand, Reading
from fleet.operations.commands import PowerSchedule, queue_command, queue_schedules
from tests.conftest import REPOSITORY
from tests.integration.ocpp.support import PASSWORD, Place, RunningGateway, eventually, make_place, now

pytestmark = pytest.mark.third_party
PROGRAM = REPOSITORY / "tests" / "third_party" / "charge_point.mjs"


@pytest.fixture(params=["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def place(request: pytest.FixtureRequest, gateway: RunningGateway) -> Place:
    return make_place(f"NODE-{request.param}", request.param)


@pytest.fixture
def charge_point(place: Place, gateway: RunningGateway, node_path: str) -> Iterator[subprocess.Popen[str]]:
    given = {
        "url": gateway.url,
        "identity": place.identity,
        "password": PASSWORD,
        "protocol": place.protocol,
        "idToken": place.id_token,
    }
    process = subprocess.Popen(
        [node_path, str(PROGRAM), json.dumps(given)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROGRAM.parent,
    )
    yield process
    process.kill()
    # shown by pytest where the test has failed
    print(*process.communicate())


def order(place: Place, power_kw: float, until: timedelta) -> Reading:
    """Ask for a power and wait until the charge point's meter shows it."""
    instant = now()
    valid_until = instant.replace(microsecond=0) + until
    queue_schedules(
        schedules=[PowerSchedule(place.asset_id, instant, (0.0,), (power_kw,), valid_until)],
        now=instant,
    )
    shown = Reading.objects.filter(asset_id=place.asset_id, measured_at__gt=instant)
    return eventually(lambda: shown.filter(power_kw__range=(power_kw - 0.01, power_kw + 0.01)).first())


def test_it_runs_a_session(place: Place, charge_point: subprocess.Popen[str]) -> None:
    two_way = place.protocol == "ocpp2.1"
    session = eventually(lambda: ChargingSession.objects.filter(ended_at=None, bidirectional=two_way).first())
    assert session.vehicle_id == place.vehicle_id
    assert order(place, 8.0, timedelta(minutes=5)).import_kwh >= 0
    if two_way:
        assert order(place, -6.0, timedelta(minutes=6)).export_kwh > 0
    order(place, 4.5, timedelta(minutes=7))
    known = Charger.objects.get(identity=place.identity)
    assert (known.vendor, known.capabilities["max_periods"]) == ("ThirdParty", 20)
    assert known.capabilities.get("composite") is not False and not Departure.objects.exists()

    queue_command(
        asset_id=place.asset_id, kind="remote_stop", parameters={}, now=now(), valid_until=now() + timedelta(minutes=1)
    )
    said, complaints = charge_point.communicate(timeout=20)
    assert (charge_point.returncode, complaints) == (0, "")
    ended = json.loads(said.splitlines()[-1])
    session.refresh_from_db()
    assert session.stop_reason == "Remote" and session.transaction_id == ended["ended"]
    assert session.meter_stop_kwh == pytest.approx(ended["importWh"] / 1000, abs=0.001)
    eventually(lambda: Connector.objects.get(evse__asset_id=place.asset_id).status == "Available")
    assert not DeviceCommand.objects.filter(state="refused").exists()


@pytest.mark.parametrize("place", ["ocpp2.1"], indirect=True)
def test_a_dynamic_profile_is_updated(place: Place, charge_point: subprocess.Popen[str]) -> None:
    eventually(lambda: ChargingSession.objects.filter(bidirectional=True).exists())
    until = now() + timedelta(minutes=5)
    # 3 kW lies below the least charging power and is a pause
    for power_kw, does_kw in ((-6.0, -6.0), (3.0, 0.0), (-9.0, -9.0)):
        instant = now()
        queue_schedules(schedules=[PowerSchedule(place.asset_id, instant, (0.0,), (power_kw,), until)], now=instant)
        shown = Reading.objects.filter(asset_id=place.asset_id, measured_at__gt=instant, power_kw=does_kw)
        eventually(shown.exists)
    charge_point.terminate()
    said, complaints = charge_point.communicate(timeout=20)
    assert complaints == ""
    assert [json.loads(line)["updated"] for line in said.splitlines()[1:]] == [{"setpoint": 0}, {"setpoint": -9000}]
