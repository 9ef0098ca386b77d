"""OCPP 2.1's use cases of block Q and K28, between the real gateway and the twin's station: what flows in the end counts.

Q01, Q02 authorisation and renegotiation; Q03, Q04 central set-points; Q05 external set-points; Q07, Q08 frequency; Q09
load balancing; Q10 idle; Q11 offline; Q12 resuming.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from fleet.core.local_control import LocalControl, V2XMode
from fleet.devices.ocpp import configuration, profiles
from fleet.models import Charger, ChargingSession, DeviceCommand, Reading, Vehicle
from fleet.operations.commands import PowerSchedule, queue_command, queue_schedules
from fleet.operations.goals import charge_now, undo_charge_now
from fleet.operations.local_control import set_local_control
from fleet.operations.priority import end_priority
from fleet.twin.faults import Fault
from tests.conformance.twin_station import FAIL_SAFE_KW, POWER, TwinStation, follows, now, probed_twin, snapshot, tell
from tests.integration.ocpp.support import Background, Place, RunningGateway, eventually, make_place


@pytest.fixture
def place(background: Background) -> Place:
    return make_place("CP-V2X", "ocpp2.1", fail_safe_kw=FAIL_SAFE_KW)


@pytest.fixture
def twin(place: Place, background: Background, gateway: RunningGateway) -> Iterator[TwinStation]:
    with probed_twin(place, gateway, background) as station:
        yield station


@pytest.fixture
def session(twin: TwinStation, place: Place) -> ChargingSession:
    twin.do("plug_in", car="EV")
    return eventually(lambda: ChargingSession.objects.filter(bidirectional=True, ended_at=None).first())


def profile_kinds(twin: TwinStation) -> dict[str, str]:
    installed: dict[str, str] = {}
    for profile in twin.client.station.profiles:
        installed[profile.purpose] = profile.kind
    return installed


def test_capabilities_are_probed_and_remembered(twin: TwinStation, place: Place) -> None:
    known = Charger.objects.get(identity=place.identity).capabilities
    assert known["dynamic"] is True and known["offline_duration"] is True
    assert V2XMode.LOCAL_FREQUENCY in known["operation_modes"].split(",")
    assert "AC_BPT" in known["energy_transfer_modes"]


def test_a_lone_setpoint_is_dynamic_and_updated_while_its_end_stays(
    twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    until = now() + timedelta(seconds=60)

    def order(power_kw: float) -> None:
        instant = now()
        queue_schedules(schedules=[PowerSchedule(place.asset_id, instant, (0.0,), (power_kw,), until)], now=instant)
        follows(twin, power_kw)

    order(-6.0)
    assert profile_kinds(twin)["TxProfile"] == "Dynamic"
    order(4.5)
    order(-9.0)
    eventually(lambda: DeviceCommand.objects.filter(state="confirmed").count() == 3)
    # the profile is the first one's; only its set-point has changed
    (held,) = [profile for profile in twin.client.station.profiles if profile.purpose == "TxProfile"]
    assert held.wire is not None and held.wire["chargingSchedule"][0]["chargingSchedulePeriod"][0]["setpoint"] == -9000
    shown = eventually(
        lambda: Reading.objects.filter(asset_id=place.asset_id, setpoint_kw=-9.0, power_kw__lt=-8.9).first()
    )
    assert shown.export_kwh > 0


def test_a_station_fetches_the_setpoint_of_its_dynamic_profile(
    twin: TwinStation, place: Place, session: ChargingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "PULL_EVERY_S", 1)
    tell(place, -6.0)
    follows(twin, -6.0)
    # a schedule that no gateway has sent: the station hears of it by asking
    DeviceCommand.objects.filter(asset_id=place.asset_id).update(power_kw=[-3.0])
    follows(twin, -3.0)


def test_a_schedule_both_ways_is_followed_step_by_step_and_ends_safely(
    twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    tell(place, -6.0, 7.0, for_s=8.0, step_s=4.0)
    assert profile_kinds(twin)["TxProfile"] == "Absolute"
    for power_kw in (-6.0, 7.0, FAIL_SAFE_KW):
        follows(twin, power_kw)


def test_local_frequency_control_follows_the_grid_and_the_signal(
    twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    droop = LocalControl(
        V2XMode.LOCAL_FREQUENCY,
        frequency_watt=((49.8, -8.0), (50.0, 0.0), (50.2, 8.0)),
        signal_watt=((-100, -5.0), (0, 0.0), (100, 5.0)),
    )
    assert tell(place, -1.0, control=droop).state == "confirmed"
    follows(twin, -1.0)
    twin.do("surround", frequency_hz=49.9)
    follows(twin, -5.0)
    twin.do("surround", frequency_hz=50.15)
    follows(twin, 5.0)
    twin.do("surround", frequency_hz=50.0)
    queue_command(
        asset_id=place.asset_id,
        kind="afrr_signal",
        parameters={"signal": -100},
        now=now(),
        valid_until=now() + timedelta(seconds=30),
    )
    follows(twin, -6.0)
    # discharging stays within what car and station can
    twin.do("surround", frequency_hz=49.0)
    follows(twin, -10.0)


@pytest.mark.parametrize(
    ("control", "surround", "power_kw"),
    [
        (LocalControl(V2XMode.CENTRAL_FREQUENCY), {}, -4.0),
        (LocalControl(V2XMode.EXTERNAL_SETPOINT), {"external_kw": -7.0}, -7.0),
        (LocalControl(V2XMode.LOCAL_LOAD_BALANCING), {"site_load_kw": 5.0}, -5.0),
        (LocalControl(V2XMode.IDLE), {}, 0.0),
    ],
)
def test_other_modes_of_operation(
    twin: TwinStation,
    place: Place,
    session: ChargingSession,
    control: LocalControl,
    surround: dict[str, Any],
    power_kw: float,
) -> None:
    twin.do("surround", **surround)
    assert tell(place, -4.0, control=control).state == "confirmed"
    eventually(lambda: twin.evse()["operation_mode"] == control.mode)
    follows(twin, power_kw)


def test_a_long_pause_is_idle(twin: TwinStation, place: Place, session: ChargingSession) -> None:
    tell(place, 0.0, -5.0, for_s=3600, step_s=1800)
    eventually(lambda: twin.evse()["operation_mode"] == "Idle")
    assert twin.evse()["power_kw"] == POWER(0.0)


def test_a_mode_that_the_station_lacks_is_refused_with_the_reason(
    twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    twin.do("unplug", car="EV")
    eventually(lambda: not ChargingSession.objects.filter(ended_at=None).exists())
    refused = tell(place, 0.0, control=LocalControl(V2XMode.IDLE))
    assert refused.state == "refused" and "does not do Idle now" in refused.answer["reason"]


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A station falls back after two seconds alone; set before it is told anything."""
    monkeypatch.setattr(configuration, "MAX_OFFLINE_S", 2)


