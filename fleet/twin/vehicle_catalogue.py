"""Models of cars that can give energy back, and how common each is."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.twin.tables import read_table


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model of car as the twin knows it.

    Attributes:
        share: its part of all cars of the catalogue, by registrations; the shares add up to 1.
        max_charge_kw, max_discharge_kw: AC power each way, if the car is V2G enabled.
        charge_efficiency, discharge_efficiency: between connector and battery at full power, in (0, 1].
    """

    make: str
    name: str
    share: float
    battery_capacity_kwh: float
    max_charge_kw: float
    max_discharge_kw: float
    charge_efficiency: float
    discharge_efficiency: float


def vehicle_catalogue() -> list[CatalogueModel]:
    """The models, most common first.

    No efficiency of discharging is published: the on-board converter is taken to be as good one way as the other.
    """
    rows = read_table("vehicle_models")
    registrations = sum(int(row["registrations"]) for row in rows)
    return [
        CatalogueModel(
            make=row["make"],
            name=row["name"],
            share=int(row["registrations"]) / registrations,
            battery_capacity_kwh=float(row["battery_capacity_kwh"]),
            max_charge_kw=float(row["max_charge_kw"]),
            max_discharge_kw=float(row["max_discharge_kw"]),
            charge_efficiency=float(row["charge_efficiency"]),
            discharge_efficiency=float(row["charge_efficiency"]),
        )
        for row in rows
    ]
