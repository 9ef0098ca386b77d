"""Packs and meters over real sockets: found, read, steered, and safe when nobody speaks to them any longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fleet.devices.modbus import endpoint
from fleet.models import Asset, CommandState, DeviceCommand, Inverter, Reading
from fleet.operations.changes import announce_change
from fleet.operations.commands import queue_command
from fleet.queries.state import latest_states
from fleet.twin import pack as pack_physics
from fleet.twin.modbus.plant import PackFault
from tests.integration.fleet.fleets import make_inverter, make_pack
from tests.integration.fleet.hub import PACKS, Hub, tell
from tests.integration.fleet.loops import eventually, free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hub(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(endpoint, "ASK_AGAIN_S", 1.0)
    hub = Hub()
    eventually(lambda: Asset.objects.filter(connected=True).count() == PACKS + 1, what="not all devices were found")
    yield hub
    hub.loop.call(hub.plant.close())
    hub.close()


def state(command_id: int) -> str:
    return DeviceCommand.objects.get(pk=command_id).state


def test_devices_are_found_read_and_shown(hub: Hub) -> None:
    pack = hub.packs[0]
    both = [pack.asset_id, hub.meter.asset_id]
    eventually(lambda: len(latest_states(both)) == 2 and latest_states(both)[pack.asset_id].temperature_c)
    shown = latest_states(both)
    assert shown[pack.asset_id].soc_fraction == pytest.approx(0.6, abs=0.001)
    assert shown[pack.asset_id].temperature_c == pytest.approx(25, abs=0.5)
    assert shown[hub.meter.asset_id].power_kw == pytest.approx(900 * pack_physics.stadium_shape(20.5), rel=0.1)
    inverter = Inverter.objects.get()
    assert (inverter.connected, inverter.gateway_identity) == (True, "test-modbus")
    eventually(lambda: Reading.objects.filter(asset_id=pack.asset_id).count() >= 3)


def test_setpoints_are_followed_and_metered_with_our_sign(hub: Hub) -> None:
    charging, discharging, still = hub.packs
    first, second = tell(charging.asset_id, 7.0), tell(discharging.asset_id, -12.5)
    eventually(lambda: state(first) == state(second) == CommandState.CONFIRMED)
    eventually(lambda: hub.power_kw(charging) == 7.0 and hub.power_kw(discharging) == -12.5)
    assert hub.power_kw(still) == 0.0

    def seen() -> bool:
        shown = latest_states([charging.asset_id, discharging.asset_id])
        into, out = shown[charging.asset_id], shown[discharging.asset_id]
        return abs(into.power_kw - 7) < 0.1 and abs(out.power_kw + 12.5) < 0.1 and out.export_kwh > 0 < into.import_kwh

    eventually(seen, what="the meters do not show what the packs do")


def test_a_hub_behind_serial_gateways_without_sunspec_is_steered_the_same(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(framing="rtu_over_tcp", dialect="victron_ess", register_profile="victron-ess")
    try:
        pack = hub.packs[1]
        eventually(lambda: Asset.objects.get(pk=pack.asset_id).connected)
        command = tell(pack.asset_id, -6.0)
        eventually(lambda: state(command) == CommandState.CONFIRMED)
        eventually(lambda: hub.power_kw(pack) == -6.0)
        seen = {"asset_id": pack.asset_id, "power_kw__lt": -5.9, "soc_fraction__gt": 0.5}
        eventually(lambda: Reading.objects.filter(**seen).exists(), within_s=20)
    finally:
        hub.loop.call(hub.plant.close())
        hub.close()


def test_a_busy_pack_is_asked_again_until_it_takes_its_set_point(hub: Hub) -> None:
    pack = hub.packs[0]
    hub.fault(PACK_001=PackFault.BUSY)
    command = tell(pack.asset_id, -4.0)
    eventually(lambda: state(command) == CommandState.SENT)
    hub.fault()
    eventually(lambda: state(command) == CommandState.CONFIRMED)
    assert hub.power_kw(pack) == -4.0 or eventually(lambda: hub.power_kw(pack) == -4.0)


def test_every_entry_of_a_schedule_takes_effect_in_its_time(hub: Hub) -> None:
    pack = hub.packs[0]
    command = tell(pack.asset_id, 5.0, -5.0, 2.0, every_s=1.5, starts_in_s=1.0)
    eventually(lambda: state(command) == CommandState.CONFIRMED)
    for power_kw in (5.0, -5.0, 2.0):
        eventually(lambda power_kw=power_kw: hub.power_kw(pack) == power_kw)


def test_a_newer_schedule_replaces_an_older_one_at_once(hub: Hub) -> None:
    pack = hub.packs[0]
    older = tell(pack.asset_id, 5.0, 19.0, every_s=2.0)
    eventually(lambda: state(older) == CommandState.CONFIRMED)
    tell(pack.asset_id, -3.0)
    eventually(lambda: hub.power_kw(pack) == -3.0)
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: hub.power_kw(pack) > 0, within_s=2.5)


def test_the_schedule_ends_at_the_pack_itself_though_the_gateway_is_dead(hub: Hub) -> None:
    pack = hub.packs[0]
    tell(pack.asset_id, -10.0, valid_s=4.0)
    eventually(lambda: hub.power_kw(pack) == -10.0)
    hub.stop_gateway()
    eventually(lambda: hub.power_kw(pack) == 0.0, within_s=10)


def test_a_dead_gateway_is_noticed_by_the_missing_heartbeat(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_physics, "HEARTBEAT_LOST_S", 4.0)
    pack = hub.packs[0]
    tell(pack.asset_id, -10.0, valid_s=600.0)
    eventually(lambda: hub.power_kw(pack) == -10.0)
    with pytest.raises(AssertionError, match="not within"):  # while it lives, the set-point stands
        eventually(lambda: hub.power_kw(pack) == 0.0, within_s=6)
    hub.stop_gateway()
    eventually(lambda: hub.power_kw(pack) == 0.0, within_s=10)


def test_a_new_gateway_takes_up_what_the_packs_were_told(hub: Hub) -> None:
    pack = hub.packs[0]
    tell(pack.asset_id, -10.0, -4.0, every_s=3.0, valid_s=60.0)
    eventually(lambda: hub.power_kw(pack) == -10.0)
    hub.stop_gateway()
    hub.start_gateway()
    eventually(lambda: hub.power_kw(pack) == -4.0)


def test_a_pack_that_forgot_its_setpoint_while_away_is_told_again(hub: Hub) -> None:
    pack = hub.packs[0]
    command = tell(pack.asset_id, -10.0)
    eventually(lambda: state(command) == CommandState.CONFIRMED)
    hub.fault(PACK_001=PackFault.SILENT)
    eventually(lambda: not Asset.objects.get(pk=pack.asset_id).connected)
    hub.loop.loop.call_soon_threadsafe(hub.plant.inverters[0].bank.release, 0)
    eventually(lambda: hub.power_kw(pack) == 0.0)
    hub.fault()
    eventually(lambda: hub.power_kw(pack) == -10.0, within_s=20)
    assert Asset.objects.get(pk=pack.asset_id).connected


@pytest.mark.parametrize("fault", [PackFault.SILENT, PackFault.GARBLED])
def test_a_unit_that_is_gone_or_talks_nonsense_is_lost_once_and_disturbs_no_other(
    hub: Hub, fault: PackFault, caplog: pytest.LogCaptureFixture
) -> None:
    lost, other = hub.packs[0], hub.packs[1]
    hub.fault(PACK_001=fault)
    eventually(lambda: not Asset.objects.get(pk=lost.asset_id).connected, within_s=20)
    after = datetime.now(UTC)
    tell(other.asset_id, -6.0)
    eventually(lambda: hub.power_kw(other) == -6.0)
    eventually(lambda: Reading.objects.filter(asset_id=other.asset_id, measured_at__gt=after).count() >= 2)
    assert Asset.objects.get(pk=other.asset_id).connected
    complaints = [record for record in caplog.records if "PACK-001" in record.getMessage()]
    assert 1 <= len(complaints) <= 2


def test_a_pack_under_local_control_refuses_and_says_why(hub: Hub) -> None:
    pack = hub.packs[0]
    hub.fault(PACK_001=PackFault.LOCAL)
    command = tell(pack.asset_id, -10.0)
    eventually(lambda: state(command) == CommandState.REFUSED)
    assert DeviceCommand.objects.get(pk=command).answer["reason"]
    assert hub.power_kw(pack) == 0.0


def test_more_than_the_pack_can_do_is_refused_by_it(hub: Hub) -> None:
    command = tell(hub.packs[0].asset_id, -35.0)
    eventually(lambda: state(command) == CommandState.REFUSED)
    assert "illegal data value" in DeviceCommand.objects.get(pk=command).answer["reason"]


def test_other_commands_are_refused_by_name(hub: Hub) -> None:
    now = datetime.now(UTC)
    command = queue_command(
        asset_id=hub.packs[0].asset_id, kind="reset", parameters={}, now=now, valid_until=now + timedelta(minutes=1)
    )
    eventually(lambda: state(command) == CommandState.REFUSED)
    assert "reset" in DeviceCommand.objects.get(pk=command).answer["reason"]


def test_what_does_not_exist_is_never_found_and_does_not_delay_what_does(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = make_pack(Inverter.objects.get(), number=50, device_id=99)
    make_inverter(port=free_port(), identity="INV-2")  # nothing listens there
    announce_change(kind="owner", asset_id=None, region_id=wrong.asset.site.grid_node.region_id)
    eventually(lambda: "PACK-050: device_id: Unit 99" in caplog.text)
    before = Reading.objects.filter(asset_id=hub.packs[0].asset_id).count()
    eventually(lambda: Reading.objects.filter(asset_id=hub.packs[0].asset_id).count() > before + 2)
    assert caplog.text.count("PACK-050") == 1
    assert not Asset.objects.get(pk=wrong.asset_id).connected
    assert not Inverter.objects.get(identity="INV-2").connected


def test_a_pack_that_is_registered_while_the_gateway_runs_is_read(hub: Hub) -> None:
    pack = hub.packs.pop()
    Asset.objects.filter(pk=pack.asset_id).update(identity="PACK-900")
    pack.delete()
    again = make_pack(Inverter.objects.get(), number=3, device_id=4)
    announce_change(kind="owner", asset_id=None, region_id=again.asset.site.grid_node.region_id)
    eventually(lambda: Asset.objects.get(pk=again.asset_id).connected)
    eventually(lambda: Reading.objects.filter(asset_id=again.asset_id).exists())
