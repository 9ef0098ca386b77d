"""Registering what is read and set over Modbus: inverters, packs behind them, meters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from common.errors import InvalidInput
from fleet.models import (
    Asset,
    AssetKind,
    Consent,
    Inverter,
    Meter,
    MeterRole,
    ModbusFraming,
    Pack,
    PackHealthRecord,
    Site,
)
from fleet.operations.assets.checks import (
    TERMS_VERSION,
    check_service,
    find,
    registering,
    require_device_id,
    require_fraction,
    require_identity,
    require_not_negative,
    require_port,
    require_positive,
    require_text,
)

MOST_STATE_OF_HEALTH_FRACTION = 1.2


@dataclass(frozen=True, slots=True)
class RegisteredInverter:
    """An inverter as registered."""

    inverter_id: int
    identity: str
    host: str
    port: int
    device_id: int
    site_identity: str


@dataclass(frozen=True, slots=True)
class RegisteredPack:
    """A pack as registered."""

    pack_id: int
    asset_id: int
    identity: str
    inverter_identity: str
    device_id: int


@dataclass(frozen=True, slots=True)
class RegisteredMeter:
    """A meter as registered."""

    meter_id: int
    asset_id: int
    identity: str
    role: str


@dataclass(frozen=True, slots=True)
class PackSpecification:
    """What a second-life pack is. `state_of_health_fraction` is the usable share of the nameplate as last tested."""

    nameplate_kwh: float = 24.0
    state_of_health_fraction: float = 0.8
    max_charge_kw: float = 20.0
    max_discharge_kw: float = 20.0
    charge_efficiency: float = 0.94
    discharge_efficiency: float = 0.94
    minimum_soc_fraction: float = 0.1
    origin: str = "unknown"
    serial_number: str = ""
    manufactured_on: date | None = None
    wear_per_kwh: Decimal = Decimal(0)


def register_inverter(
    *,
    identity: str,
    site_identity: str,
    host: str,
    port: int,
    device_id: int = 1,
    max_charge_kw: float,
    max_discharge_kw: float,
    framing: str = ModbusFraming.TCP,
    register_profile: str = "",
) -> RegisteredInverter:
    """Register a Modbus end-point reached over TCP.

    Args:
        framing: "tcp", or "rtu_over_tcp" behind a serial gateway that passes RTU frames on.
        register_profile: name of the profile of an inverter without SunSpec; see `fleet/devices/modbus/profiles`.

    Raises:
        InvalidInput, NotRegistered (the site), AlreadyRegistered (the identity or the address).
    """
    require_identity(identity)
    require_text(host, field="host", longest=120)
    require_port(port)
    require_device_id(device_id)
    _check_framing(framing)
    require_positive(max_charge_kw, field="max_charge_kw")
    require_not_negative(max_discharge_kw, field="max_discharge_kw")
    site = find(Site, field="site", identity=site_identity)
    with registering(identity, remedy="Choose another identity; an address has one inverter."):
        inverter = Inverter.objects.create(
            identity=identity,
            site=site,
            host=host,
            port=port,
            device_id=device_id,
            framing=framing,
            register_profile=register_profile,
            max_charge_kw=max_charge_kw,
            max_discharge_kw=max_discharge_kw,
        )
    return RegisteredInverter(inverter.pk, identity, host, port, device_id, site.identity)


def find_inverter(*, host: str, port: int) -> RegisteredInverter | None:
    """The inverter at an address, if one is registered."""
    row = Inverter.objects.select_related("site").filter(host=host, port=port).order_by("pk").first()
    if row is None:
        return None
    return RegisteredInverter(row.pk, row.identity, row.host, row.port, row.device_id, row.site.identity)


def register_pack(
    *,
    identity: str,
    inverter_identity: str,
    device_id: int,
    now: datetime,
    specification: PackSpecification = PackSpecification(),
) -> RegisteredPack:
    """Register a pack behind an inverter, with its intake as the first line of its history.

    Raises:
        InvalidInput, NotRegistered (the inverter), AlreadyRegistered (the identity, or the inverter's unit).
    """
    require_identity(identity)
    require_device_id(device_id)
    _check_pack(specification)
    inverter = find(Inverter, field="inverter", identity=inverter_identity)
    unit_taken = Pack.objects.filter(inverter=inverter, device_id=device_id).exists()
    taken, field = (str(device_id), "device_id") if unit_taken else (identity, "identity")
    with registering(taken, field=field):
        asset = Asset.objects.create(identity=identity, kind=AssetKind.PACK, site_id=inverter.site_id)
        pack = Pack.objects.create(
            asset=asset,
            inverter=inverter,
            device_id=device_id,
            origin=specification.origin,
            serial_number=specification.serial_number,
            manufactured_on=specification.manufactured_on,
            nameplate_kwh=specification.nameplate_kwh,
            state_of_health_fraction=specification.state_of_health_fraction,
            max_charge_kw=specification.max_charge_kw,
            max_discharge_kw=specification.max_discharge_kw,
            charge_efficiency=specification.charge_efficiency,
            discharge_efficiency=specification.discharge_efficiency,
            minimum_soc_fraction=specification.minimum_soc_fraction,
            wear_per_kwh=specification.wear_per_kwh,
        )
        PackHealthRecord.objects.create(
            pack=pack,
            recorded_at=now,
            kind="intake",
            state_of_health_fraction=specification.state_of_health_fraction,
        )
    return RegisteredPack(pack.pk, asset.pk, identity, inverter.identity, device_id)


def register_meter(
    *,
    identity: str,
    site_identity: str,
    role: str,
    host: str,
    port: int,
    device_id: int = 1,
    framing: str = ModbusFraming.TCP,
) -> RegisteredMeter:
    """Register a meter that stands alone: the site's connection, a load, or photovoltaic generation.

    Raises:
        InvalidInput, NotRegistered (the site), AlreadyRegistered (the identity or the address).
    """
    require_identity(identity)
    if role not in MeterRole.values:
        raise InvalidInput(f"{role!r} is no role.", field="role", remedy=f"Give one of {', '.join(MeterRole.values)}.")
    require_text(host, field="host", longest=120)
    require_port(port)
    require_device_id(device_id)
    _check_framing(framing)
    site = find(Site, field="site", identity=site_identity)
    with registering(identity, remedy="Choose another identity; an address has one meter."):
        asset = Asset.objects.create(identity=identity, kind=AssetKind.METER, site=site)
        meter = Meter.objects.create(asset=asset, role=role, host=host, port=port, device_id=device_id, framing=framing)
    return RegisteredMeter(meter.pk, asset.pk, identity, role)


def allow_packs(*, site_identity: str, services: Sequence[str], now: datetime) -> tuple[str, ...]:
    """Record that the owner of a site has agreed to services for all its packs; returns those that hold from now on.
    What was agreed to before stays as it is.

    Raises:
        InvalidInput: a service does not exist, or nobody owns the site.
        NotRegistered: the site is not registered.
    """
    for service in services:
        check_service(service)
    with transaction.atomic():
        site = find(Site, field="site", identity=site_identity)
        owner_id = site.owner_id
        if owner_id is None:
            if not services:
                return ()
            raise InvalidInput(
                f"The site {site_identity!r} belongs to nobody who could agree.",
                field="consents",
                remedy="Give the site an owner first, in the admin console.",
            )
        held = Consent.objects.select_for_update().filter(site=site, withdrawn_at__isnull=True)
        known = set(held.values_list("service", flat=True))
        Consent.objects.bulk_create(
            Consent(owner_id=owner_id, site=site, service=service, terms_version=TERMS_VERSION, granted_at=now)
            for service in dict.fromkeys(services)
            if service not in known
        )
    return tuple(sorted(known | set(services)))


def _check_framing(framing: str) -> None:
    if framing not in ModbusFraming.values:
        raise InvalidInput(
            f"{framing!r} is no framing.", field="framing", remedy=f"Give one of {', '.join(ModbusFraming.values)}."
        )


def _check_pack(specification: PackSpecification) -> None:
    require_positive(specification.nameplate_kwh, field="nameplate_kwh")
    health = require_positive(specification.state_of_health_fraction, field="state_of_health_fraction")
    if health > MOST_STATE_OF_HEALTH_FRACTION:
        raise InvalidInput(
            f"{health:g} is beyond what a pack can hold.",
            field="state_of_health_fraction",
            remedy=f"Give the usable share of the nameplate, up to {MOST_STATE_OF_HEALTH_FRACTION}.",
        )
    require_positive(specification.max_charge_kw, field="max_charge_kw")
    require_not_negative(specification.max_discharge_kw, field="max_discharge_kw")
    require_fraction(specification.charge_efficiency, field="charge_efficiency", above_zero=True)
    require_fraction(specification.discharge_efficiency, field="discharge_efficiency", above_zero=True)
    require_fraction(specification.minimum_soc_fraction, field="minimum_soc_fraction")
    require_not_negative(float(specification.wear_per_kwh), field="wear_per_kwh")