def test_alone_for_too_long_it_is_safe_and_afterwards_it_resumes(
    short_patience: None, twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    tell(place, -6.0, -7.0, for_s=3600, step_s=1800)
    follows(twin, -6.0)
    twin.do("fault", fault=Fault.DROP_CONNECTION)
    follows(twin, FAIL_SAFE_KW)
    twin.do("clear")
    follows(twin, -6.0)


def test_a_lone_setpoint_that_lapsed_offline_is_told_anew(
    short_patience: None, twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    tell(place, -6.0, for_s=600)
    follows(twin, -6.0)
    twin.do("fault", fault=Fault.DROP_CONNECTION)
    follows(twin, FAIL_SAFE_KW)
    twin.do("clear")
    eventually(lambda: twin.client.station.online)
    follows(twin, -6.0)


def test_a_driver_without_a_bidirectional_contract_charges_only(twin: TwinStation, place: Place) -> None:
    Vehicle.objects.update(v2g_capable=False)
    twin.do("plug_in", car="EV")
    session = eventually(lambda: ChargingSession.objects.filter(energy_needed_kwh__isnull=False).first())
    assert not session.bidirectional
    assert twin.evse()["bidirectional"] is False


def test_the_levels_that_the_car_keeps_to_are_known(twin: TwinStation, place: Place, session: ChargingSession) -> None:
    # the driver's wish on the platform is 90 % and never below 20 %; the car itself stops giving at 30 %
    known = eventually(lambda: ChargingSession.objects.filter(floor_soc_fraction__gt=0.25).first())
    assert known.floor_soc_fraction == POWER(0.3, abs=0.03)
    assert known.target_soc_fraction == 0.9


def test_priority_asked_for_at_the_station_is_charge_now(
    twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    tell(place, -6.0)
    follows(twin, -6.0)
    twin.do("priority", evse=1, on=True)
    follows(twin, 11.0)
    eventually(lambda: snapshot(place).charge_now)
    twin.do("priority", evse=1, on=False)
    follows(twin, -6.0)
    eventually(lambda: not snapshot(place).charge_now)


def test_priority_asked_for_by_the_owner_reaches_the_station_and_ends_in_time(
    twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    tell(place, -6.0)
    follows(twin, -6.0)
    owner_id = Vehicle.objects.get(pk=place.vehicle_id).owner_id
    wish = {"vehicle_id": place.vehicle_id, "owner_id": owner_id}
    charge_now(**wish, until=now() + timedelta(hours=1), now=now())
    follows(twin, 11.0)
    assert undo_charge_now(**wish, now=now())
    follows(twin, -6.0)
    charge_now(**wish, until=now() + timedelta(hours=1), now=now())
    follows(twin, 11.0)
    assert end_priority(now=now()) == 0
    assert end_priority(now=now() + timedelta(hours=2)) == 1
    follows(twin, -6.0)
    assert end_priority(now=now() + timedelta(hours=2)) == 0


def test_a_limit_from_outside_is_planned_with(twin: TwinStation, place: Place, session: ChargingSession) -> None:
    assert snapshot(place).charge_kw == 11.0
    twin.do("limit", limit_kw=4.5)
    eventually(lambda: snapshot(place).charge_kw == 4.5)
    twin.do("limit", limit_kw=6.0)
    eventually(lambda: snapshot(place).charge_kw == 6.0)
    twin.do("limit", limit_kw=None)
    eventually(lambda: snapshot(place).charge_kw == 11.0)


def test_a_rule_that_stands_is_carried_by_every_schedule_until_it_is_taken_back(
    twin: TwinStation, place: Place, session: ChargingSession
) -> None:
    tell(place, -2.0, for_s=600)
    follows(twin, -2.0)
    droop = LocalControl(V2XMode.LOCAL_FREQUENCY, frequency_watt=((49.8, -4.0), (50.0, 0.0), (50.2, 4.0)))
    set_local_control(identity=place.identity, evse_number=1, control=droop, now=now())
    twin.do("surround", frequency_hz=49.9)
    follows(twin, -4.0)
    tell(place, -5.0, for_s=600)
    follows(twin, -7.0)
    # a car that only charges is told the plain schedule
    ChargingSession.objects.update(bidirectional=False)
    assert tell(place, 6.0, for_s=600).state == "confirmed"
    follows(twin, 6.0)
    ChargingSession.objects.update(bidirectional=True)
    set_local_control(identity=place.identity, evse_number=1, control=LocalControl(), now=now())
    tell(place, -5.0, for_s=600)
    follows(twin, -5.0)
