"""The world file of a portfolio: what the twin must know to play it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fleet.core.portfolio import Portfolio, PortfolioCar, PortfolioInverter, PortfolioMeter

# what the platform knows of a pack and its simulation does not need
NOT_PLAYED = ("origin", "wear_per_kwh", "full_cycles")


def world_of(portfolio: Portfolio, *, meter_interval_s: float) -> dict[str, Any]:
    """The content of `world.json`: stations, cars, packs, meters and computers with their secrets."""
    return {
        "seed": portfolio.seed,
        "chargers": [_charger(car, meter_interval_s) for car in portfolio.cars],
        "cars": [_car(car) for car in portfolio.cars],
        "inverters": [_inverter(inverter) for inverter in portfolio.inverters],
        "meters": [_meter(meter) for meter in portfolio.meters],
        "computers": [
            {**asdict(car.computer), "car": car.identity} for car in portfolio.cars if car.computer is not None
        ],
    }


def _charger(car: PortfolioCar, meter_interval_s: float) -> dict[str, Any]:
    """The station that a car uses: one EVSE."""
    return {
        "identity": car.charger,
        "password": car.password,
        "protocol": car.protocol,
        "vendor": "Twin Works",
        "model": "Two-way 11" if car.evse_discharge_kw else "One-way 11",
        "meter_interval_s": meter_interval_s,
        "evses": [
            {
                "number": 1,
                "max_charge_kw": car.evse_charge_kw,
                "max_discharge_kw": car.evse_discharge_kw,
                "min_charge_kw": car.min_charge_kw,
                "phases": car.phases,
            }
        ],
    }


def _car(car: PortfolioCar) -> dict[str, Any]:
    return {
        "identity": car.identity,
        "charger": car.charger,
        "evse": 1,
        "id_token": car.id_token,
        "battery_capacity_kwh": car.model.battery_capacity_kwh,
        "soc_fraction": car.soc_fraction,
        "max_charge_kw": car.model.max_charge_kw,
        "max_discharge_kw": car.model.max_discharge_kw if car.bidirectional else 0.0,
        "charge_efficiency": car.model.charge_efficiency,
        "discharge_efficiency": car.model.discharge_efficiency,
        "taper_from_fraction": car.model.taper_from_fraction,
        "full_power_fraction": car.model.full_power_fraction,
        "plug_in_s": car.plug_in_s,
        "unplug_s": car.unplug_s,
        "departure_in_s": car.departure_in_s,
        "target_soc_fraction": car.target_soc_fraction,
        "floor_soc_fraction": car.floor_soc_fraction,
    }


def _inverter(inverter: PortfolioInverter) -> dict[str, Any]:
    packs = [{k: v for k, v in asdict(pack).items() if k not in NOT_PLAYED} for pack in inverter.packs]
    return {
        "identity": inverter.identity,
        "host": inverter.host,
        "port": inverter.port,
        "device_id": 1,
        "max_charge_kw": inverter.max_charge_kw,
        "max_discharge_kw": inverter.max_discharge_kw,
        "packs": packs,
    }


def _meter(meter: PortfolioMeter) -> dict[str, Any]:
    return {
        "identity": meter.identity,
        "role": meter.role,
        "host": meter.host,
        "port": meter.port,
        "device_id": 1,
        "peak_kw": meter.peak_kw,
    }
