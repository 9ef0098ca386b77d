"""NotifyEVChargingNeeds of 2.0.1 and 2.1 -> what planning wants to know, in kW, kWh and fractions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.units import watts_to_kw, wh_to_kwh
from fleet.devices.ocpp.instants import read_instant

_PHASES = {"AC_single_phase": 1, "AC_two_phase": 2, "AC_three_phase": 3}
# Above this a car gives the voltage between phases rather than to neutral.
_PHASE_TO_PHASE_V = 300.0


@dataclass(frozen=True, slots=True)
class ChargingNeeds:
    """What a car asks for. None is what it does not say; powers are never negative.

    `v2x_minimum_kwh` is the energy through the connector that brings the battery to the lowest level at which the car
    still gives energy back; negative while it is above that.
    """

    bidirectional: bool
    max_charge_kw: float | None
    max_discharge_kw: float | None
    energy_needed_kwh: float | None
    soc_fraction: float | None
    departure_at: datetime | None
    target_soc_fraction: float | None = None
    v2x_minimum_kwh: float | None = None


def read_charging_needs(needs: dict[str, Any], *, version: str) -> ChargingNeeds:
    """Read the needs of a car.

    Bidirectional are the transfer modes with BPT (ISO 15118-20), unless the car allows no discharging power.

    Raises:
        PayloadError: the departure is no instant.
    """
    mode = needs["requestedEnergyTransfer"]
    v2x = needs.get("v2xChargingParameters", {})
    ac, dc = needs.get("acChargingParameters"), needs.get("dcChargingParameters")
    charge_kw = _phase_sum_kw(v2x, "maxChargePower")
    if charge_kw is None:
        charge_kw = _ac_kw(ac, mode) if ac is not None else _dc_kw(dc)
    discharge_kw = _phase_sum_kw(v2x, "maxDischargePower")
    energy_wh = v2x.get("evTargetEnergyRequest")
    if energy_wh is None:
        energy_wh = (ac or dc or {}).get("energyAmount")
    soc_percent = (dc or {}).get("stateOfCharge")
    departure = needs.get("departureTime")
    target_percent, minimum_wh = v2x.get("targetSoC"), v2x.get("evMinV2XEnergyRequest")
    return ChargingNeeds(
        bidirectional="BPT" in mode and discharge_kw != 0,
        max_charge_kw=charge_kw,
        max_discharge_kw=discharge_kw,
        energy_needed_kwh=None if energy_wh is None else wh_to_kwh(energy_wh),
        soc_fraction=None if soc_percent is None else soc_percent / 100,
        departure_at=None if departure is None else read_instant(departure, field="departureTime", version=version),
        target_soc_fraction=None if target_percent is None else target_percent / 100,
        v2x_minimum_kwh=None if minimum_wh is None else wh_to_kwh(minimum_wh),
    )


def _phase_sum_kw(parameters: dict[str, Any], name: str) -> float | None:
    """A power over all phases; with values for L2 and L3 the first is that of L1. Some cars write discharging as < 0."""
    first = parameters.get(name)
    if first is None:
        return None
    return abs(watts_to_kw(first + parameters.get(f"{name}_L2", 0) + parameters.get(f"{name}_L3", 0)))


def _ac_kw(parameters: dict[str, Any], mode: str) -> float:
    phases = _PHASES.get(mode, 3)
    voltage_v = parameters["evMaxVoltage"]
    if phases > 1 and voltage_v > _PHASE_TO_PHASE_V:
        voltage_v /= math.sqrt(3)
    return watts_to_kw(parameters["evMaxCurrent"] * voltage_v * phases)


def _dc_kw(parameters: dict[str, Any] | None) -> float | None:
    if parameters is None:
        return None
    power_w = parameters.get("evMaxPower")
    return watts_to_kw(parameters["evMaxCurrent"] * parameters["evMaxVoltage"] if power_w is None else power_w)
