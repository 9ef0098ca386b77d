"""What a car asks for, in kW, kWh and fractions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fleet.devices.ocpp.charging_needs import ChargingNeeds, read_charging_needs
from fleet.devices.ocpp.wire import V21, V201


def test_three_phase_ac() -> None:
    needs = {
        "requestedEnergyTransfer": "AC_three_phase",
        "departureTime": "2026-11-24T07:30:00Z",
        "acChargingParameters": {"energyAmount": 20000, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 230},
    }
    assert read_charging_needs(needs, version=V201) == ChargingNeeds(
        bidirectional=False,
        max_charge_kw=pytest.approx(11.04),
        max_discharge_kw=None,
        energy_needed_kwh=20.0,
        soc_fraction=None,
        departure_at=datetime(2026, 11, 24, 7, 30, tzinfo=UTC),
    )


def test_voltage_between_phases_is_understood() -> None:
    parameters = {"energyAmount": 1, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 400}
    needs = {"requestedEnergyTransfer": "AC_three_phase", "acChargingParameters": parameters}
    assert read_charging_needs(needs, version=V201).max_charge_kw == pytest.approx(11.085, abs=0.01)


def test_dc() -> None:
    parameters = {
        "evMaxCurrent": 125,
        "evMaxVoltage": 400,
        "evMaxPower": 45000,
        "stateOfCharge": 35,
        "energyAmount": 9000,
    }
    found = read_charging_needs({"requestedEnergyTransfer": "DC", "dcChargingParameters": parameters}, version=V201)
    assert (found.max_charge_kw, found.soc_fraction, found.energy_needed_kwh) == (45.0, 0.35, 9.0)


@pytest.mark.parametrize(
    ("mode", "v2x", "bidirectional", "discharge_kw"),
    [
        ("DC_BPT", {"maxDischargePower": 10000}, True, 10.0),
        ("AC_BPT", {"maxDischargePower": 3000, "maxDischargePower_L2": 3000, "maxDischargePower_L3": 3000}, True, 9.0),
        ("AC_BPT", {"maxDischargePower": -7000}, True, 7.0),
        ("AC_BPT", {}, True, None),
        ("AC_BPT", {"maxDischargePower": 0}, False, 0.0),
        ("AC_three_phase", {"maxDischargePower": 7000}, False, 7.0),
    ],
)
def test_two_way(mode: str, v2x: dict[str, float], bidirectional: bool, discharge_kw: float | None) -> None:
    found = read_charging_needs(
        {"requestedEnergyTransfer": mode, "v2xChargingParameters": {"maxChargePower": 11000, **v2x}}, version=V21
    )
    assert (found.bidirectional, found.max_discharge_kw, found.max_charge_kw) == (bidirectional, discharge_kw, 11.0)
