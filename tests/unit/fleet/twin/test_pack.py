"""The physics of packs: energy is conserved, limits hold, and the fail-safes work without anybody's help."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.twin.pack import HEARTBEAT_LOST_S, PackBank, SiteMeter, photovoltaic_shape, stadium_shape
from fleet.twin.world import WorldPack


def world_pack(**change: float) -> WorldPack:
    values = {"nameplate_kwh": 24.0, "state_of_health_fraction": 0.8, "max_charge_kw": 20.0, "max_discharge_kw": 18.0}
    return WorldPack(identity="P", device_id=2, **(values | change))  # type: ignore[arg-type]


def run(bank: PackBank, start_s: float, seconds: float, *, step_s: float = 0.2, alive: bool = True) -> float:
    now_s = start_s
    while now_s < start_s + seconds - 1e-9:
        now_s += step_s
        if alive:
            bank.beat(0, now_s=now_s)
        bank.advance(now_s)
    return now_s


def steered(power_kw: float, *, reverts_in_s: float = 1e9, fail_safe_kw: float = 0.0, **change: float) -> PackBank:
    bank = PackBank([world_pack(**change)], now_s=0.0)
    bank.control(0, power_kw=power_kw, fail_safe_kw=fail_safe_kw, reverts_at_s=reverts_in_s, now_s=0.0)
    return bank


@given(power_kw=st.floats(-18, 20), soc=st.floats(0.05, 1), charge=st.floats(0.7, 1.0), discharge=st.floats(0.7, 1.0))
@settings(max_examples=40, deadline=None)
def test_what_the_meter_counts_is_what_the_battery_gains_and_loses(
    power_kw: float, soc: float, charge: float, discharge: float
) -> None:
    bank = steered(power_kw, soc_fraction=soc, charge_efficiency=charge, discharge_efficiency=discharge)
    before = bank.energy_kwh.copy()
    run(bank, 0, 600, step_s=1.0)
    gained = bank.import_kwh * charge - bank.export_kwh / discharge
    assert bank.energy_kwh - before == pytest.approx(gained, abs=1e-9)
    assert 0 <= bank.soc_fraction[0] <= 1
    assert -18 - 1e-9 <= bank.power_kw[0] <= 20 + 1e-9


def test_power_takes_about_a_second_to_follow() -> None:
    bank = steered(-18.0)
    run(bank, 0, 0.4)
    assert -9 < bank.power_kw[0] < -6
    run(bank, 0.4, 0.8)
    assert bank.power_kw[0] == -18.0


def test_the_timer_takes_it_to_its_fail_safe_power() -> None:
    bank = steered(-10.0, reverts_in_s=5.0, fail_safe_kw=1.5)
    run(bank, 0, 4)
    assert bank.power_kw[0] == -10.0
    run(bank, 4, 3)
    assert bank.power_kw[0] == 1.5


def test_a_controller_that_falls_silent_is_no_longer_obeyed() -> None:
    bank = steered(-10.0)
    run(bank, 0, HEARTBEAT_LOST_S - 1, alive=False)
    assert bank.power_kw[0] == -10.0
    run(bank, HEARTBEAT_LOST_S - 1, 4, alive=False)
    assert bank.power_kw[0] == 0.0


def test_an_empty_pack_gives_nothing_and_a_full_one_takes_nothing() -> None:
    empty, full = steered(-18.0, soc_fraction=0.05), steered(20.0, soc_fraction=1.0)
    for bank in (empty, full):
        run(bank, 0, 60)
        assert bank.power_kw[0] == pytest.approx(0.0, abs=1e-9)


def test_a_hot_pack_is_derated_and_cools_when_left_alone() -> None:
    hot, glowing = steered(-18.0, temperature_c=50.0), steered(-18.0, temperature_c=70.0)
    run(hot, 0, 5)
    run(glowing, 0, 5)
    assert -10 < hot.power_kw[0] < -7
    assert glowing.power_kw[0] == 0.0
    assert glowing.temperature_c[0] < 70.0


def test_a_frozen_pack_discharges_but_takes_no_charge() -> None:
    charging, discharging = steered(20.0, temperature_c=-5.0), steered(-18.0, temperature_c=-5.0)
    run(charging, 0, 3)
    run(discharging, 0, 3)
    assert charging.power_kw[0] == 0.0
    assert discharging.power_kw[0] == -18.0


def test_losses_warm_the_cells() -> None:
    bank = steered(-18.0, temperature_c=22.0)
    run(bank, 0, 600, step_s=1.0)
    assert 22.5 < bank.temperature_c[0] < 40


def test_faults_act_on_their_pack_alone() -> None:
    bank = PackBank([world_pack(), world_pack()], now_s=0.0)
    for index in range(2):
        bank.control(index, power_kw=-10, fail_safe_kw=0, reverts_at_s=1e9, now_s=0.0)
    bank.tripped[0] = True
    for tick in range(1, 20):
        bank.advance(tick * 0.2)
    assert bank.power_kw.tolist() == [0.0, -10.0]


def test_meters_count_what_they_show_and_the_sun_sets() -> None:
    load = SiteMeter(role="load", peak_kw=900, now_s=0.0, seed=1)
    sun = SiteMeter(role="photovoltaic", peak_kw=1000, now_s=0.0, seed=1)
    for second in range(1, 3601):
        load.advance(float(second), hour=20.5)
        sun.advance(float(second), hour=12.0)
    assert load.import_kwh == pytest.approx(900 * stadium_shape(20.5), rel=0.1)
    assert sun.export_kwh == pytest.approx(1000, rel=0.1)
    assert sun.power_kw < 0 < load.power_kw
    assert (load.export_kwh, sun.import_kwh) == (0.0, 0.0)
    assert photovoltaic_shape(3.0) == photovoltaic_shape(22.0) == 0.0
    assert np.all([stadium_shape(hour) > 0 for hour in range(24)])
