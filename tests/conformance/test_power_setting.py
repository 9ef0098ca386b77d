"""What every device that follows a power schedule must do, whatever it speaks: one body, every driver, real sockets.

Powers are positive into the asset. The fail-safe power of every device here is 0 kW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fleet.models import Asset, ChargingSession, CommandState, DeviceCommand, Reading
from fleet.queries.state import latest_states
from tests.conftest import BrokerAccess
from tests.integration.fleet.fleets import make_charger, make_vehicle
from tests.integration.fleet.hub import Hub, tell
from tests.integration.fleet.loops import eventually
from tests.integration.fleet.mqtt_stage import PASSWORD, Stage, numbers, twin_park

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Device:
    """A simulated device behind its gateway: how to see what it really does, and how to take its gateway away."""

    asset_id: int
    power_kw: Callable[[], float]
    stop_gateway: Callable[[], None]
    start_gateway: Callable[[], object]


@pytest.fixture(params=["sunspec", "mqtt"])
def device(request: pytest.FixtureRequest, db: None) -> Iterator[Device]:
    yield from {"sunspec": sunspec_device, "mqtt": mqtt_device}[request.param](request)


def sunspec_device(request: pytest.FixtureRequest) -> Iterator[Device]:
    hub = Hub()
    pack = hub.packs[0]
    eventually(lambda: Asset.objects.get(pk=pack.asset_id).connected)
    yield Device(pack.asset_id, lambda: hub.power_kw(pack), hub.stop_gateway, hub.start_gateway)
    hub.loop.call(hub.plant.close())
    hub.close()


def mqtt_device(request: pytest.FixtureRequest) -> Iterator[Device]:
    broker: BrokerAccess = request.getfixturevalue("mqtt_broker")
    stage = Stage(broker)
    identity = f"PS-{next(numbers):04d}"
    evse, vehicle = make_charger(identity=identity, password=PASSWORD), make_vehicle()
    broker.add_device(identity, PASSWORD)
    park = twin_park(identity, max_discharge_kw=10)
    eventually(lambda: ChargingSession.objects.filter(vehicle=vehicle, bidirectional=True).exists())
    eventually(lambda: Asset.objects.get(pk=evse.asset_id).connected)
    car = park.park.cars["EV-0001"]
    yield Device(evse.asset_id, lambda: car.power_kw, stage.stop_gateway, stage.start_gateway)
    park.close()
    stage.close()


def follows(device: Device, power_kw: float, *, within_s: float = 10.0) -> None:
    eventually(
        lambda: abs(device.power_kw() - power_kw) < 0.05,
        within_s=within_s,
        what=f"it does {device.power_kw():g} kW instead of {power_kw:g}",
    )


@pytest.mark.parametrize("power_kw", [6.0, -7.5])
def test_it_follows_a_setpoint_confirms_it_and_meters_it_with_its_sign(device: Device, power_kw: float) -> None:
    command = tell(device.asset_id, power_kw)
    follows(device, power_kw)
    eventually(lambda: DeviceCommand.objects.get(pk=command).state == CommandState.CONFIRMED)

    def metered() -> bool:
        shown = latest_states([device.asset_id]).get(device.asset_id)
        register = (shown.import_kwh if power_kw > 0 else shown.export_kwh) if shown else None
        return shown is not None and abs((shown.power_kw or 0) - power_kw) < 0.1 and (register or 0) > 0

    eventually(metered, what="its meter does not show what it does")
    assert not Reading.objects.filter(asset_id=device.asset_id, flags__gt=0).exists()


def test_it_follows_every_entry_in_its_time(device: Device) -> None:
    tell(device.asset_id, 5.0, -4.0, 3.0, every_s=2.5)
    for power_kw in (5.0, -4.0, 3.0):
        follows(device, power_kw)


def test_the_newest_schedule_holds(device: Device) -> None:
    tell(device.asset_id, 5.0, 9.0, every_s=3.0)
    follows(device, 5.0)
    tell(device.asset_id, -3.0)
    follows(device, -3.0)
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: device.power_kw() > 0, within_s=3.0)


def test_it_falls_back_when_the_schedule_ends_with_or_without_its_gateway(device: Device) -> None:
    tell(device.asset_id, -6.0, valid_s=5.0)
    follows(device, -6.0)
    device.stop_gateway()
    follows(device, 0.0)


def test_a_command_given_while_the_gateway_is_away_is_delivered_when_it_is_back(device: Device) -> None:
    tell(device.asset_id, 4.0)
    follows(device, 4.0)
    device.stop_gateway()
    command = tell(device.asset_id, -5.0)
    device.start_gateway()
    follows(device, -5.0)
    eventually(lambda: DeviceCommand.objects.get(pk=command).state == CommandState.CONFIRMED)
