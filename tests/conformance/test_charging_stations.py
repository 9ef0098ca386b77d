"""One life of a charging station, the same for every version of OCPP: the twin's stations against the real gateway.

The two are written apart from each other and hold what they hear to the schemas, so that a test that passes says that
both read the standard alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fleet.models import Asset, Charger, ChargingSession, Connector, DeviceCommand, Reading
from fleet.operations.commands import PowerSchedule, queue_schedules
from fleet.twin.faults import Fault
from fleet.twin.memory import Memory
from fleet.twin.ocpp.program import describe
from tests.conformance.twin_station import FAIL_SAFE_KW, POWER, TwinStation, now, set_power, wait_for_power
from tests.integration.ocpp.support import Background, Place, RunningGateway, eventually, make_place


@pytest.fixture(params=["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def place(request: pytest.FixtureRequest, background: Background) -> Place:
    return make_place(f"CP-{request.param}", request.param, fail_safe_kw=FAIL_SAFE_KW)


@pytest.fixture
def twin(place: Place, background: Background, gateway: RunningGateway) -> Iterator[TwinStation]:
    station = TwinStation(place, gateway.url, background)
    yield station
    station.stop()


def readings(place: Place) -> list[Reading]:
    return list(Reading.objects.filter(asset_id=place.asset_id).order_by("measured_at"))


def open_session(place: Place) -> ChargingSession | None:
    return ChargingSession.objects.filter(charger__identity=place.identity, ended_at__isnull=True).first()


def plug_in(twin: TwinStation, place: Place) -> ChargingSession:
    twin.do("plug_in", car="EV")
    return eventually(lambda: open_session(place))


def test_a_station_boots_and_a_car_charges(twin: TwinStation, place: Place) -> None:
    charger = eventually(lambda: Charger.objects.filter(booted_at__isnull=False).first())
    assert charger.vendor == "Twin"
    eventually(lambda: Asset.objects.get(id=place.asset_id).connected)
    eventually(lambda: Connector.objects.get(evse__asset_id=place.asset_id).status == "Available")

    session = plug_in(twin, place)
    assert session.vehicle_id == place.vehicle_id
    assert session.id_token == place.id_token
    eventually(lambda: Connector.objects.get(evse__asset_id=place.asset_id).status == "Occupied")
    reading = wait_for_power(place, FAIL_SAFE_KW)
    assert reading.soc_fraction == POWER(0.5, abs=0.01)
    eventually(lambda: ChargingSession.objects.get(id=session.id).arrival_soc_fraction)
    if place.protocol == "ocpp2.1":
        told = eventually(lambda: ChargingSession.objects.filter(id=session.id, bidirectional=True).first())
        assert told.max_discharge_kw == POWER(10.0)
        # 18 kWh to the target of 80 %, at an efficiency of 0.92
        assert told.energy_needed_kwh == POWER(19.56, abs=0.2)

    twin.do("unplug", car="EV")
    eventually(lambda: open_session(place) is None)
    ended = ChargingSession.objects.get(id=session.id)
    assert ended.stop_reason == "EVDisconnected"
    assert ended.meter_stop_kwh == POWER(twin.evse()["import_wh"] / 1000, abs=0.0011)
    eventually(lambda: Connector.objects.get(evse__asset_id=place.asset_id).status == "Available")
    assert twin.do("show")["violations"] == []


def test_set_points_are_followed_and_metered(twin: TwinStation, place: Place) -> None:
    plug_in(twin, place)
    wait_for_power(place, FAIL_SAFE_KW)
    if place.protocol == "ocpp2.1":
        eventually(lambda: ChargingSession.objects.filter(bidirectional=True).exists())
    set_power(place, 8.0)
    wait_for_power(place, 8.0)
    set_power(place, -6.0)
    if place.protocol == "ocpp2.1":
        first = wait_for_power(place, -6.0)
        later = eventually(
            lambda: (
                Reading.objects.filter(
                    asset_id=place.asset_id, measured_at__gt=first.measured_at + timedelta(seconds=1)
                )
                .order_by("measured_at")
                .first()
            )
        )
        assert later.export_kwh > first.export_kwh
        assert later.import_kwh == first.import_kwh
        assert later.soc_fraction < first.soc_fraction + 1e-9
    else:
        # it cannot give energy back; the least it can do is to pause
        wait_for_power(place, 0.0)
        assert twin.evse()["export_wh"] == 0.0
    set_power(place, 9.0, for_s=4.0)
    wait_for_power(place, 9.0)
    wait_for_power(place, FAIL_SAFE_KW)
    assert {reading.flags for reading in readings(place)} == {0}
    assert twin.do("show")["violations"] == []


def test_a_lost_connection_leaves_the_station_safe_and_loses_nothing(twin: TwinStation, place: Place) -> None:
    session = plug_in(twin, place)
    wait_for_power(place, FAIL_SAFE_KW)
    if place.protocol == "ocpp2.1":
        eventually(lambda: ChargingSession.objects.filter(bidirectional=True).exists())
    set_power(place, 9.0, for_s=4.0)
    wait_for_power(place, 9.0)

    twin.do("fault", fault=Fault.DROP_CONNECTION)
    cut_at = now()
    eventually(lambda: not Asset.objects.get(id=place.asset_id).connected)
    eventually(lambda: twin.evse()["power_kw"] == POWER(FAIL_SAFE_KW))
    twin.do("unplug", car="EV")
    eventually(lambda: twin.do("plug_in", car="EV") and twin.evse()["transaction_id"])
    eventually(lambda: twin.do("show")["waiting_events"] > 8)
    assert open_session(place).id == session.id
    mended_at = now()
    twin.do("clear")

    second = eventually(lambda: ChargingSession.objects.filter(ended_at__isnull=True).exclude(id=session.id).first())
    first = ChargingSession.objects.get(id=session.id)
    assert cut_at < first.ended_at <= second.started_at < mended_at
    assert second.vehicle_id == place.vehicle_id
    eventually(lambda: Asset.objects.get(id=place.asset_id).connected)
    eventually(lambda: twin.do("show")["waiting_events"] == 0)
    meanwhile = [each for each in readings(place) if cut_at < each.measured_at < mended_at]
    assert len(meanwhile) >= 6
    assert {each.flags for each in readings(place)} == {0}
    gaps_s = [
        (after.measured_at - before.measured_at).total_seconds()
        for before, after in zip(readings(place), readings(place)[1:], strict=False)
    ]
    assert max(gaps_s) < 2.0
    set_power(place, 7.0)
    wait_for_power(place, 7.0)
    assert ChargingSession.objects.count() == 2
    assert twin.do("show")["violations"] == []


def test_a_station_that_refuses_or_does_not_follow_is_noticed(twin: TwinStation, place: Place) -> None:
    plug_in(twin, place)
    wait_for_power(place, FAIL_SAFE_KW)
    twin.do("fault", fault=Fault.REFUSE_PROFILES)
    starts_at = now()
    queue_schedules(
        schedules=[PowerSchedule(place.asset_id, starts_at, (0.0,), (8.0,), starts_at + timedelta(seconds=30))],
        now=starts_at,
    )
    refused = eventually(lambda: DeviceCommand.objects.filter(asset_id=place.asset_id, state="refused").first())
    assert refused.answer
    assert twin.evse()["power_kw"] == POWER(FAIL_SAFE_KW)
    twin.do("clear")
    twin.do("fault", fault=Fault.IGNORE_PROFILES)
    set_power(place, 6.0)
    wait_for_power(place, 11.0)


def test_a_second_gateway_takes_over_without_a_boot(
    twin: TwinStation, place: Place, gateway: RunningGateway, background: Background
) -> None:
    session = plug_in(twin, place)
    wait_for_power(place, FAIL_SAFE_KW)
    gateway.stop()
    other = RunningGateway("gateway-2", port=gateway.port)
    try:
        eventually(lambda: Charger.objects.get(identity=place.identity).gateway_identity == "gateway-2")
        since = now()
        eventually(lambda: Reading.objects.filter(asset_id=place.asset_id, measured_at__gt=since).exists())
        assert open_session(place).id == session.id
        set_power(place, 7.0)
        wait_for_power(place, 7.0)
        assert describe(twin.client, now())["connections"] >= 2
        assert twin.do("show")["violations"] == []
    finally:
        other.stop()


def test_a_station_whose_program_died_goes_on_where_it_was(
    place: Place, gateway: RunningGateway, background: Background, tmp_path: Path
) -> None:
    first = TwinStation(place, gateway.url, background, Memory(tmp_path / "memory.json", b"world"))
    session = plug_in(first, place)
    wait_for_power(place, FAIL_SAFE_KW)
    set_power(place, 8.0)
    wait_for_power(place, 8.0)
    first.stop()
    second = TwinStation(place, gateway.url, background, Memory(tmp_path / "memory.json", b"world"))
    try:
        since = now()
        eventually(lambda: Reading.objects.filter(asset_id=place.asset_id, measured_at__gt=since).exists())
        wait_for_power(place, 8.0)
        set_power(place, 7.0)
        wait_for_power(place, 7.0)
        assert {reading.flags for reading in readings(place)} == {0}
        assert open_session(place).id == session.id
        second.do("unplug", car="EV")
        eventually(lambda: open_session(place) is None)
        assert ChargingSession.objects.count() == 1
        assert second.do("show")["violations"] == []
    finally:
        second.stop()
