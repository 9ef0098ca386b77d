"""A simulated station serves cars, obeys profiles, counts energy and forgets nothing that has to be told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import NotFound
from fleet.twin.clock import TwinClock
from fleet.twin.evse import RemoteStart, SimulatedEvse
from fleet.twin.faults import Fault
from fleet.twin.meter import EnergyMeter
from fleet.twin.park import ChargingPark
from fleet.twin.profiles import STATION_MAX, TX, TX_DEFAULT, ChargingProfile, Period, ProfileRefused
from fleet.twin.transactions import Transaction, TransactionEvent
from fleet.twin.world import World, WorldCar, WorldCharger, WorldEvse

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
STEP_S = 0.25
CAR = WorldCar(
    identity="EV",
    charger="CP",
    evse=1,
    id_token="TOKEN",
    battery_capacity_kwh=60.0,
    soc_fraction=0.5,
    max_charge_kw=11.0,
    max_discharge_kw=10.0,
    plug_in_s=1.0,
)
EVSE = WorldEvse(number=1, max_charge_kw=11.0, max_discharge_kw=11.0, min_charge_kw=4.14)


class Played:
    """A world of one station, moved on by hand."""

    def __init__(self, *cars: WorldCar, evses: tuple[WorldEvse, ...] = (EVSE,), online: bool = True) -> None:
        charger = WorldCharger("CP", "secret", "ocpp2.1", evses, meter_interval_s=2.0)
        world = World(chargers=(charger,), cars=cars or (CAR,))
        self.park = ChargingPark(world, world.chargers, TwinClock(START))
        self.station = self.park.stations["CP"]
        self.now = START
        if online:
            self.station.connect(START)

    @property
    def evse(self) -> SimulatedEvse:
        return self.station.evses[1]

    def go(self, for_s: float) -> None:
        for _ in range(round(for_s / STEP_S)):
            self.now += timedelta(seconds=STEP_S)
            self.park.tick(self.now)

    def authorise(self, bidirectional: bool = True) -> Transaction:
        assert self.evse.car is not None
        return self.station.start_transaction(
            self.evse, id_token=self.evse.car.id_token, now=self.now, bidirectional=bidirectional
        )

    def charging(self, bidirectional: bool = True) -> Transaction:
        self.go(1.5)
        return self.authorise(bidirectional)

    def take(self, *periods: Period, **given: object) -> None:
        values: dict = {
            "profile_id": 1,
            "evse_number": 1,
            "stack_level": 1,
            "purpose": TX,
            "kind": "Absolute",
            "periods": periods,
            "received_at": self.now,
            "starts_at": self.now,
            **given,
        }
        self.station.install_profile(ChargingProfile(**values), now=self.now, replace_same_level=True)

    def events(self) -> list[TransactionEvent]:
        events = []
        while (event := self.station.queue.head()) is not None:
            events.append(event)
            self.station.queue.delivered(event)
        return events


def setpoint(power_kw: float) -> Period:
    return Period(0.0, setpoint_kw=power_kw, operation_mode="CentralSetpoint")


def test_a_car_waits_for_its_driver_and_then_charges() -> None:
    played = Played()
    played.go(3)
    assert played.evse.status == "Preparing"
    assert played.evse.wants_authorisation
    assert played.evse.power_kw == 0.0
    played.authorise()
    played.go(3)
    assert played.evse.status == "Charging"
    assert played.evse.power_kw == pytest.approx(11.0)


def test_the_life_of_a_transaction_is_told_in_order_without_gaps() -> None:
    played = Played(replace(CAR, unplug_s=12.0))
    transaction = played.charging()
    played.go(15)
    events = played.events()
    assert [event.kind for event in events][:: len(events) - 1] == ["started", "ended"]
    assert {event.kind for event in events[1:-1]} == {"updated"}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert all(event.transaction is transaction for event in events)
    assert events[-1].stop_reason == "EVDisconnected"
    assert events[-1].reading.import_wh > events[0].reading.import_wh
    assert "ChargingStateChanged" in {event.trigger for event in events}
    assert 4 <= sum(event.is_sample for event in events) <= 6
    assert played.evse.status == "Available"


def test_a_car_without_an_hour_to_leave_leaves_when_it_said() -> None:
    played = Played(replace(CAR, unplug_s=None, departure_in_s=4.0))
    played.charging()
    played.go(2)
    assert played.evse.car is not None
    played.go(1)
    assert played.evse.car is None


def test_a_set_point_discharges_and_counts_the_other_register() -> None:
    played = Played()
    played.charging()
    played.take(setpoint(-8.0))
    played.go(4)
    assert played.evse.power_kw == pytest.approx(-8.0)
    assert played.evse.read(played.now).setpoint_kw == -8.0
    imported = played.evse.meter.import_wh
    exported = played.evse.meter.export_wh
    played.go(9)
    assert played.evse.meter.import_wh == imported
    assert played.evse.meter.export_wh - exported == pytest.approx(8000 * 9 / 3600)


def test_discharging_is_refused_unless_it_was_agreed_on() -> None:
    played = Played()
    played.charging(bidirectional=False)
    with pytest.raises(ProfileRefused) as refused:
        played.take(setpoint(-8.0))
    assert refused.value.reason_code == "InvalidSchedule"
    with pytest.raises(ProfileRefused, match="negative"):
        played.take(Period(0.0, limit_kw=-8.0))


@pytest.mark.parametrize(
    ("reason_code", "given"),
    [
        ("TxNotFound", {"transaction_id": "another"}),
        ("UnknownEvse", {"evse_number": 4, "purpose": TX_DEFAULT}),
        ("InvalidProfile", {"purpose": STATION_MAX}),
        ("UnsupportedParam", {"periods": (Period(0.0, operation_mode="ExternalLimits"),)}),
    ],
)
def test_a_profile_that_does_not_suit_is_refused(reason_code: str, given: dict) -> None:
    played = Played()
    played.charging()
    with pytest.raises(ProfileRefused) as refused:
        played.take(**{"periods": (Period(0.0, limit_kw=6.0),), **given})
    assert refused.value.reason_code == reason_code


def test_after_the_profile_ends_the_station_falls_back() -> None:
    played = Played(evses=(replace(EVSE, fail_safe_kw=0.0),))
    played.charging()
    played.take(setpoint(-8.0), valid_to=played.now + timedelta(seconds=5))
    played.go(4)
    assert played.evse.power_kw == pytest.approx(-8.0)
    played.go(3)
    assert played.evse.power_kw == 0.0


def test_a_lost_connection_ends_a_profile_that_needs_one() -> None:
    played = Played(evses=(replace(EVSE, fail_safe_kw=5.0),))
    played.charging()
    played.take(setpoint(-8.0), kind="Dynamic", max_offline_s=3)
    played.go(3)
    played.station.disconnect(played.now)
    played.go(2.5)
    assert played.evse.power_kw == pytest.approx(-8.0)
    played.go(3)
    assert played.evse.power_kw == pytest.approx(5.0)


def test_the_profile_of_a_transaction_goes_with_it() -> None:
    played = Played()
    played.charging()
    played.take(Period(0.0, limit_kw=6.0))
    played.station.stop_transaction(played.evse, played.now, trigger="RemoteStop", stop_reason="Remote")
    assert len(played.station.profiles) == 0
    assert played.evse.status == "Finishing"
    played.go(1)
    assert played.evse.power_kw == 0.0


def test_offline_a_station_serves_on_its_own_and_tells_later() -> None:
    played = Played(online=False)
    played.station.disconnect(START)
    played.go(4)
    assert played.evse.transaction is None
    played.go(6)
    assert played.evse.power_kw == pytest.approx(11.0)
    played.station.connect(played.now)
    started = played.events()[0]
    assert started.kind == "started"
    assert started.offline
    assert started.at < played.now


def test_a_remote_start_waits_for_the_car() -> None:
    played = Played(replace(CAR, plug_in_s=3.0))
    limit = ChargingProfile(9, 1, 0, TX, "Relative", (Period(0.0, limit_kw=5.0),), START)
    order = RemoteStart("REMOTE", 77, limit, START + timedelta(seconds=60))
    assert played.station.start_remotely(played.evse, order, played.now) is None
    assert played.evse.status == "Preparing"
    played.go(6)
    assert played.evse.transaction is not None
    assert played.evse.transaction.id_token == "REMOTE"
    assert played.evse.transaction.remote_start_id == 77
    assert played.evse.power_kw == pytest.approx(5.0)


def test_a_remote_start_does_not_wait_for_ever() -> None:
    played = Played(replace(CAR, plug_in_s=1000.0))
    order = RemoteStart("REMOTE", 77, None, START + timedelta(seconds=2))
    played.station.start_remotely(played.evse, order, played.now)
    played.go(3)
    assert played.evse.remote_start is None
    assert played.evse.status == "Available"


def test_out_of_service_waits_for_the_end_of_a_transaction() -> None:
    played = Played()
    played.charging()
    assert not played.station.set_operative(played.evse, False)
    assert played.evse.status == "Preparing"
    played.station.stop_transaction(played.evse, played.now, trigger="RemoteStop", stop_reason="Remote")
    assert played.evse.status == "Unavailable"
    assert played.station.set_operative(played.evse, True)


def test_a_limit_of_the_station_is_shared_by_the_cars_that_charge() -> None:
    second = replace(CAR, identity="EV2", evse=2)
    played = Played(CAR, second, evses=(EVSE, replace(EVSE, number=2)))
    played.charging()
    played.take(Period(0.0, limit_kw=10.0), purpose=STATION_MAX, evse_number=0)
    played.go(3)
    assert played.evse.power_kw == pytest.approx(10.0)
    played.station.start_transaction(played.station.evses[2], id_token="T2", now=played.now)
    played.go(3)
    assert [evse.power_kw for evse in played.station.evses.values()] == pytest.approx([5.0, 5.0])
    total = played.station.composite(0, played.now, 60)
    assert [allowed.charge_kw for _, allowed in total] == pytest.approx([10.0])


def test_the_composite_schedule_foretells_what_happens() -> None:
    played = Played()
    played.charging()
    played.take(Period(0.0, limit_kw=6.0), Period(10.0, limit_kw=9.0))
    foretold = played.station.composite(1, played.now, 60)
    assert [(offset, allowed.charge_kw) for offset, allowed in foretold] == [(0.0, 6.0), (10.0, 9.0)]
    played.go(9)
    assert played.evse.power_kw == pytest.approx(6.0)
    played.go(4)
    assert played.evse.power_kw == pytest.approx(9.0)


# faults


def test_a_refusing_station_refuses_and_an_ignoring_one_does_not_follow() -> None:
    played = Played()
    played.charging()
    played.station.faults.set(Fault.REFUSE_PROFILES, now=played.now, for_s=5)
    with pytest.raises(ProfileRefused):
        played.take(Period(0.0, limit_kw=6.0))
    played.go(5)
    played.station.faults.set(Fault.IGNORE_PROFILES, now=played.now)
    played.take(Period(0.0, limit_kw=6.0))
    played.go(3)
    assert played.evse.power_kw == pytest.approx(11.0)
    played.station.faults.clear(Fault.IGNORE_PROFILES)
    played.go(3)
    assert played.evse.power_kw == pytest.approx(6.0)


def test_a_wrong_clock_shows_in_every_timestamp() -> None:
    played = Played()
    played.station.faults.set(Fault.CLOCK_SKEW, now=played.now, value=-90.0)
    played.charging()
    assert played.events()[0].at == played.now - timedelta(seconds=90)


def test_a_stuck_meter_shows_the_past_and_goes_on_counting() -> None:
    played = Played()
    played.charging()
    played.go(4)
    played.station.faults.set(Fault.STUCK_METER, now=played.now, for_s=4)
    played.go(0.5)
    stuck = played.evse.read(played.now)
    played.go(3)
    assert played.evse.read(played.now).import_wh == stuck.import_wh
    played.go(1)
    assert played.evse.read(played.now).import_wh > stuck.import_wh + 8


def test_a_faulted_connector_ends_the_transaction_and_heals() -> None:
    played = Played()
    played.charging()
    played.go(3)
    played.station.faults.set(Fault.FAULTED_CONNECTOR, now=played.now, for_s=3)
    played.go(1)
    assert played.evse.status == "Faulted"
    assert played.evse.power_kw == 0.0
    assert played.events()[-1].trigger == "AbnormalCondition"
    played.go(3)
    assert played.evse.status == "Preparing"
    assert played.evse.wants_authorisation


def test_cars_come_and_go_by_order() -> None:
    played = Played(replace(CAR, plug_in_s=1000.0))
    played.park.plug_in("EV", played.now)
    assert played.evse.car is not None
    played.park.unplug("EV", played.now)
    assert played.evse.car is None
    with pytest.raises(NotFound, match="EV-9"):
        played.park.plug_in("EV-9", played.now)


# what is told


@settings(max_examples=40, deadline=None)
@given(
    setpoints=st.lists(st.tuples(st.floats(-12, 12), st.floats(0.25, 4)), min_size=1, max_size=12),
    soc=st.floats(0.0, 1.0),
)
def test_registers_never_fall_and_agree_with_the_battery(setpoints: list, soc: float) -> None:
    played = Played(replace(CAR, soc_fraction=soc))
    played.charging()
    car = played.evse.car
    assert car is not None
    before_kwh, last = car.energy_kwh, (0.0, 0.0)
    for power_kw, for_s in setpoints:
        played.take(setpoint(power_kw))
        played.go(for_s)
        registers = (played.evse.meter.import_wh, played.evse.meter.export_wh)
        assert registers[0] >= last[0]
        assert registers[1] >= last[1]
        assert -10.0 - 1e-9 <= played.evse.power_kw <= 11.0 + 1e-9
        last = registers
    stored_kwh = (car.charge_efficiency * last[0] - last[1] / car.discharge_efficiency) / 1000
    assert car.energy_kwh - before_kwh == pytest.approx(stored_kwh, abs=1e-6)


@given(st.lists(st.floats(-50, 50), max_size=50))
def test_what_a_meter_shows_never_falls_and_is_never_ahead(powers: list[float]) -> None:
    meter = EnergyMeter()
    shown = meter.shown(0.0)
    for power_kw in powers:
        meter.count(power_kw, 1.0)
        _, imported, exported = meter.shown(power_kw)
        assert imported >= shown[1]
        assert exported >= shown[2]
        assert imported <= meter.import_wh + 1e-6
        assert exported <= meter.export_wh + 1e-6
        shown = (power_kw, imported, exported)
