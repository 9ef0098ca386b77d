"""A whole portfolio for tests and benchmarks of pages, written in bulk: any number of cars, one owner and one operator
who log in, a hub, a running and a settled event, a plan, commands, a trace and books."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from django.contrib.auth.hashers import make_password

from aggregator.models import Plan, User
from fleet.models import (
    Asset,
    Charger,
    ChargingSession,
    Connector,
    Consent,
    Evse,
    GridNode,
    IdToken,
    Inverter,
    OnboardComputer,
    Owner,
    Pack,
    Region,
    Site,
    Vehicle,
    VehicleGoal,
    VehicleModel,
)
from fleet.queries.state import STATE_FORMAT, STATE_KEY, redis_client
from grid.models import GridEvent
from tests.portal_history import make_books, make_commands, make_events, make_messages, make_plan, make_settlement

PASSWORD = "correct horse battery staple"
OWNER_EMAIL, OPERATOR_EMAIL = "owner@world.test", "operator@world.test"
PROTOCOLS = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1", "mqtt")


@dataclass(frozen=True)
class World:
    """What a test needs to find its way."""

    now: datetime
    owner: Owner
    owner_user: User
    operator: User
    region: Region
    vehicles: list[Vehicle]
    sessions: list[ChargingSession]
    running: GridEvent
    settled: GridEvent
    plan: Plan


def make_world(*, cars: int, now: datetime, packs: int = 8) -> World:
    """Write the portfolio; the owner who logs in has the first two cars."""
    owner_user = _user(OWNER_EMAIL, "Aiko Tanaka")
    operator = _user(OPERATOR_EMAIL, "Operations", is_operator=True, is_staff=True, is_superuser=True)
    region = Region.objects.create(
        code="JP-KYUSHU", name="Kyushu", country="JP", time_zone="Asia/Tokyo", currency="JPY"
    )
    node = GridNode.objects.create(region=region, code="FEEDER-1", name="Feeder 1")
    owners = Owner.objects.bulk_create(
        Owner(identity=f"owner-{i:05d}", name=f"Owner {i}", user=owner_user if i == 0 else None)
        for i in range(max(1, cars // 2))
    )
    sites = _sites(node, owners, cars)
    vehicles = _vehicles(owners, sites, cars, now)
    evses = _chargers(sites, cars, now)
    sessions = _sessions(vehicles, evses, cars, now)
    pack_assets = _hub(node, owners[0], packs, now)
    _latest_states([evse.asset_id for evse in evses], [asset.pk for asset in pack_assets], now)
    asset_ids = [session.evse.asset_id for session in sessions] + [asset.pk for asset in pack_assets]
    running, settled = make_events(region, asset_ids, now)
    make_settlement(settled, sessions, now)
    plan = make_plan(region, running, sessions, now)
    make_commands([evse.asset for evse in evses], plan, running, now)
    make_messages([evse.charger.identity for evse in evses][:20], now)
    make_books(owners[0], settled, sessions[0].evse.asset_id, now)
    return World(now, owners[0], owner_user, operator, region, vehicles, sessions, running, settled, plan)


def _user(email: str, name: str, **fields: Any) -> User:
    return User.objects.create(email=email, name=name, password=make_password(PASSWORD), **fields)


def _sites(node: GridNode, owners: list[Owner], cars: int) -> list[Site]:
    return Site.objects.bulk_create(
        Site(
            identity=f"HOME-{i:05d}",
            name=f"Home {i}",
            kind="home",
            grid_node=node,
            owner=owners[min(i // 2, len(owners) - 1)],
            time_zone="Asia/Tokyo",
            import_limit_kw=15,
            export_limit_kw=10,
        )
        for i in range(cars)
    )


def _vehicles(owners: list[Owner], sites: list[Site], cars: int, now: datetime) -> list[Vehicle]:
    model = VehicleModel.objects.create(
        make="Nissan", name="Leaf e+", battery_capacity_kwh=60, max_charge_kw=6.6, max_discharge_kw=6
    )
    VehicleModel.objects.create(make="Kia", name="EV3", battery_capacity_kwh=58, max_charge_kw=11)
    vehicles = Vehicle.objects.bulk_create(
        Vehicle(
            identity=f"EV-{i:05d}",
            label="Leaf" if i == 0 else f"Car {i}",
            owner=site.owner,
            model=model,
            home_site=site,
            battery_capacity_kwh=60,
            v2g_capable=True,
            soc_fraction=0.62 - 0.4 * (i % 7) / 10,
            soc_measured_at=now - timedelta(seconds=4),
        )
        for i, site in enumerate(sites)
    )
    VehicleGoal.objects.bulk_create(
        VehicleGoal(vehicle=vehicle, weekdays=[0, 1, 2, 3, 4, 5, 6], ready_by=time(7, 30), floor_soc_fraction=0.2)
        for vehicle in vehicles
    )
    OnboardComputer.objects.bulk_create(
        OnboardComputer(vehicle=vehicle, identity=f"CPU-{i:05d}", token_hash="-") for i, vehicle in enumerate(vehicles)
    )
    IdToken.objects.bulk_create(IdToken(token=f"TOKEN{i:05d}", vehicle=vehicle) for i, vehicle in enumerate(vehicles))
    Consent.objects.bulk_create(
        Consent(
            owner_id=vehicle.owner_id,
            vehicle=vehicle,
            service=service,
            terms_version="2026-11",
            granted_at=now - timedelta(days=9),
        )
        for vehicle in vehicles
        for service in ("flexibility", "computing")
    )
    return vehicles


def _chargers(sites: list[Site], cars: int, now: datetime) -> list[Evse]:
    chargers = Charger.objects.bulk_create(
        Charger(
            identity=f"CP-{i:05d}",
            site=site,
            protocol=PROTOCOLS[i % 4],
            password_hash="-",
            vendor="Make",
            model="One",
            firmware_version="1.2.3",
            gateway_identity="" if i % 50 == 49 else "gateway-1",
            connected_at=now - timedelta(hours=2),
            last_seen_at=now - timedelta(seconds=3),
        )
        for i, site in enumerate(sites)
    )
    assets = Asset.objects.bulk_create(
        Asset(
            identity=f"{charger.identity}/1",
            kind="evse",
            site_id=charger.site_id,
            connected=bool(charger.gateway_identity),
            last_seen_at=charger.last_seen_at,
            fault="does not answer commands" if i % 97 == 96 else "",
        )
        for i, charger in enumerate(chargers)
    )
    evses = Evse.objects.bulk_create(
        Evse(asset=asset, charger=charger, number=1, max_charge_kw=11, max_discharge_kw=11, min_charge_kw=1.4)
        for asset, charger in zip(assets, chargers, strict=True)
    )
    Connector.objects.bulk_create(
        Connector(evse=evse, number=1, status="Occupied", status_at=now - timedelta(hours=1)) for evse in evses
    )
    return evses


def _sessions(vehicles: list[Vehicle], evses: list[Evse], cars: int, now: datetime) -> list[ChargingSession]:
    return ChargingSession.objects.bulk_create(
        ChargingSession(
            charger_id=evse.charger_id,
            evse=evse,
            vehicle=vehicle,
            transaction_id=f"TX-{i}",
            started_at=now - timedelta(hours=1),
            meter_start_kwh=100,
            arrival_soc_fraction=0.5,
            departure_at=now + timedelta(hours=11),
            target_soc_fraction=0.8,
            floor_soc_fraction=0.2,
            bidirectional=True,
        )
        for i, (vehicle, evse) in enumerate(zip(vehicles, evses, strict=True))
        if i != 1  # the owner's second car is away
    )


def _hub(node: GridNode, owner: Owner, packs: int, now: datetime) -> list[Asset]:
    hub = Site.objects.create(
        identity="HUB-1",
        name="Stadium hub",
        kind="hub",
        grid_node=node,
        time_zone="Asia/Tokyo",
        import_limit_kw=3000,
        export_limit_kw=3000,
        emergency_reserve_kwh=200,
    )
    inverter = Inverter.objects.create(
        identity="INV-1",
        site=hub,
        host="127.0.0.1",
        port=15021,
        max_charge_kw=750,
        max_discharge_kw=750,
        connected=True,
    )
    assets = Asset.objects.bulk_create(
        Asset(identity=f"PACK-{i:03d}", kind="pack", site=hub, connected=True, last_seen_at=now) for i in range(packs)
    )
    Pack.objects.bulk_create(
        Pack(
            asset=asset,
            inverter=inverter,
            device_id=i + 2,
            origin="Leaf 24",
            nameplate_kwh=24,
            state_of_health_fraction=0.79,
            max_charge_kw=20,
            max_discharge_kw=20,
            soc_fraction=0.7,
            soc_measured_at=now,
            temperature_c=24,
        )
        for i, asset in enumerate(assets)
    )
    return assets


def _latest_states(evse_ids: list[int], pack_ids: list[int], now: datetime) -> None:
    pipe = redis_client().pipeline(transaction=False)
    at = now.timestamp() - 2
    for i, asset_id in enumerate(evse_ids + pack_ids):
        power_kw = 6.4 if i % 3 == 0 else (-4.2 if i % 3 == 1 else 0.0)
        soc = 0.62 - 0.4 * (i % 7) / 10
        numbers = [at, power_kw, at, 120.0, at, 4.0, at, soc, at, 24.0]
        pipe.set(f"{STATE_KEY}{asset_id}", STATE_FORMAT.pack(*numbers))
    pipe.execute()
