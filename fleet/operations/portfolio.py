"""Storing a whole portfolio at once: the same rows as one registration at a time makes, in bulk."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from django.db import models, transaction

from common.errors import Conflict
from fleet.core.portfolio import Portfolio, PortfolioCar
from fleet.models import (
    Asset,
    AssetKind,
    Charger,
    Connector,
    Consent,
    ConsentService,
    Evse,
    GridNode,
    IdToken,
    Inverter,
    Meter,
    OnboardComputer,
    Owner,
    Pack,
    PackHealthRecord,
    Region,
    Site,
    Vehicle,
    VehicleGoal,
    VehicleModel,
)
from fleet.operations.assets import charger_password_hash, evse_asset_identity, publish_broker_credentials
from fleet.operations.secrets import hash_secret

TERMS_VERSION = "2026-11"
BATCH = 5000
# what a drawn pack and its row call the same
PACK_PHYSICS = (
    "nameplate_kwh",
    "state_of_health_fraction",
    "max_charge_kw",
    "max_discharge_kw",
    "charge_efficiency",
    "discharge_efficiency",
    "taper_from_fraction",
    "full_power_fraction",
)


class PortfolioAlreadyStored(Conflict):
    """The database holds a fleet already."""

    code = "portfolio_already_stored"


Row = TypeVar("Row", bound=models.Model)


def _bulk(model: type[Row], rows: list[Row]) -> list[Row]:
    return model._default_manager.bulk_create(rows, batch_size=BATCH)


@transaction.atomic
def store_portfolio(*, portfolio: Portfolio, now: datetime) -> int:
    """Store a drawn portfolio and return its region's identifier. Every owner has consented to every service.

    Raises:
        PortfolioAlreadyStored: its region exists already.
    """
    region, created = Region.objects.get_or_create(
        code=portfolio.region_code,
        defaults={
            "name": portfolio.region_name,
            "country": portfolio.country,
            "time_zone": portfolio.time_zone,
            "currency": portfolio.currency,
        },
    )
    if not created:
        raise PortfolioAlreadyStored(
            f"region {region.code} is in the database already.",
            field="region",
            remedy="Seed an empty database: `make up` starts one.",
        )
    owners = {
        row.identity: row
        for row in _bulk(Owner, [Owner(identity=identity, name=name) for identity, name in portfolio.owners])
    }
    sites = _store_sites(portfolio, region, owners)
    _store_cars(portfolio, sites, owners, now)
    _store_hub(portfolio, sites, now)
    transaction.on_commit(publish_broker_credentials)
    return region.pk


def _store_sites(portfolio: Portfolio, region: Region, owners: dict[str, Owner]) -> dict[str, Site]:
    nodes = {
        row.code: row
        for row in _bulk(GridNode, [GridNode(region=region, code=code, name=name) for code, name in portfolio.nodes])
    }
    rows = [
        Site(
            identity=site.identity,
            name=site.name,
            kind=site.kind,
            grid_node=nodes[site.node],
            owner=owners.get(site.owner),
            time_zone=portfolio.time_zone,
            latitude=site.latitude,
            longitude=site.longitude,
            import_limit_kw=site.import_limit_kw,
            export_limit_kw=site.export_limit_kw,
            emergency_reserve_kwh=site.emergency_reserve_kwh,
        )
        for site in portfolio.sites
    ]
    return {row.identity: row for row in _bulk(Site, rows)}


def _store_cars(portfolio: Portfolio, sites: dict[str, Site], owners: dict[str, Owner], now: datetime) -> None:
    cars = portfolio.cars
    model_rows = _bulk(
        VehicleModel,
        [
            VehicleModel(**asdict(model))  # the fields have the same names
            for model in dict.fromkeys(car.model for car in cars)
        ],
    )
    models_by_name = {(row.make, row.name): row for row in model_rows}
    vehicles = _bulk(
        Vehicle,
        [
            Vehicle(
                identity=car.identity,
                label=car.label,
                owner=owners[car.owner],
                model=models_by_name[car.model.make, car.model.name],
                home_site=sites[car.site],
                battery_capacity_kwh=car.model.battery_capacity_kwh,
                v2g_capable=car.model.max_discharge_kw > 0,
                wear_per_kwh=round(car.wear_per_kwh, 4),
            )
            for car in cars
        ],
    )
    _bulk(VehicleGoal, [_goal(vehicle, car, now) for vehicle, car in zip(vehicles, cars, strict=True)])
    _bulk(IdToken, [IdToken(token=car.id_token, vehicle=vehicle) for vehicle, car in zip(vehicles, cars, strict=True)])
    _bulk(
        Consent,
        [
            Consent(owner=vehicle.owner, vehicle=vehicle, service=service, terms_version=TERMS_VERSION, granted_at=now)
            for vehicle, car in zip(vehicles, cars, strict=True)
            for service in ConsentService.values
            if service != ConsentService.COMPUTING or car.computer is not None
        ],
    )
    _bulk(
        OnboardComputer,
        [
            OnboardComputer(
                vehicle=vehicle,
                identity=car.computer.identity,
                cpu_cores=car.computer.cpu_cores,
                memory_mib=car.computer.memory_mib,
                token_hash=hash_secret(car.computer.token, generated=True),
            )
            for vehicle, car in zip(vehicles, cars, strict=True)
            if car.computer is not None
        ],
    )
    _store_chargers(cars, sites)


def _goal(vehicle: Vehicle, car: PortfolioCar, now: datetime) -> VehicleGoal:
    """The time at which the drawn stay ends, as the owner would enter it: each day at that time."""
    zone = ZoneInfo(vehicle.home_site.time_zone if vehicle.home_site else "UTC")
    ready_at = now + timedelta(seconds=car.departure_in_s)
    return VehicleGoal(
        vehicle=vehicle,
        kind="weekly",
        weekdays=list(range(7)),
        ready_by=ready_at.astimezone(zone).time().replace(second=0, microsecond=0),
        target_soc_fraction=car.target_soc_fraction,
        floor_soc_fraction=car.floor_soc_fraction,
    )


def _store_chargers(cars: tuple[PortfolioCar, ...], sites: dict[str, Site]) -> None:
    chargers = _bulk(
        Charger,
        [
            Charger(
                identity=car.charger,
                site=sites[car.site],
                protocol=car.protocol,
                phases=car.phases,
                password_hash=charger_password_hash(protocol=car.protocol, secret=car.password, generated=True),
            )
            for car in cars
        ],
    )
    assets = _bulk(
        Asset,
        [
            Asset(identity=evse_asset_identity(car.charger, 1), kind=AssetKind.EVSE, site=sites[car.site])
            for car in cars
        ],
    )
    evses = _bulk(
        Evse,
        [
            Evse(
                asset=asset,
                charger=charger,
                number=1,
                max_charge_kw=car.evse_charge_kw,
                max_discharge_kw=car.evse_discharge_kw,
                min_charge_kw=car.min_charge_kw,
                fail_safe_kw=car.min_charge_kw,
            )
            for asset, charger, car in zip(assets, chargers, cars, strict=True)
        ],
    )
    _bulk(Connector, [Connector(evse=evse, number=1) for evse in evses])


def _store_hub(portfolio: Portfolio, sites: dict[str, Site], now: datetime) -> None:
    for inverter in portfolio.inverters:
        row = Inverter.objects.create(
            identity=inverter.identity,
            site=sites[inverter.site],
            host=inverter.host,
            port=inverter.port,
            max_charge_kw=inverter.max_charge_kw,
            max_discharge_kw=inverter.max_discharge_kw,
        )
        assets = _bulk(
            Asset, [Asset(identity=pack.identity, kind=AssetKind.PACK, site=row.site) for pack in inverter.packs]
        )
        packs = _bulk(
            Pack,
            [
                Pack(
                    asset=asset,
                    inverter=row,
                    device_id=pack.device_id,
                    origin=pack.origin,
                    serial_number=pack.serial_number,
                    wear_per_kwh=round(pack.wear_per_kwh, 4),
                    **{name: getattr(pack, name) for name in PACK_PHYSICS},
                )
                for asset, pack in zip(assets, inverter.packs, strict=True)
            ],
        )
        _bulk(
            PackHealthRecord,
            [
                PackHealthRecord(
                    pack=row,
                    recorded_at=now,
                    kind="intake",
                    state_of_health_fraction=pack.state_of_health_fraction,
                    full_cycles=pack.full_cycles,
                )
                for row, pack in zip(packs, inverter.packs, strict=True)
            ],
        )
    for meter in portfolio.meters:
        asset = Asset.objects.create(identity=meter.identity, kind=AssetKind.METER, site=sites[meter.site])
        Meter.objects.create(asset=asset, role=meter.role, host=meter.host, port=meter.port)
    hubs = {inverter.site for inverter in portfolio.inverters}
    _bulk(
        Consent,
        [
            Consent(owner=site.owner, site=site, service=service, terms_version=TERMS_VERSION, granted_at=now)
            for site in (sites[identity] for identity in sorted(hubs))
            if site.owner is not None
            for service in (ConsentService.FLEXIBILITY, ConsentService.EMERGENCY)
        ],
    )


def link_owner_to_user(*, owner_identity: str, user_id: int) -> None:
    """Give an owner the login with which they see their portal."""
    Owner.objects.filter(identity=owner_identity).update(user_id=user_id)
