"""A simulated car keeps to physics whatever it is offered."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.twin.car import NOTHING, PowerOffer, SimulatedCar, advance_cars

CAR = SimulatedCar(
    identity="EV",
    id_token="T",
    battery_capacity_kwh=60.0,
    energy_kwh=30.0,
    max_charge_kw=11.0,
    max_discharge_kw=10.0,
    charge_efficiency=0.9,
    discharge_efficiency=0.92,
    floor_soc_fraction=0.3,
)


def car(**changes: float) -> SimulatedCar:
    return replace(CAR, **changes)


def both_ways(wanted_kw: float, least_charge_kw: float = 0.0) -> PowerOffer:
    return PowerOffer(wanted_kw, charge_kw=22.0, discharge_kw=22.0, least_charge_kw=least_charge_kw)


offers = st.lists(
    st.tuples(
        st.floats(-25, 25), st.floats(0, 22), st.floats(0, 22), st.sampled_from([0.0, 1.4, 4.14]), st.floats(0.05, 900)
    ),
    min_size=1,
    max_size=40,
)


@given(soc=st.floats(0, 1), floor=st.floats(0, 1), capacity=st.floats(10, 120), steps=offers)
def test_energy_is_conserved_and_no_limit_is_passed(soc: float, floor: float, capacity: float, steps: list) -> None:
    battery = car(battery_capacity_kwh=capacity, energy_kwh=soc * capacity, floor_soc_fraction=floor)
    imported = exported = 0.0
    lowest = min(battery.energy_kwh, floor * capacity)
    start_kwh = battery.energy_kwh
    for wanted, charge, discharge, least, step_s in steps:
        advance_cars([battery], [PowerOffer(wanted, charge, discharge, least)], step_s=step_s)
        assert battery.power_kw <= min(charge, battery.max_charge_kw) + 1e-9
        assert -battery.power_kw <= min(discharge, battery.max_discharge_kw) + 1e-9
        assert lowest - 1e-6 <= battery.energy_kwh <= capacity + 1e-9
        imported += max(battery.power_kw, 0.0) * step_s / 3600
        exported += max(-battery.power_kw, 0.0) * step_s / 3600
    stored = battery.charge_efficiency * imported - exported / battery.discharge_efficiency
    assert battery.energy_kwh - start_kwh == pytest.approx(stored, abs=1e-6)


@given(soc=st.floats(0, 1), wanted=st.floats(-25, 25))
def test_without_an_offer_nothing_flows(soc: float, wanted: float) -> None:
    battery = car(energy_kwh=60.0 * soc, power_kw=0.0)
    advance_cars([battery], [NOTHING], step_s=1.0)
    assert battery.power_kw == 0.0
    assert battery.energy_kwh == 60.0 * soc


def test_a_set_point_is_reached_within_about_a_second_and_not_at_once() -> None:
    battery = car()
    advance_cars([battery], [both_ways(8.0)], step_s=0.25)
    assert 0 < battery.power_kw < 8.0
    for _ in range(3):
        advance_cars([battery], [both_ways(8.0)], step_s=0.25)
    assert battery.power_kw == pytest.approx(8.0)
    for _ in range(8):
        advance_cars([battery], [both_ways(-8.0)], step_s=0.25)
    assert battery.power_kw == pytest.approx(-8.0)


def test_less_than_the_least_current_is_a_pause() -> None:
    battery = car(power_kw=6.0)
    for _ in range(8):
        advance_cars([battery], [both_ways(4.0, least_charge_kw=4.14)], step_s=0.25)
    assert battery.power_kw == 0.0
    for _ in range(8):
        advance_cars([battery], [both_ways(4.2, least_charge_kw=4.14)], step_s=0.25)
    assert battery.power_kw == pytest.approx(4.2)


def test_power_falls_above_four_fifths_and_ends_when_full() -> None:
    powers = []
    for soc in (0.5, 0.79, 0.9, 0.97, 1.0):
        battery = car(energy_kwh=60.0 * soc)
        for _ in range(8):
            advance_cars([battery], [both_ways(11.0)], step_s=0.25)
        powers.append(battery.power_kw)
    assert powers[0] == powers[1] == pytest.approx(11.0)
    assert 11.0 > powers[2] > powers[3] > powers[4] == 0.0


def test_a_car_below_its_floor_gives_nothing() -> None:
    battery = car(energy_kwh=60.0 * 0.29)
    advance_cars([battery], [both_ways(-10.0)], step_s=10.0)
    assert battery.power_kw == 0.0
    advance_cars([battery], [both_ways(5.0)], step_s=10.0)
    assert battery.power_kw > 0


def test_a_car_that_is_not_allowed_to_discharge_does_not() -> None:
    battery = car()
    advance_cars([battery], [PowerOffer(-5.0, charge_kw=11.0, discharge_kw=0.0)], step_s=10.0)
    assert battery.power_kw == 0.0


def test_energy_asked_for_at_the_connector_brings_the_battery_there() -> None:
    battery = car()
    needed = battery.energy_to_kwh(0.8)
    assert needed == pytest.approx((48.0 - 30.0) / 0.9)
    assert battery.energy_to_kwh(0.3) == pytest.approx((18.0 - 30.0) * 0.92)


def test_cars_move_apart_from_each_other() -> None:
    first, second = car(energy_kwh=30.0), car(energy_kwh=40.0)
    advance_cars([first, second], [both_ways(11.0), both_ways(-10.0)], step_s=3600.0)
    assert first.energy_kwh == pytest.approx(30.0 + 0.9 * 11.0)
    assert second.energy_kwh == pytest.approx(40.0 - 10.0 / 0.92)
