"""Drawing a realistic portfolio of any size: cars by their share of registrations, stays by ElaadNL, packs by age."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from fleet.core.portfolio import (
    Portfolio,
    PortfolioCar,
    PortfolioComputer,
    PortfolioInverter,
    PortfolioMeter,
    PortfolioModel,
    PortfolioPack,
    PortfolioSite,
)
from fleet.twin.arrivals import draw_parked, remaining_h
from fleet.twin.vehicle_catalogue import CatalogueModel, vehicle_catalogue
from fleet.twin.world import (
    CAR_FULL_POWER_FRACTION,
    CAR_TAPER_FROM_FRACTION,
    PACK_FULL_POWER_FRACTION,
    PACK_TAPER_FROM_FRACTION,
)

LOOPBACK = "127.0.0.1"
HUB_PACKS = 148
HUB_INVERTERS = 4
HUB_POWER_KW = 3000.0
# A new LEAF pack of the first generation; 148 of them at about 79 % health hold the hub's 2.8 MWh.
LEAF_PACK_KWH = 24.0
# What kind of place a car stands at, as shares, and the distribution of stays there.
PLACES = (("depot", 0.4, "workplace"), ("mall", 0.2, "public"), ("campus", 0.2, "workplace"), ("home", 0.2, "private"))
# One of four cars each: bidirectional 2.1, 2.0.1, 1.6, firmware over MQTT.
PROTOCOLS = ("ocpp2.1", "ocpp2.0.1", "ocpp1.6", "mqtt")
SECONDS_PER_HOUR = 3600.0
SHORTEST_STAY_H = 0.5
SLOWEST_CAR_KW = 3.7
LEAST_SOC_FRACTION = 0.1
# Who offers to discharge has something above the floor that they set.
ROOM_ABOVE_FLOOR_FRACTION = 0.1
# A reused pack, installed at about 160 EUR per kWh, wears out over the 1,000 full cycles it has left.
PACK_WEAR_PER_KWH = 0.16


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def draw_portfolio(
    *, vehicles: int, hub: bool, computers: int, seed: int, at_h: float, arrive_within_s: float
) -> Portfolio:
    """Draw a portfolio as it would be found at a local time of day.

    Args:
        vehicles: number of cars, each with a station of its own.
        hub: whether there is a stadium hub with its 148 packs, load and PV.
        computers: how many of the cars rent out their computer.
        seed: the same seed draws the same portfolio (secrets and ports apart).
        at_h: local time of day, in hours.
        arrive_within_s: the cars that are there at the start plug in over so many seconds.
    """
    generator = np.random.default_rng(seed)
    sites, owners, site_of, owner_of = _draw_places(vehicles, generator)
    cars = _draw_cars(vehicles, computers, generator, site_of, owner_of, at_h, arrive_within_s)
    inverters: tuple[PortfolioInverter, ...] = ()
    meters: tuple[PortfolioMeter, ...] = ()
    if hub:
        ports = free_ports(HUB_INVERTERS + 2)
        sites.append(_hub_site())
        owners.append(("OWNER-STADIUM", "Stadium cooperative"))
        inverters = _draw_hub(generator, ports[:HUB_INVERTERS])
        meters = (
            PortfolioMeter("MTR-STADIUM-LOAD", "SITE-HUB", "load", LOOPBACK, ports[-2], 900.0),
            PortfolioMeter("MTR-STADIUM-PV", "SITE-HUB", "photovoltaic", LOOPBACK, ports[-1], 1000.0),
        )
    return Portfolio(
        region_code="NL",
        region_name="Netherlands",
        country="NL",
        time_zone="Europe/Amsterdam",
        currency="EUR",
        seed=seed,
        owners=tuple(owners),
        nodes=(("NL-STADIUM", "Stadium quarter"), ("NL-EAST", "East"), ("NL-WEST", "West")),
        sites=tuple(sites),
        cars=tuple(cars),
        inverters=inverters,
        meters=meters,
    )


def _hub_site() -> PortfolioSite:
    return PortfolioSite(
        identity="SITE-HUB",
        name="Stadium hub",
        kind="hub",
        node="NL-STADIUM",
        owner="OWNER-STADIUM",
        latitude=52.314,
        longitude=4.942,
        import_limit_kw=HUB_POWER_KW + 1000,
        export_limit_kw=HUB_POWER_KW,
        emergency_reserve_kwh=700.0,
    )


def _draw_places(
    vehicles: int, generator: np.random.Generator
) -> tuple[list[PortfolioSite], list[tuple[str, str]], list[str], list[str]]:
    """Sites, owners, and for each car where it stands and whose it is. A home has one car; other places up to 400."""
    kinds = generator.choice([place[0] for place in PLACES], size=vehicles, p=[place[1] for place in PLACES])
    sites: list[PortfolioSite] = []
    owners: dict[str, str] = {}
    site_of, owner_of = [""] * vehicles, [""] * vehicles
    room: dict[str, int] = {}
    count: dict[str, int] = {}
    for car, kind in enumerate(kinds):
        if room.get(kind, 0) == 0:
            count[kind] = count.get(kind, 0) + 1
            room[kind] = 1 if kind == "home" else min(400, int((kinds == kind).sum()))
            sites.append(_place(kind, count[kind], room[kind], generator))
        room[kind] -= 1
        site_of[car] = f"SITE-{kind.upper()}-{count[kind]:05d}"
        if kind == "depot":
            owner_of[car] = f"OWNER-FLEET-{count[kind]:05d}"
            owners[owner_of[car]] = f"Fleet {count[kind]}"
        else:
            owner_of[car] = f"OWNER-{car + 1:06d}"
            owners[owner_of[car]] = f"Owner {car + 1}"
    return sites, list(owners.items()), site_of, owner_of


def _place(kind: str, number: int, cars: int, generator: np.random.Generator) -> PortfolioSite:
    # 17 kW is what a Dutch home's usual 3 x 25 A allow; larger places are built for three cars in five at once
    import_kw = 17.0 if kind == "home" else max(22.0, round(0.6 * 11.0 * cars))
    return PortfolioSite(
        identity=f"SITE-{kind.upper()}-{number:05d}",
        name=f"{kind.capitalize()} {number}",
        kind=kind,
        node="NL-EAST" if number % 2 else "NL-WEST",
        owner="",
        latitude=float(52.37 + generator.normal(0, 0.05)),
        longitude=float(4.90 + generator.normal(0, 0.08)),
        import_limit_kw=import_kw,
        export_limit_kw=import_kw,
    )


def _draw_cars(
    vehicles: int,
    computers: int,
    generator: np.random.Generator,
    site_of: Sequence[str],
    owner_of: Sequence[str],
    at_h: float,
    arrive_within_s: float,
) -> list[PortfolioCar]:
    catalogue = vehicle_catalogue()
    shares = np.array([model.share for model in catalogue])
    two_way = np.array([model.max_discharge_kw > 0 for model in catalogue])
    plug_in_s = generator.uniform(0.5, max(arrive_within_s, 1.0), vehicles)
    stays_h, wanted_kwh = _remaining_stays(vehicles, site_of, generator, at_h)
    target = generator.choice([0.7, 0.8, 0.9], vehicles, p=[0.25, 0.55, 0.2])
    with_computer = set(generator.permutation(vehicles)[:computers].tolist())
    cars = []
    for car in range(vehicles):
        protocol = PROTOCOLS[car % len(PROTOCOLS)]
        allowed = shares * two_way if protocol == "ocpp2.1" else shares
        model = catalogue[generator.choice(len(catalogue), p=allowed / allowed.sum())]
        floor = 0.3 if protocol == "ocpp2.1" else 0.2
        least_soc = floor + ROOM_ABOVE_FLOOR_FRACTION if protocol == "ocpp2.1" else LEAST_SOC_FRACTION
        computer = None
        if car in with_computer:
            computer = PortfolioComputer(f"CPU-{car + 1:06d}", secrets.token_urlsafe(24), 4, 4096)
        cars.append(
            PortfolioCar(
                identity=f"EV-{car + 1:06d}",
                label=f"{model.name} {car + 1}",
                owner=owner_of[car],
                site=site_of[car],
                model=_portfolio_model(model),
                charger=f"CP-{car + 1:06d}",
                protocol=protocol,
                password=secrets.token_urlsafe(24),
                id_token=f"TAG{car + 1:010d}",
                phases=3,
                evse_charge_kw=11.0,
                evse_discharge_kw=11.0 if protocol == "ocpp2.1" else 0.0,
                min_charge_kw=4.14,
                soc_fraction=float(max(target[car] - wanted_kwh[car] / model.battery_capacity_kwh, least_soc)),
                target_soc_fraction=float(target[car]),
                floor_soc_fraction=floor,
                wear_per_kwh=float(np.round(generator.uniform(0.03, 0.06), 4)),
                plug_in_s=float(plug_in_s[car]),
                unplug_s=None,
                departure_in_s=float(stays_h[car] * SECONDS_PER_HOUR),
                computer=computer,
            )
        )
    return cars


def _portfolio_model(model: CatalogueModel) -> PortfolioModel:
    return PortfolioModel(
        model.make,
        model.name,
        model.battery_capacity_kwh,
        model.max_charge_kw,
        model.max_discharge_kw,
        model.charge_efficiency,
        model.discharge_efficiency,
        CAR_TAPER_FROM_FRACTION,
        CAR_FULL_POWER_FRACTION,
    )


def _remaining_stays(
    vehicles: int, site_of: Sequence[str], generator: np.random.Generator, at_h: float
) -> tuple[np.ndarray, np.ndarray]:  # [car], [car]
    """Hours that each car still stays and kWh that its driver still wants, no more than fits into three quarters of them."""
    hours, wanted_kwh = np.zeros(vehicles), np.zeros(vehicles)
    for kind, _, use in PLACES:
        members = [car for car in range(vehicles) if site_of[car].startswith(f"SITE-{kind.upper()}-")]
        if members:
            parked = draw_parked(count=len(members), use=use, seed=int(generator.integers(2**31)), at_h=at_h)
            hours[members] = np.maximum(remaining_h(parked, at_h=at_h), SHORTEST_STAY_H)
            wanted_kwh[members] = np.minimum(parked.energy_kwh, 0.75 * hours[members] * SLOWEST_CAR_KW)
    return hours, wanted_kwh


def _draw_hub(generator: np.random.Generator, ports: Sequence[int]) -> tuple[PortfolioInverter, ...]:
    """148 packs with unequal health and temperature behind four inverters of 750 kW."""
    per_inverter = HUB_PACKS // HUB_INVERTERS
    inverters = []
    for index, port in enumerate(ports):
        packs = []
        for unit in range(per_inverter):
            number = index * per_inverter + unit + 1
            health = float(np.clip(generator.normal(0.79, 0.05), 0.62, 0.92))
            packs.append(
                PortfolioPack(
                    identity=f"PACK-{number:03d}",
                    device_id=unit + 2,
                    serial_number=f"LEAF24-{generator.integers(10**6):06d}",
                    origin="Nissan LEAF 24 kWh",
                    nameplate_kwh=LEAF_PACK_KWH,
                    state_of_health_fraction=health,
                    soc_fraction=float(np.clip(generator.normal(0.68, 0.06), 0.5, 0.85)),
                    temperature_c=float(generator.normal(24, 3)),
                    max_charge_kw=20.0,
                    # a weak pack gives less: full power down to 75 % health, then in proportion
                    max_discharge_kw=round(20.0 * min(1.0, health / 0.75), 2),
                    charge_efficiency=float(np.round(generator.uniform(0.93, 0.96), 4)),
                    discharge_efficiency=float(np.round(generator.uniform(0.93, 0.96), 4)),
                    wear_per_kwh=PACK_WEAR_PER_KWH,
                    full_cycles=float(np.round(generator.uniform(700, 1900))),
                    taper_from_fraction=PACK_TAPER_FROM_FRACTION,
                    full_power_fraction=PACK_FULL_POWER_FRACTION,
                )
            )
        inverters.append(
            PortfolioInverter(
                f"INV-{index + 1}", "SITE-HUB", LOOPBACK, port, HUB_POWER_KW / 4, HUB_POWER_KW / 4, tuple(packs)
            )
        )
    return tuple(inverters)
