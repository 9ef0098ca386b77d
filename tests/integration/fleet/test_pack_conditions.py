"""A pack that is ill: told to stand still, left out, shown and taken back, while the others of its hub go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleet.models import Asset, CommandState, DeviceCommand, Pack, PackHealthRecord
from fleet.operations import pack_conditions
from fleet.operations.commands import NO_ANSWER_FAULT
from fleet.queries.assets import fleet_snapshot
from fleet.queries.devices import device
from fleet.twin.modbus.plant import PackFault
from tests.integration.fleet.hub import PACKS, Hub, tell
from tests.integration.fleet.loops import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hub(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    rules = replace(pack_conditions.RULES, recovered_after=timedelta(seconds=2))
    monkeypatch.setattr(pack_conditions, "RULES", rules)
    monkeypatch.setattr("fleet.devices.modbus.endpoint.BATTERY_EVERY", 1)
    monkeypatch.setattr("fleet.devices.modbus.endpoint.CONDITION_EVERY_S", 1.0)
    hub = Hub()
    eventually(lambda: Asset.objects.filter(connected=True).count() == PACKS + 1)
    yield hub
    hub.loop.call(hub.plant.close())
    hub.close()


def fault_of(pack: Pack) -> str:
    return Asset.objects.get(pk=pack.asset_id).fault


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (PackFault.HOT, "temperature"),
        (PackFault.SPREAD, "cell spread 0.60 V"),
        (PackFault.ALARM, "alarm OTHER_ALARM"),
    ],
)
def test_an_ill_pack_is_isolated_and_returns_and_the_hub_goes_on(hub: Hub, fault: PackFault, reason: str) -> None:
    ill, sound = hub.packs[0], hub.packs[1]
    for pack in (ill, sound):
        tell(pack.asset_id, -8.0)
    eventually(lambda: hub.power_kw(sound) == -8.0)
    hub.fault(PACK_001=fault)
    eventually(lambda: reason in fault_of(ill), what="the pack was not isolated")
    eventually(lambda: hub.power_kw(ill) == 0.0)
    assert hub.power_kw(sound) == -8.0
    assert fault_of(sound) == ""
    hub.fault()
    if fault == PackFault.HOT:
        hub.loop.loop.call_soon_threadsafe(hub.plant.inverters[0].bank.temperature_c.__setitem__, 0, 30.0)
    eventually(lambda: fault_of(ill) == "", what="the pack did not return")
    kinds = list(PackHealthRecord.objects.filter(pack=ill).order_by("pk").values_list("kind", flat=True))
    assert kinds == ["incident", "recovery"]


def test_a_warm_pack_does_less_and_its_page_says_why(hub: Hub) -> None:
    pack = hub.packs[0]
    region_id = pack.asset.site.grid_node.region_id
    hub.loop.loop.call_soon_threadsafe(hub.plant.inverters[0].bank.temperature_c.__setitem__, 0, 52.0)
    eventually(lambda: Pack.objects.get(pk=pack.pk).discharge_fraction < 1)
    pack.refresh_from_db()
    assert 0.3 <= pack.discharge_fraction <= 0.5
    (planned,) = (
        a for a in fleet_snapshot(region_id=region_id, now=datetime.now(UTC)).assets if a.asset_id == pack.asset_id
    )
    assert planned.discharge_kw == pytest.approx(20 * pack.discharge_fraction)
    page = device("PACK-001")
    assert page is not None
    assert dict(page.facts)["derating_reason"].startswith("temperature 5")
    hub.loop.loop.call_soon_threadsafe(hub.plant.inverters[0].bank.temperature_c.__setitem__, 0, 25.0)
    eventually(lambda: Pack.objects.get(pk=pack.pk).discharge_fraction == 1)


def test_a_pack_that_answered_no_command_is_asked_again_and_returns(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_conditions, "ASK_AGAIN", timedelta(seconds=1))
    pack = hub.packs[2]
    Asset.objects.filter(pk=pack.asset_id).update(fault=NO_ANSWER_FAULT)
    eventually(lambda: fault_of(pack) == "", what="it was not asked again")
    assert DeviceCommand.objects.filter(asset_id=pack.asset_id, state=CommandState.CONFIRMED).exists()
