"""A small fleet to test with: one site, packs behind inverters, a charger with a car."""

from __future__ import annotations

from django.db import connection

from fleet.models import (
    Asset,
    AssetKind,
    Charger,
    ChargerProtocol,
    Connector,
    Evse,
    GridNode,
    IdToken,
    Inverter,
    Meter,
    MeterRole,
    Owner,
    Pack,
    Region,
    Site,
    SiteKind,
    Vehicle,
    VehicleModel,
)
from fleet.operations.secrets import hash_secret
from fleet.queries.state import redis_client


def forget_readings() -> None:
    """Empty what Django's own clean-up between tests leaves: the partitioned tables and the latest states."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE fleet_reading, fleet_device_message")
    redis_client().flushdb()


def make_site() -> Site:
    region, _ = Region.objects.get_or_create(
        code="JP-TEST",
        defaults={"name": "Test", "country": "JP", "time_zone": "Asia/Tokyo", "currency": "JPY"},
    )
    node, _ = GridNode.objects.get_or_create(code="FEEDER-1", defaults={"region": region, "name": "Feeder"})
    site, _ = Site.objects.get_or_create(
        identity="HUB-1",
        defaults={
            "name": "Hub",
            "kind": SiteKind.HUB,
            "grid_node": node,
            "time_zone": "Asia/Tokyo",
            "import_limit_kw": 5000,
            "export_limit_kw": 5000,
        },
    )
    return site


def make_inverter(
    *,
    port: int = 1502,
    identity: str = "INV-1",
    host: str = "127.0.0.1",
    framing: str = "tcp",
    register_profile: str = "",
) -> Inverter:
    return Inverter.objects.create(
        identity=identity,
        site=make_site(),
        host=host,
        port=port,
        framing=framing,
        register_profile=register_profile,
        max_charge_kw=750,
        max_discharge_kw=750,
    )


def make_pack(inverter: Inverter, *, number: int = 1, device_id: int = 2) -> Pack:
    asset = Asset.objects.create(identity=f"PACK-{number:03d}", kind=AssetKind.PACK, site=inverter.site)
    return Pack.objects.create(
        asset=asset,
        inverter=inverter,
        device_id=device_id,
        origin="hatchback 2016",
        serial_number=f"SN-{number:03d}",
        nameplate_kwh=24,
        state_of_health_fraction=0.8,
        max_charge_kw=20,
        max_discharge_kw=20,
    )


def make_meter(*, port: int, role: str = MeterRole.LOAD, identity: str = "MTR-LOAD") -> Meter:
    asset = Asset.objects.create(identity=identity, kind=AssetKind.METER, site=make_site())
    return Meter.objects.create(asset=asset, role=role, host="127.0.0.1", port=port, device_id=1)


def make_charger(
    *, identity: str = "CP-0001", password: str = "long-enough-secret", protocol: str = ChargerProtocol.MQTT
) -> Evse:
    """A charger with one bidirectional EVSE and one connector."""
    site = make_site()
    charger = Charger.objects.create(
        identity=identity, site=site, protocol=protocol, password_hash=hash_secret(password)
    )
    asset = Asset.objects.create(identity=f"{identity}/1", kind=AssetKind.EVSE, site=site)
    evse = Evse.objects.create(
        asset=asset, charger=charger, number=1, max_charge_kw=11, max_discharge_kw=11, min_charge_kw=1.4
    )
    Connector.objects.create(evse=evse, number=1)
    return evse


def make_vehicle(*, token: str = "TOKEN-1", identity: str = "EV-0001") -> Vehicle:
    owner, _ = Owner.objects.get_or_create(identity="OWNER-1", defaults={"name": "Owner"})
    model, _ = VehicleModel.objects.get_or_create(
        make="Maker",
        name="Model",
        defaults={"battery_capacity_kwh": 60, "max_charge_kw": 11, "max_discharge_kw": 10},
    )
    vehicle = Vehicle.objects.create(
        identity=identity, label=identity, owner=owner, model=model, battery_capacity_kwh=60, v2g_capable=True
    )
    IdToken.objects.create(token=token, vehicle=vehicle)
    return vehicle
